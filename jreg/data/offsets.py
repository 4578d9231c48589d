"""Features far from 0 beside their spread, and of any scale: what float32 has of them isn't lost in sums of squares."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array
from jreg.data import blocks

# A feature whose values lie closer together than a thousandth of what they are is shifted before it is summed.
_NEAR = 1e3
# Beyond these a square or a sum of squares leaves float32.
_SMALL, _LARGE = 1e-12, 1e12


def ends(x: Array | blocks.HostRows, weights: Array, others: tuple[int, ...] = ()) -> tuple[Array | None, Array | None]:
    """What to subtract from each feature, and what to divide its squares by, before they are summed.

    Both change nothing where a feature's values are of ordinary size and not near each other: 0 and 1.

    Args:
      x: ``(n, ...)``; NaN doesn't count.
      weights: ``(n,)``; rows of weight 0 don't count.
      others: the axes beside that of the rows which share a statistic.

    Returns:
      `offset` in float32, for integers of 32 bits in their own dtype; and `scale`, float32 above 0. None and None for
      integers of at most 16 bits, which need neither.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4:
        return None, None
    axes = (0, *others)

    def part(x: Array, weights: Array) -> tuple[Array, Array]:
        counts = (weights > 0) & ~jnp.isnan(x)
        least, most = (jnp.max(jnp.where(counts, sign * x, -jnp.inf), axis=axes, keepdims=True) for sign in (-1, 1))
        return least, most

    negative, most = blocks.over_rows(part, x, weights, jnp.maximum)
    offset, scale = of_ends(-negative, most)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        limits = jnp.iinfo(x.dtype)
        # The largest float32 that fits.
        offset = jnp.clip(offset, float(limits.min), float(limits.max) * (1 - 2**-24)).astype(x.dtype)
    return offset, scale


def of_ends(least: Array, most: Array) -> tuple[Array, Array]:
    """Offset and scale of values between two ends in float32."""
    near = jnp.isfinite(least) & (jnp.abs(least) > _NEAR * (most - least))
    offset = jnp.where(near, least, 0)
    size = jnp.maximum(jnp.abs(least - offset), jnp.abs(most - offset))
    extreme = jnp.isfinite(size) & (size > 0) & ((size < _SMALL) | (size > _LARGE))
    return offset, jnp.where(extreme, size, 1)


def of_column(values: np.ndarray) -> float:
    """What a table's column loses in float64, before it is float32: its least value where it lies far from 0, or 0.

    Any constant of the table would do. It comes from all rows, test rows too, and tells a network nothing: a shift of a
    feature is a change of biases, and standardizing takes it out again. Their mean or spread would be another thing.

    >>> of_column(1.7e9 + np.array([600.0, 0.0, 30.0])), of_column(np.array([1990.0, 2020.0])), of_column(np.ones(2))
    (1700000000.0, 0.0, 0.0)
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0
    least, most = float(known.min()), float(known.max())
    largest = max(abs(least), abs(most))
    # What differs by the rounding of float64 alone is constant.
    near = 2**-40 * largest < most - least < largest / _NEAR
    return least if near else 0.0
