"""Penalties that leave few groups or few weights of one array."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, safe_norm, wide, wide_dtype
from jreg._base.reading import layerwise
from jreg._base.tree import Axis
from jreg._base.types import Array, Scalar
from jreg.penalties.norms import l1


def group_lasso(w: Array, axis: Axis = None) -> Array:
    r"""Sum of the Euclidean norms of groups of weights, so that whole groups vanish.

    .. math:: \Omega(w) = \sum_j \lVert w_j \rVert_2

    Args:
      w: weights of any shape and floating dtype.
      axis: the axes of one group; None: all but the last, a unit's incoming weights, so that output units vanish.
        With -1 the weights that leave an input are a group, and inputs vanish.

    Returns:
      A scalar of w's dtype, float32 at least; its gradient is 0 at groups of zeros.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `axis` does not exist.

    Yuan and Lin weight each group by the root of its size. All groups of an array have one size, so this matters
    between layers only: ``on_params(lambda w: (w.size / w.shape[-1]) ** 0.5 * group_lasso(w))``. A gradient step
    brings groups near zero, `jreg.prox.group_lasso` onto it.

    >>> import jax.numpy as jnp
    >>> float(group_lasso(jnp.array([[3.0, 0.0], [4.0, 2.0]])))
    7.0
    >>> float(group_lasso(jnp.array([[3.0, 4.0], [0.0, 2.0]]), axis=-1))
    7.0

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables, JRSS B 68 (2006);
    Scardapane et al., Group sparse regularization for deep neural networks, Neurocomputing 241 (2017).
    """
    checks.floating(w, "group_lasso's w")
    return jnp.sum(safe_norm(w, axis))


def sparse_group_lasso(w: Array, l1_ratio: Scalar, axis: Axis = None) -> Array:
    r"""A mixture of `l1` and `group_lasso`: few groups, and few weights in those that remain.

    .. math:: \Omega(w) = \alpha \sum_i |w_i| + (1 - \alpha) \sum_j \lVert w_j \rVert_2

    Args:
      w: weights of any shape and floating dtype.
      l1_ratio: alpha, the share of the absolute values, in [0, 1]: 0 is `group_lasso`, 1 is `l1`; may be traced.
      axis: the axes of one group; None: all but the last, a unit's incoming weights.

    Returns:
      A scalar of w's dtype, float32 at least; its gradient is 0 at zero weights in groups of zeros.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: a known `l1_ratio` lies outside [0, 1], or `axis` does not exist.

    >>> import jax.numpy as jnp
    >>> float(sparse_group_lasso(jnp.array([[3.0], [4.0]]), l1_ratio=0.5))
    6.0

    Source: Simon et al., A sparse-group lasso, J. Comput. Graph. Stat. 22 (2013).
    """
    checks.share(l1_ratio, "sparse_group_lasso's l1_ratio")
    checks.floating(w, "sparse_group_lasso's w")
    ratio = in_range(l1_ratio, wide_dtype(w), high=1)
    return ratio * l1(w) + (1 - ratio) * group_lasso(w, axis)


@layerwise
def hoyer_square(w: Array) -> Array:
    r"""The squared ratio of l1 and Euclidean norm: between 1 for one weight and n for n equal ones.

    .. math:: \Omega(w) = \frac{\left(\sum_i |w_i|\right)^2}{\sum_i w_i^2}

    It does not change when all weights are multiplied by a number, so it shrinks small weights and lets large
    ones grow.

    Args:
      w: weights of any shape and floating dtype.

    Returns:
      A scalar of w's dtype, float32 at least; 0 where all weights are 0, with gradient 0.

    Raises:
      TypeError: `w` is no array of floating dtype.

    >>> import jax.numpy as jnp
    >>> float(hoyer_square(jnp.full(4, 0.25))), float(hoyer_square(jnp.array([1.0, 0.0, 0.0, 0.0])))
    (4.0, 1.0)

    Source: Yang, Wen and Li, DeepHoyer: learning sparser neural network with differentiable scale-invariant
    sparsity measures (ICLR 2020).
    """
    checks.floating(w, "hoyer_square's w")
    weights = wide(w)
    # A ratio that no scale changes can be computed at the one where squares neither overflow nor vanish.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(weights), initial=0))
    scaled = weights / jnp.where(largest == 0, 1, largest)
    squares = jnp.sum(jnp.square(scaled))
    return jnp.square(l1(scaled)) / jnp.where(largest == 0, 1, squares)


def log_sum(w: Array, epsilon: Scalar) -> Array:
    r"""Sum of logarithms of absolute values: nearer to counting the weights that aren't zero than `l1`.

    .. math:: \Omega(w) = \sum_i \log\left(1 + \frac{|w_i|}{\epsilon}\right), \qquad
       \partial_i \Omega(w) \ni \frac{\operatorname{sign}(w_i)}{|w_i| + \epsilon}

    This is the paper's :math:`\sum_i \log(|w_i| + \epsilon)` less its value at 0. It isn't convex.

    Args:
      w: weights of any shape and floating dtype.
      epsilon: the size below which a weight is pulled as by `l1` of strength :math:`1/\epsilon`, above 0; may be
        traced.

    Returns:
      A scalar of w's dtype, float32 at least; its gradient at 0 is 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: a known `epsilon` is not above 0.

    >>> import jax.numpy as jnp
    >>> round(float(log_sum(jnp.array([0.0, -3.0, 1.0]), epsilon=1.0)), 4)  # log 4 + log 2
    2.0794

    Source: Candes, Wakin and Boyd, Enhancing sparsity by reweighted l1 minimization, J. Fourier Anal. Appl. 14
    (2008).
    """
    checks.positive(epsilon, "log_sum's epsilon")
    checks.floating(w, "log_sum's w")
    weights = wide(w)
    # As in l1: the derivative of abs at 0 would push zero weights away.
    sizes = weights * jax.lax.stop_gradient(jnp.sign(weights))
    return jnp.sum(jnp.log1p(sizes / in_range(epsilon, weights.dtype)))
