"""What the noise functions ask of an array, and the shapes of masks that several elements share."""

from __future__ import annotations

import jax

from jreg._base import checks, random
from jreg._base.arrays import wide_dtype
from jreg._base.tree import Axis, axes
from jreg._base.types import Array, Key


def batch_of(x: Array, least: int, name: str) -> None:
    """Raises TypeError or ValueError unless `x` is floating and has `least` axes, the examples' first."""
    checks.floating(x, name)
    if x.ndim < least:
        raise ValueError(f"{name} has shape {x.shape}, but needs {least} axes or more, the first one the examples'")


def inner_axes(x: Array, axis: Axis, name: str) -> tuple[int, ...]:
    """`axis` as non-negative axes, none of them the examples'."""
    along = axes(x, axis)
    if 0 in along:
        raise ValueError(
            f"{name}'s axis is {axis!r}, which contains the axis of the examples, but must be among others"
        )
    return along


def shape_along(x: Array, *along: int) -> tuple[int, ...]:
    """The shape of `x` with 1 for every axis but `along`: that of a mask which the others share."""
    return tuple(n if a in along else 1 for a, n in enumerate(x.shape))


def normal(key: Key, x: Array) -> Array:
    """Standard normal numbers for each element of `x`."""
    return jax.random.normal(random.unrolled(key), x.shape, wide_dtype(x))
