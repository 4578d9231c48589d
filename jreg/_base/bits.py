"""Random bits for masks: numbers of 16 bits, which belong to a row and not to the batch that it is in."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from jreg._base import random
from jreg._base.sharding import is_spread, placed_like
from jreg._base.types import Array, Key, Scalar

LEVELS = 2**16


def uniform16(key: Key, shape: tuple[int, ...], x: Array | None = None) -> Array:
    """Independent uniform integers below 2**16.

    Those of a row, along the first axis, don't depend on how many rows there are: an example has the same mask in a
    batch that is padded and in one that isn't. Where they are for an array `x` that may be split over devices, each of
    them draws its own part; the numbers are the same.
    """
    if not random.is_threefry(key):
        return jax.random.bits(key, shape, jnp.uint32) & 0xFFFF
    if x is None or not is_spread(x):
        return _at_once(key, shape)
    return placed_like(_elementwise(key, shape), x)


# Outside of a compiled function every operation would be a program of its own; inside of one this changes nothing.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def _at_once(key: Key, shape: tuple[int, ...]) -> Array:
    rows = shape[0] if len(shape) > 1 else -(-math.prod(shape) // 4)
    size = math.prod(shape[1:]) if len(shape) > 1 else 4

    def part(first: int, last: int) -> Array:
        row, column = (jax.lax.broadcasted_iota(jnp.uint32, (last - first, size), axis) for axis in (0, 1))
        return _numbers(key, row + jnp.uint32(first), column)

    # XLA computes what is concatenated once, and other elementwise results again for each of their uses.
    drawn = jnp.concatenate([part(0, rows // 2), part(rows // 2, rows)])
    return drawn.reshape(shape) if len(shape) > 1 else drawn.reshape(-1)[: math.prod(shape)].reshape(shape)


# What is concatenated or reshaped would have to travel between devices.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def _elementwise(key: Key, shape: tuple[int, ...]) -> Array:
    index = [jax.lax.broadcasted_iota(jnp.uint32, shape, axis) for axis in range(len(shape))]
    if len(shape) < 2:
        flat = index[0] if shape else jnp.zeros((), jnp.uint32)
        return _numbers(key, flat >> 2, flat & 3)
    column = jnp.zeros(shape, jnp.uint32)
    for axis in range(1, len(shape)):
        column = column * jnp.uint32(shape[axis]) + index[axis]
    return _numbers(key, index[0], column)


def _numbers(key: Key, row: Array, column: Array) -> Array:
    """The numbers at these places: a row counts blocks of two words, four numbers each, of its own."""
    words = random.threefry(jax.random.key_data(key), row, column >> 2, rounds=13)
    part = column & 3
    word = jnp.where(part < 2, *words)
    return (word >> ((part & 1) << 4)) & 0xFFFF


def kept(key: Key, x: Array, rate: Scalar, shape: tuple[int, ...] | None = None) -> tuple[Array, Array]:
    """A mask, True with the keep probability 1 - `rate`, and that probability as realized: a multiple of 2**-16.

    The mask is for `x`, of its shape or of one that broadcasts to it.
    """
    levels = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * LEVELS), 1, LEVELS)
    drawn = uniform16(key, jnp.shape(x) if shape is None else shape, x)
    return drawn < levels.astype(jnp.uint32), levels / LEVELS
