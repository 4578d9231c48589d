"""Random bits for masks, packed: four numbers out of a block of two words."""

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
    """Independent uniform integers below 2**16, four out of every threefry block of two words.

    Those of a row, along the first axis, don't depend on how many rows there are: an example has the same mask in a
    batch that is padded and in one that isn't.
    """
    rows, size = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (-(-math.prod(shape) // 4), 4)
    blocks = -(-size // 4)
    if random.is_threefry(key):
        # Both words of a block count here, where jax.random spends a whole block on each number. XLA fuses what is
        # flat into one kernel.
        count = jnp.arange(rows * blocks, dtype=jnp.uint32)
        row, block = count // jnp.uint32(blocks), count % jnp.uint32(blocks)
        words = random.threefry(jax.random.key_data(key), row, block, rounds=13)
    else:
        drawn = jax.random.bits(key, (rows * blocks, 2), jnp.uint32)
        words = (drawn[:, 0], drawn[:, 1])
    flat = jnp.concatenate([part for word in words for part in (word & 0xFFFF, word >> 16)])
    drawn = flat.reshape(4, rows, blocks).transpose(1, 0, 2).reshape(rows, 4 * blocks)
    return drawn.reshape(-1)[: math.prod(shape)].reshape(shape) if len(shape) < 2 else drawn[:, :size].reshape(shape)


def kept(key: Key, shape: tuple[int, ...], rate: Scalar) -> tuple[Array, Array]:
    """A mask, True with the keep probability 1 - `rate`, and that probability as realized: a multiple of 2**-16."""
    levels = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * LEVELS), 1, LEVELS)
    return uniform16(key, shape) < levels.astype(jnp.uint32), levels / LEVELS
