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
    count = math.prod(shape)
    # XLA computes what is concatenated once, and other elementwise results again for each of their uses.
    halves = [(0, count // 2), (count // 2, count)]
    return jnp.concatenate([_numbers(key, shape, *half) for half in halves]).reshape(shape)


def _numbers(key: Key, shape: tuple[int, ...], first: int, last: int) -> Array:
    """The numbers at these flat positions: a row counts blocks of two words, four numbers each, of its own."""
    size = jnp.uint32(math.prod(shape[1:]) if len(shape) > 1 else 4)
    position = jnp.arange(first, last, dtype=jnp.uint32)
    row, column = position // size, position % size
    words = random.threefry(jax.random.key_data(key), row, column // jnp.uint32(4), rounds=13)
    part = column % jnp.uint32(4)
    word = jnp.where(part < jnp.uint32(2), *words)
    return (word >> (jnp.uint32(16) * (part % jnp.uint32(2)))) & jnp.uint32(0xFFFF)


def kept(key: Key, shape: tuple[int, ...], rate: Scalar) -> tuple[Array, Array]:
    """A mask, True with the keep probability 1 - `rate`, and that probability as realized: a multiple of 2**-16."""
    levels = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * LEVELS), 1, LEVELS)
    return uniform16(key, shape) < levels.astype(jnp.uint32), levels / LEVELS
