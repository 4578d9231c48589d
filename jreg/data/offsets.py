"""Features far from 0 beside their spread, and of any scale: what float32 has of them isn't lost in sums of squares."""

from __future__ import annotations

import jax.numpy as jnp

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
