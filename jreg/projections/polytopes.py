"""Sets with corners: the simplex and the l1 ball for each unit, and the box, all three optax's."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jreg._base import checks
from jreg._base.arrays import below, in_range, toward_zero, wide_dtype
from jreg._base.sharding import spread_like
from jreg._base.tree import Axis
from jreg._base.types import Array, Scalar
from jreg.projections._units import by_unit


def _dtype() -> jnp.dtype:
    # optax divides by counts, which makes float64 of float32 where x64 is on.
    return jnp.dtype(jnp.result_type(float))


def _by_optax(projection: Callable[..., Array], w: Array, scale: Array, axis: Axis) -> Array:
    # Under strict promotion its counts could not divide its sums.
    with jax.numpy_dtype_promotion("standard"):
        moved = by_unit(lambda v: projection(v, scale), w.astype(scale.dtype), axis)
    # What optax compares with a scale that is NaN is not always NaN.
    return spread_like(jnp.where(jnp.isnan(scale), scale, moved), w)


def simplex(w: Array, total: Scalar, axis: Axis = None) -> Array:
    r"""Makes each unit's incoming weights non-negative with the sum `total`, such as mixing proportions.

    .. math:: w_j \leftarrow \arg\min_v \lVert v - w_j \rVert_2
       \quad\text{with}\quad v \ge 0,\; \sum_i v_i = \text{total}

    `optax.projections.projection_simplex`, which takes a whole tree as one vector, for each unit. Half precision is
    computed in float32.

    Args:
      w: weights of any shape and floating dtype.
      total: the sum, above 0 and finite; 1 gives proportions; may be traced.
      axis: the axes of one unit's incoming weights; None: all but the last.

    Returns:
      An array of w's shape and dtype. A unit with a NaN becomes NaN.

    Raises:
      ValueError: a known `total` is not above 0 or not finite, `axis` does not exist, or units have no weights.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(simplex(jnp.array([[0.5, 2.0], [0.3, 0.0]]), total=1.0))
    [[0.6 1. ]
     [0.4 0. ]]

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, Efficient projections onto the l1-ball for learning in high
    dimensions, ICML 2008.
    """
    checks.positive(total, "simplex's total")
    checks.floating(w, "simplex's array of weights")
    if w.size == 0:
        raise ValueError(
            f"simplex got an array of shape {w.shape}, but no weights have no sum: give units at least one"
        )
    return _by_optax(optax.projections.projection_simplex, w, in_range(total, _dtype()), axis).astype(w.dtype)


def l1_ball(w: Array, c: Scalar, axis: Axis = None) -> Array:
    r"""Moves each unit's incoming weights to absolute sum `c` where it is larger, which makes small weights zero.

    .. math:: w_j \leftarrow \arg\min_v \lVert v - w_j \rVert_2 \quad\text{with}\quad \sum_i |v_i| \le c

    `optax.projections.projection_l1_ball`, which takes a whole tree as one vector, for each unit. The constraint's
    twin is the penalty `jreg.penalties.l1`: each strength of the one has its `c` of the other. Half precision is
    computed in float32.

    Args:
      w: weights of any shape and floating dtype.
      c: radius above 0; may be traced; infinity leaves `w` as it is, and so does any `c` that isn't exceeded.
      axis: the axes of one unit's incoming weights; None: all but the last.

    Returns:
      An array of w's shape and dtype. A unit with a NaN becomes NaN.

    Raises:
      ValueError: a known `c` is not above 0, or `axis` does not exist.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(l1_ball(jnp.array([[3.0, 0.3], [-2.0, 0.4], [0.5, 0.0]]), c=2.0))
    [[ 1.5  0.3]
     [-0.5  0.4]
     [ 0.   0. ]]

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, Efficient projections onto the l1-ball for learning in high
    dimensions, ICML 2008.
    """
    checks.radius(c, "l1_ball's radius c")
    checks.floating(w, "l1_ball's array of weights")
    if w.size == 0:
        return w
    # An infinite radius would put 0 * inf into the derivative of the branch that isn't taken.
    scale = jnp.minimum(in_range(c, _dtype()), jnp.finfo(_dtype()).max)
    return toward_zero(_by_optax(optax.projections.projection_l1_ball, w, scale, axis), w.dtype)


def box(w: Array, lower: Scalar, upper: Scalar) -> Array:
    r"""Moves every weight into an interval, known as weight clipping.

    .. math:: w_i \leftarrow \min(\max(w_i, \text{lower}), \text{upper})

    Args:
      w: weights of any shape and floating dtype.
      lower: least value, a number or an array that broadcasts to w's shape; may be traced; -infinity is no bound.
      upper: greatest value, at least `lower`; may be traced; infinity is no bound.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known bound is NaN, a known `lower` lies above a known `upper`, or a bound has a shape that doesn't
        broadcast to w's.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> box(jnp.array([-3.0, 0.5, 2.0]), lower=-1.0, upper=1.0).tolist()
    [-1.0, 0.5, 1.0]

    Source: Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, algorithm 1, for clipped weights;
    `optax.projections.projection_box`, which this is.
    """
    checks.floating(w, "box's array of weights")
    for name, shape in (("lower", jnp.shape(lower)), ("upper", jnp.shape(upper))):
        # optax would make the result as large as its bounds.
        if len(shape) > w.ndim or any(a not in (1, b) for a, b in zip(shape[::-1], w.shape[::-1], strict=False)):
            raise ValueError(
                f"box's {name} has shape {shape}, but must be a number or broadcast to w's shape, {w.shape}"
            )
    known = [np.asarray(bound) for bound in (lower, upper) if not isinstance(bound, jax.Array)]
    if any(np.isnan(bound).any() for bound in known) or (len(known) == 2 and not (known[0] <= known[1]).all()):
        raise ValueError(f"box's bounds are {lower} and {upper}, but must be numbers with the lower one first")
    least, greatest = jnp.asarray(lower, wide_dtype(w)), jnp.asarray(upper, wide_dtype(w))
    # Nothing lies between bounds that are the wrong way round, or no numbers.
    greatest = jnp.where(least <= greatest, greatest, jnp.nan)
    # Half precision has bounds of its own, inside of those given.
    return optax.projections.projection_box(w, -below(-least, w.dtype), below(greatest, w.dtype))
