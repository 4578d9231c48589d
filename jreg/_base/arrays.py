"""What computations on arrays share: their precision, norms, numbers in range, a kernel as a matrix, and products."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.sharding import whole
from jreg._base.tree import Axis, axes
from jreg._base.types import Array, Scalar


def wide_dtype(x: Any) -> jnp.dtype:
    """The dtype to compute in: that of `x`, but float32 for half precision."""
    dtype = jnp.result_type(x)
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype


def wide(x: Array) -> Array:
    """`x` in float32 at least: half precision loses squares, overflows in sums and has no decompositions."""
    return x.astype(wide_dtype(x))


def below(x: Array, dtype: jnp.dtype) -> Array:
    """`x` in `dtype`; in half precision the largest number that isn't above it. Its derivative is that of a cast."""
    near, kind = x.astype(dtype), jnp.finfo(dtype)
    if kind.bits >= 32:
        return near
    fixed = jax.lax.stop_gradient(near)
    # XLA may leave out a cast there and back, but not this operation.
    over = (jax.lax.reduce_precision(x, kind.nexp, kind.nmant) > x) & jnp.isfinite(near)
    return near - jnp.where(over, fixed - jnp.nextafter(fixed, jnp.full_like(fixed, -jnp.inf)), 0)


def toward_zero(x: Array, dtype: jnp.dtype) -> Array:
    """`x` in `dtype`; half precision is rounded toward zero, so that no norm grows by it."""
    return jnp.where(x < 0, -below(-x, dtype), below(x, dtype)) if jnp.finfo(dtype).bits < 32 else x.astype(dtype)


def in_range(value: Scalar, dtype: jnp.dtype, low: float = 0.0, high: float = math.inf) -> Array:
    """`value` in `dtype`, NaN where it lies outside [low, high]: a traced number can't raise, and must not do harm.

    Numbers that Python knows have been through `jreg._base.checks`.
    """
    number = jnp.asarray(value, dtype)
    if checks.concrete(value) is not None:
        return number
    return jnp.where((number >= low) & (number <= high), number, jnp.nan)


def safe_norm(w: Array, axis: Axis = None) -> Array:
    """Euclidean norm along `axis` with axes kept, in float32 at least.

    Its gradient at 0 is 0 and not NaN; it is NaN where a weight is.
    """
    along, w = axes(w, axis), wide(w)
    # Scaled by the largest element, squares neither overflow nor vanish.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(w), axis=along, keepdims=True, initial=0))
    # NaN isn't 0 either, and must not get lost.
    positive = largest != 0
    squared = jnp.sum(jnp.square(w / jnp.where(positive, largest, 1)), axis=along, keepdims=True)
    return jnp.where(positive, largest * jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def matrix(w: Array, name: str, axis: Axis = None) -> Array:
    """`w` as a matrix in float32 at least, with one vector of `axis` a column."""
    checks.matrix(w, name)
    along = axes(w, axis)
    others = tuple(a for a in range(w.ndim) if a not in along)
    length = math.prod(w.shape[a] for a in along)
    return wide(jnp.transpose(whole(w), (*along, *others)).reshape(length, -1))


def product(*factors: Array) -> Array:
    """The product of matrices in full precision; accelerators multiply in a lower one by default."""
    return jnp.linalg.multi_dot(factors, precision="highest")
