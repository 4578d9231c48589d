r"""Proximal operators: plain functions that return the best trade-off between a penalty and staying near.

.. math:: \operatorname{prox}_{t \Omega}(w) = \arg\min_v \; t\,\Omega(v) + \tfrac12 \lVert v - w \rVert_2^2

Unlike a penalty's gradient they reach exact zeros. Lift them into an optax transform with `jreg.proximal`. The
threshold `t` is a strength times a learning rate; ``t=0`` leaves weights as they are. A traced threshold that is
negative makes all weights NaN, since a traced number can't raise. Half precision is computed in float32, and the result
rounded.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, matrix, product, safe_norm, wide, wide_dtype
from jreg._base.reading import layerwise
from jreg._base.sharding import spread_like
from jreg._base.singular import derivative
from jreg._base.tree import Axis
from jreg._base.types import Array, Scalar


def l1(w: Array, t: Scalar, non_negative: bool = False) -> Array:
    r"""Moves every weight towards zero by `t`, and to zero if it is smaller: soft thresholding.

    .. math:: \Omega(w) = \sum_i |w_i|, \qquad w_i \leftarrow \operatorname{sign}(w_i) \max(|w_i| - t, 0)

    Args:
      w: weights of any shape and floating dtype.
      t: threshold of at least 0, or an array of w's shape with one for each weight; may be traced.
      non_negative: whether negative weights become zero as well, :math:`w_i \leftarrow \max(w_i - t, 0)`.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` is negative or not finite, or `t` has another shape.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> l1(jnp.array([3.0, -0.5, -2.0]), t=1.0).tolist()
    [2.0, 0.0, -1.0]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 6.5.
    """
    checks.floating(w, "prox.l1's array of weights")
    checks.strength(t, "prox.l1's threshold t")
    if jnp.shape(t) not in ((), w.shape):
        raise ValueError(
            f"prox.l1's threshold t has shape {jnp.shape(t)}, but must be a number or have w's shape, {w.shape}"
        )
    weights, limit = wide(w), in_range(t, wide_dtype(w))
    if non_negative:
        return jnp.maximum(weights - limit, 0).astype(w.dtype)
    # This comparison lets NaN through, and its derivative for t = 0 is 1 at zero weights too.
    return jnp.where(jnp.abs(weights) < limit, 0, weights - jnp.sign(weights) * limit).astype(w.dtype)


def l2(w: Array, t: Scalar) -> Array:
    r"""Shrinks every weight by the same factor: a ridge step. It gives no zeros.

    .. math:: \Omega(w) = \tfrac12 \sum_i w_i^2, \qquad w \leftarrow \frac{w}{1 + t}

    Args:
      w: weights of any shape and floating dtype.
      t: threshold of at least 0; may be traced.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` is negative or not finite.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> l2(jnp.array([3.0, -4.0]), t=1.0).tolist()
    [1.5, -2.0]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 6.1.
    """
    checks.floating(w, "prox.l2's array of weights")
    checks.strength(t, "prox.l2's threshold t")
    return (wide(w) / (1 + in_range(t, wide_dtype(w)))).astype(w.dtype)


def elastic_net(w: Array, t: Scalar, beta: Scalar) -> Array:
    r"""Soft thresholding and then a ridge step, for the penalty `jreg.penalties.elastic_net`.

    .. math::
       \Omega(w) = \sum_i \left(\beta w_i^2 + |w_i|\right), \qquad
       w_i \leftarrow \frac{\operatorname{sign}(w_i) \max(|w_i| - t, 0)}{1 + 2 t \beta}

    Args:
      w: weights of any shape and floating dtype.
      t: threshold of at least 0; may be traced.
      beta: weight of the squares, which are not halved, at least 0; may be traced.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` or `beta` is negative or not finite.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> elastic_net(jnp.array([3.0, -0.5, -2.0]), t=1.0, beta=0.5).tolist()
    [1.0, 0.0, -0.5]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 6.5; Friedman, Hastie and Tibshirani,
    Regularization paths for generalized linear models via coordinate descent, J. Stat. Softw. 33 (2010).
    """
    checks.floating(w, "prox.elastic_net's array of weights")
    checks.strength(t, "prox.elastic_net's threshold t")
    checks.strength(beta, "prox.elastic_net's beta")
    shrink = 1 + 2 * in_range(t, wide_dtype(w)) * in_range(beta, wide_dtype(w))
    return (l1(wide(w), t) / shrink).astype(w.dtype)


def group_lasso(w: Array, t: Scalar, axis: Axis = None) -> Array:
    r"""Shortens each unit's incoming weights by `t`, and zeroes units that are shorter: block soft thresholding.

    .. math:: \Omega(w) = \sum_j \lVert w_j \rVert_2, \qquad
       w_j \leftarrow w_j \max\left(1 - \frac{t}{\lVert w_j \rVert_2}, 0\right)

    Args:
      w: weights of any shape and floating dtype.
      t: threshold of at least 0; may be traced. Yuan and Lin weight a group by the root of its size: multiply `t`
        by it, since all groups of an array have one size.
      axis: the axes of one group; None: all but the last, a unit's incoming weights, so that whole units vanish.
        With -1 the weights that leave an input are a group, and inputs vanish.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` is negative or not finite, or `axis` does not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(group_lasso(jnp.array([[3.0, 0.3], [4.0, 0.4]]), t=2.5))
    [[1.5 0. ]
     [2.  0. ]]

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables, JRSS B 68 (2006);
    Parikh and Boyd, Proximal algorithms (2014), section 6.5.
    """
    checks.floating(w, "prox.group_lasso's array of weights")
    checks.strength(t, "prox.group_lasso's threshold t")
    norm, limit = safe_norm(w, axis), in_range(t, wide_dtype(w))
    # A quotient of exact differences; at norm 0 it is chosen for t = 0 alone, and is the identity's factor.
    left = jnp.where((norm == 0) & (limit == 0), 1, (norm - limit) / jnp.where(norm == 0, 1, norm))
    return (wide(w) * jnp.where(norm < limit, 0, left)).astype(w.dtype)


def sparse_group_lasso(w: Array, t: Scalar, l1_ratio: Scalar, axis: Axis = None) -> Array:
    r"""Soft thresholding and then block soft thresholding: zeroes units, and weights of the units that remain.

    .. math:: \Omega(w) = \alpha \sum_i |w_i| + (1 - \alpha) \sum_j \lVert w_j \rVert_2

    Args:
      w: weights of any shape and floating dtype.
      t: threshold of at least 0; may be traced.
      l1_ratio: alpha, the share of the absolute values, in [0, 1]: 0 is `group_lasso`, 1 is `l1`; may be traced.
      axis: the axes of one group; None: all but the last, a unit's incoming weights.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` is negative or not finite, a known `l1_ratio` lies outside [0, 1], or `axis` does
        not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(sparse_group_lasso(jnp.array([[4.0, 0.3], [1.0, 0.4], [5.0, 0.5]]), t=2.0, l1_ratio=0.5))
    [[2.4 0. ]
     [0.  0. ]
     [3.2 0. ]]

    Source: Simon et al., A sparse-group lasso, J. Comput. Graph. Stat. 22 (2013); Friedman, Hastie and Tibshirani,
    A note on the group lasso and a sparse group lasso (2010).
    """
    checks.floating(w, "prox.sparse_group_lasso's array of weights")
    checks.strength(t, "prox.sparse_group_lasso's threshold t")
    checks.share(l1_ratio, "prox.sparse_group_lasso's l1_ratio")
    limit, ratio = in_range(t, wide_dtype(w)), in_range(l1_ratio, wide_dtype(w), high=1)
    return group_lasso(l1(wide(w), ratio * limit), (1 - ratio) * limit, axis).astype(w.dtype)


def non_negative(w: Array, t: Scalar) -> Array:
    r"""Sets negative weights to zero, whatever the threshold.

    .. math:: w \leftarrow \max(w, 0)

    The proximal operator of a set is its projection: `jreg.project` with `jreg.projections.non_negative` does the
    same. ``l1(w, t, non_negative=True)`` also lowers the others by `t`.

    Args:
      w: weights of any shape and floating dtype.
      t: not used.

    Returns:
      An array of w's shape and dtype.

    Raises:
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> non_negative(jnp.array([-1.0, 2.0]), t=1.0).tolist()
    [0.0, 2.0]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 1.2.
    """
    del t
    checks.floating(w, "prox.non_negative's array of weights")
    return jnp.maximum(w, 0)


@layerwise
def nuclear_norm(w: Array, t: Scalar) -> Array:
    r"""Moves every singular value towards zero by `t`, and to zero if it is smaller: the rank falls.

    .. math:: \Omega(W) = \sum_i \sigma_i(W), \qquad W = U \Sigma V^\top \leftarrow U \max(\Sigma - t, 0) V^\top

    A kernel with more than two axes is taken as the matrix of all axes but the last by the last. Singular values
    that vanish are zero to rounding; where all do, the result is exactly zero. Half precision is computed in
    float32. First derivatives are finite everywhere, also at equal singular values.

    Args:
      w: weights with two axes or more, of floating dtype.
      t: threshold of at least 0; may be traced.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `t` is negative or not finite, or `w` has fewer than two axes.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(nuclear_norm(jnp.array([[3.0, 0.0], [0.0, 0.5], [0.0, 0.0]]), t=1.0))
    [[2. 0.]
     [0. 0.]
     [0. 0.]]

    Source: Cai, Candes and Shen, A singular value thresholding algorithm for matrix completion, SIAM J. Optim. 20
    (2010), theorem 2.1.
    """
    checks.strength(t, "prox.nuclear_norm's threshold t")
    m = matrix(w, "prox.nuclear_norm")
    limit = in_range(t, m.dtype)
    # Of a wide matrix the transpose is decomposed.
    shrunk = _shrink_singular_values(m.T, limit).T if m.shape[0] < m.shape[1] else _shrink_singular_values(m, limit)
    return spread_like(shrunk.reshape(w.shape).astype(w.dtype), w)


def _shrunk(m: Array, t: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    return jnp.where(t == 0, m, product(u * jnp.maximum(s - t, 0)[None, :], vt)), (u, s, vt)


@jax.custom_jvp
def _shrink_singular_values(m: Array, t: Array) -> Array:
    return _shrunk(m, t)[0]


@_shrink_singular_values.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (m, t), (change, change_of_t) = primals, tangents
    out, (u, s, vt) = _shrunk(m, t)
    high, low = jnp.maximum(s[:, None], s[None, :]), jnp.minimum(s[:, None], s[None, :])
    gap = high - low
    differences = jnp.where(low >= t, 1, jnp.where(high < t, 0, (high - t) / jnp.where(gap > 0, gap, 1)))
    at_zero = jnp.where(t == 0, 1, 0).astype(s.dtype)
    moved = derivative((u, s, vt), change, jnp.maximum(s - t, 0), differences, at_zero)
    return out, moved - change_of_t * product(u * jnp.where(s > t, 1, 0)[None, :], vt)
