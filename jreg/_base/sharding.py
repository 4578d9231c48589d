"""Arrays that are spread over several devices: what is computed of all of one, and where the result goes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreg._base.types import Array


def is_spread(x: Any) -> bool:
    """Whether the compiler may split `x` over devices: not inside of `jax.shard_map`, where each has an array."""
    kinds = jax.typeof(x).sharding.mesh.axis_types
    return AxisType.Auto in kinds or AxisType.Explicit in kinds


def _is_explicit(x: Array) -> bool:
    return AxisType.Explicit in jax.typeof(x).sharding.mesh.axis_types


def whole(x: Array) -> Array:
    """`x` on every device, where its type says how it is split (explicit axes): decompositions refuse parts.

    Under automatic axes the compiler does this by itself.
    """
    if not _is_explicit(x):
        return x
    return jax.sharding.reshard(x, NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec()))


def whole_rows(x: Array) -> Array:
    """`x` with its last axis on every device, where its type says how it is split, and the others as they are."""
    if not _is_explicit(x):
        return x
    mesh, spec = jax.typeof(x).sharding.mesh, jax.typeof(x).sharding.spec
    return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec(*spec[: x.ndim - 1], None)))


def placed_like(y: Array, x: Array) -> Array:
    """`y`, which is the same on every device, as it meets `x` elementwise: some operations ask for equal types."""
    return jax.sharding.reshard(y, jax.typeof(x).sharding) if y.shape == jnp.shape(x) and _is_explicit(x) else y


def spread_like(y: Array, x: Array) -> Array:
    """`y`, of x's shape, split over the devices as `x` is."""
    if not is_spread(x):
        return y
    if _is_explicit(x):
        return jax.sharding.reshard(y, jax.typeof(x).sharding)
    # Both choices are y; a choice by x is split as x is.
    return jnp.where(jnp.isnan(x), y, y)


def placed(w: Array, sharding: Any) -> Array:
    """`w` under a sharding or a partition spec of the mesh in use; as it is for None."""
    if sharding is None:
        return w
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else jax.typeof(w).sharding.mesh
    explicit = AxisType.Explicit in mesh.axis_types
    return jax.sharding.reshard(w, sharding) if explicit else jax.lax.with_sharding_constraint(w, sharding)
