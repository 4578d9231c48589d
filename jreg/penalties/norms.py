"""Norms of one weight array, and the distance to another."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, wide, wide_dtype
from jreg._base.types import Array, Scalar


def l2(w: Array) -> Array:
    r"""Half the squared Euclidean norm, known as ridge or Tikhonov regularization.

    .. math:: \Omega(w) = \tfrac12 \sum_i w_i^2, \qquad \nabla\Omega(w) = w

    Args:
      w: weights of any shape and floating dtype; activations through `jreg.on_activations` (activity
        regularization).

    Returns:
      A scalar of w's dtype, float32 at least.

    Raises:
      TypeError: `w` is no array of floating dtype.

    The squared norm without the half, as Keras has it, is this one with twice the strength. Under plain gradient
    descent with step size e, a strength alpha of this penalty is decay by the factor (1 - e alpha); under Adam it
    is not, see `jreg.decoupled_weight_decay`.

    >>> import jax.numpy as jnp
    >>> float(l2(jnp.array([3.0, 4.0])))
    12.5

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.1.1.
    """
    checks.floating(w, "l2's w")
    return jnp.sum(jnp.square(wide(w))) / 2


def l1(w: Array) -> Array:
    r"""Sum of absolute values, known as the lasso penalty.

    .. math:: \Omega(w) = \sum_i |w_i|, \qquad \partial\Omega(w) \ni \operatorname{sign}(w)

    Args:
      w: weights of any shape and floating dtype; activations through `jreg.on_activations` (activity
        regularization).

    Returns:
      A scalar of w's dtype, float32 at least; its gradient at 0 is 0.

    Raises:
      TypeError: `w` is no array of floating dtype.

    >>> import jax.numpy as jnp
    >>> float(l1(jnp.array([3.0, -4.0])))
    7.0

    Source: Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 58 (1996).
    """
    checks.floating(w, "l1's w")
    # JAX gives abs the derivative 1 at 0, which would push zero weights away at every step.
    return jnp.sum(wide(w) * jax.lax.stop_gradient(jnp.sign(wide(w))))


def elastic_net(w: Array, beta: Scalar) -> Array:
    r"""Sum of absolute values plus `beta` times the sum of squares.

    .. math:: \Omega(w) = \sum_i \left(\beta w_i^2 + |w_i|\right)

    Args:
      w: weights of any shape and floating dtype.
      beta: weight of the squares, at least 0; may be traced. The squares are not halved: this is the
        lecture's form, `elastic_net_ratio` is scikit-learn's.

    Returns:
      A scalar of w's dtype, float32 at least; its gradient at 0 is 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: a known `beta` is negative or not finite.

    >>> import jax.numpy as jnp
    >>> float(elastic_net(jnp.array([3.0, -4.0]), beta=0.5))
    19.5

    Source: Zou and Hastie, Regularization and variable selection via the elastic net, JRSS B 67 (2005).
    """
    checks.strength(beta, "elastic_net's beta")
    return l1(w) + in_range(beta, wide_dtype(w)) * jnp.sum(jnp.square(wide(w)))


def elastic_net_ratio(w: Array, l1_ratio: Scalar) -> Array:
    r"""A mixture of `l1` and `l2` in scikit-learn's and glmnet's convention.

    .. math:: \Omega(w) = \alpha \sum_i |w_i| + \frac{1 - \alpha}{2} \sum_i w_i^2

    With strength s this is `elastic_net` of strength :math:`s\alpha` and :math:`\beta = (1 - \alpha) / 2\alpha`.

    Args:
      w: weights of any shape and floating dtype.
      l1_ratio: alpha, the share of the absolute values, in [0, 1]: 0 is `l2`, 1 is `l1`; may be traced.

    Returns:
      A scalar of w's dtype, float32 at least; its gradient at 0 is 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: a known `l1_ratio` lies outside [0, 1].

    >>> import jax.numpy as jnp
    >>> float(elastic_net_ratio(jnp.array([3.0, -4.0]), l1_ratio=0.5))
    9.75

    Source: Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via coordinate
    descent, J. Stat. Softw. 33 (2010); `sklearn.linear_model.ElasticNet`.
    """
    checks.share(l1_ratio, "elastic_net_ratio's l1_ratio")
    checks.floating(w, "elastic_net_ratio's w")
    ratio = in_range(l1_ratio, wide_dtype(w), high=1)
    return ratio * l1(w) + (1 - ratio) * l2(w)


def l2_sp(w: Array, reference: Array) -> Array:
    r"""Half the squared distance to reference weights, such as those that fine-tuning starts from.

    .. math:: \Omega(w) = \tfrac12 \sum_i (w_i - w^0_i)^2

    `jreg.on_params` with ``reference=tree`` gives every weight array its own reference from a tree of parameters.

    Args:
      w: weights of any shape and floating dtype.
      reference: an array of w's shape; may be traced.

    Returns:
      A scalar of w's dtype, float32 at least.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: the shapes differ.

    >>> import jax.numpy as jnp
    >>> float(l2_sp(jnp.array([3.0, 4.0]), reference=jnp.array([3.0, 2.0])))
    2.0

    Source: Li, Grandvalet and Davoine, Explicit inductive bias for transfer learning with convolutional networks
    (ICML 2018).
    """
    checks.floating(w, "l2_sp's w")
    if jnp.shape(reference) != w.shape:
        raise ValueError(f"l2_sp's reference has shape {jnp.shape(reference)}, but w has shape {w.shape}")
    return l2(wide(w) - jnp.asarray(reference, wide_dtype(w)))
