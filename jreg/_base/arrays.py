"""What computations on arrays share: the precision they need, a kernel as a matrix, and products of matrices."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.tree import Axis, axes
from jreg._base.types import Array


def wide_dtype(x: Any) -> jnp.dtype:
    """The dtype to compute in: that of `x`, but float32 for half precision."""
    dtype = jnp.result_type(x)
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype


def wide(x: Array) -> Array:
    """`x` in float32 at least: half precision loses squares and has no decompositions."""
    return x.astype(wide_dtype(x))


def matrix(w: Array, name: str, axis: Axis = None) -> Array:
    """`w` as a matrix in float32 at least, with one vector of `axis` a column."""
    checks.matrix(w, name)
    along = axes(w, axis)
    others = tuple(a for a in range(w.ndim) if a not in along)
    length = math.prod(w.shape[a] for a in along)
    return wide(jnp.transpose(w, (*along, *others)).reshape(length, -1))


def product(*factors: Array) -> Array:
    """The product of matrices in full precision; accelerators multiply in a lower one by default."""
    return jnp.linalg.multi_dot(factors, precision="highest")
