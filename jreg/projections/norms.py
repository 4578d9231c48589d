"""Constraints of each unit's norm, and of signs."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, safe_norm, toward_zero, wide, wide_dtype
from jreg._base.tree import Axis
from jreg._base.types import Array, Scalar


def max_norm(w: Array, c: Scalar, axis: Axis = None) -> Array:
    r"""Scales each unit's incoming weights back to norm `c` where they are longer.

    .. math:: w_j \leftarrow w_j \min\left(1, \frac{c}{\lVert w_j \rVert_2}\right)

    Args:
      w: weights of any shape and floating dtype.
      c: radius above 0; may be traced; infinity leaves `w` as it is.
      axis: the axes of one unit's incoming weights; None: all but the last.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `c` is not above 0, or `axis` does not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(max_norm(jnp.array([[3.0, 0.3], [4.0, 0.4]]), c=1.0))
    [[0.6 0.3]
     [0.8 0.4]]

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 5.1; Srebro and Shraibman (2005).
    """
    checks.radius(c, "max_norm's radius c")
    checks.floating(w, "max_norm's array of weights")
    norm = safe_norm(w, axis)
    limit = in_range(c, norm.dtype)
    # A unit with NaN has no norm that would be short enough, and so it is with a radius that is NaN.
    longer = ~(norm <= limit)
    # Both inner choices keep an infinite radius and a zero norm out of the gradient.
    scale = jnp.where(longer, jnp.where(longer, limit, 1) / jnp.where(longer, norm, 1), 1)
    return toward_zero(wide(w) * scale, w.dtype)


def unit_norm(w: Array, axis: Axis = None) -> Array:
    r"""Scales each unit's incoming weights to norm 1; a vector of zeros stays zero.

    .. math:: w_j \leftarrow \frac{w_j}{\lVert w_j \rVert_2}

    Args:
      w: weights of any shape and floating dtype.
      axis: the axes of one unit's incoming weights; None: all but the last.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: `axis` does not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(unit_norm(jnp.array([[0.0, 3.0], [2.0, 4.0]])))
    [[0.  0.6]
     [1.  0.8]]

    Source: Keras' ``UnitNorm`` constraint; Salimans and Kingma, Weight normalization (2016), gives the motive.
    """
    checks.floating(w, "unit_norm's array of weights")
    norm = safe_norm(w, axis)
    return (wide(w) / jnp.where(norm == 0, 1, norm)).astype(w.dtype)


def min_max_norm(w: Array, low: Scalar, high: Scalar, rate: Scalar = 1.0, axis: Axis = None) -> Array:
    r"""Scales each unit's incoming weights to norm `low` where they are shorter and `high` where they are longer.

    .. math:: w_j \leftarrow (1 - \text{rate})\, w_j
       + \text{rate}\, \min(\max(\lVert w_j \rVert_2, \text{low}), \text{high}) \frac{w_j}{\lVert w_j \rVert_2}

    Args:
      w: weights of any shape and floating dtype.
      low: least norm, at least 0; may be traced.
      high: greatest norm, at least `low`; may be traced; infinity is no bound.
      rate: share of the way that is gone, in [0, 1]; may be traced. 1 is the projection; less approaches the set
        over several steps, as Keras offers; 0 leaves `w` as it is.
      axis: the axes of one unit's incoming weights; None: all but the last.

    Returns:
      An array of w's shape and dtype. A unit of zeros has no direction and stays zero, also where `low` is above 0.

    Raises:
      ValueError: a known `low` is negative or not finite, a known `high` is below a known `low`, a known `rate`
        lies outside [0, 1], or `axis` does not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(min_max_norm(jnp.array([[3.0, 0.3], [4.0, 0.4]]), low=1.0, high=2.0))
    [[1.2 0.6]
     [1.6 0.8]]

    Source: Keras' ``MinMaxNorm`` constraint; for its upper half Srivastava et al., Dropout, JMLR 15 (2014).
    """
    checks.floating(w, "min_max_norm's array of weights")
    checks.strength(low, "min_max_norm's low")
    checks.share(rate, "min_max_norm's rate")
    least, greatest = checks.concrete(low), checks.concrete(high)
    if greatest is not None and not greatest >= (least or 0):
        raise ValueError(f"min_max_norm's high is {greatest:g}, but a greatest norm is at least low, {least or 0:g}")
    norm, part, weights = safe_norm(w, axis), in_range(rate, wide_dtype(w), high=1), wide(w)
    low, high = in_range(low, norm.dtype), in_range(high, norm.dtype)
    # Between bounds that are the wrong way round, or no numbers, there is nothing.
    high = jnp.where((low <= high) & (part >= 0), high, jnp.nan)
    shorter, longer = norm < low, ~(norm <= high)
    # An infinite bound is kept out of the product, which the derivative of the untaken choice would see.
    target = jnp.where(longer, high, jnp.where(shorter, low, norm))
    moved = (1 - part) * weights + part * (weights / jnp.where(norm == 0, 1, norm) * target)
    # Rounding must not make a unit longer that was too long, nor shorter that was too short.
    moved = jnp.where(longer, toward_zero(moved, w.dtype), moved.astype(w.dtype))
    return jnp.where(shorter | longer, moved, w)


def non_negative(w: Array) -> Array:
    r"""Sets negative weights to zero.

    .. math:: w \leftarrow \max(w, 0)

    Args:
      w: weights of any shape and floating dtype.

    Returns:
      An array of w's shape and dtype.

    Raises:
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> non_negative(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]

    Source: Lee and Seung, Learning the parts of objects, Nature 401 (1999); Keras' ``NonNeg``.
    """
    checks.floating(w, "non_negative's array of weights")
    return jnp.maximum(w, 0)
