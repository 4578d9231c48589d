"""Random bits for masks: numbers of 16 bits, which belong to a row and not to the batch that it is in."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from jreg._base import random
from jreg._base.types import Array, Key, Scalar

LEVELS = 2**16


# Outside of a compiled function every operation would be a program of its own; inside of one this changes nothing.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def uniform16(key: Key, shape: tuple[int, ...]) -> Array:
    """Independent uniform integers below 2**16.

    Those of a row, along the first axis, don't depend on how many rows there are: an example has the same mask in a
    batch that is padded and in one that isn't.
    """
    if not random.is_threefry(key):
        return jax.random.bits(key, shape, jnp.uint32) & 0xFFFF
    rows = shape[0] if len(shape) > 1 else -(-math.prod(shape) // 4)
    size = math.prod(shape[1:]) if len(shape) > 1 else 4
    # XLA computes what is concatenated once, and other elementwise results again for each of their uses.
    halves = [(0, rows // 2), (rows // 2, rows)]
    drawn = jnp.concatenate([_numbers(key, first, last, size) for first, last in halves])
    return drawn.reshape(shape) if len(shape) > 1 else drawn.reshape(-1)[: math.prod(shape)].reshape(shape)


def _numbers(key: Key, first: int, last: int, size: int) -> Array:
    """`size` numbers of these rows each: a row counts blocks of two words, four numbers each, of its own."""
    row, column = (jax.lax.broadcasted_iota(jnp.uint32, (last - first, size), axis) for axis in (0, 1))
    words = random.threefry(jax.random.key_data(key), row + jnp.uint32(first), column >> 2, rounds=13)
    part = column & 3
    word = jnp.where(part < 2, *words)
    return (word >> ((part & 1) << 4)) & 0xFFFF


def kept(key: Key, shape: tuple[int, ...], rate: Scalar) -> tuple[Array, Array]:
    """A mask, True with the keep probability 1 - `rate`, and that probability as realized: a multiple of 2**-16."""
    levels = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * LEVELS), 1, LEVELS)
    return uniform16(key, shape) < levels.astype(jnp.uint32), levels / LEVELS
