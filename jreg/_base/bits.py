"""Random bits for masks, packed: four masks' worth out of a block of two words."""

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
    """Independent uniform integers below 2**16, four out of every threefry block of two words."""
    size = math.prod(shape)
    blocks = -(-size // 4)
    if random.is_threefry(key):
        # Both words of a block count here, where jax.random spends a whole block on each number.
        count = jnp.arange(2 * blocks, dtype=jnp.uint32)
        words = random.threefry(jax.random.key_data(key), count[:blocks], count[blocks:], rounds=13)
    else:
        words = tuple(jax.random.bits(key, (2, blocks), jnp.uint32))
    return jnp.concatenate([part for word in words for part in (word & 0xFFFF, word >> 16)])[:size].reshape(shape)


def kept(key: Key, shape: tuple[int, ...], rate: Scalar) -> tuple[Array, Array]:
    """A mask, True with the keep probability 1 - `rate`, and that probability as realized: a multiple of 2**-16."""
    levels = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * LEVELS), 1, LEVELS)
    return uniform16(key, shape) < levels.astype(jnp.uint32), levels / LEVELS
