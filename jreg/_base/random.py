"""JAX's threefry with its rounds written out, for XLA to fuse: the same bits, cheaper to compile and to run on CPU.

jax.random draws on CPU with the rounds in a loop, which XLA can't fuse with what is around it, and in the shape asked
for, which for a last axis such as 10 takes LLVM half a second a draw (docs/performance.md).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random as extend

from jreg._base.types import Array, Key


def threefry(key: Any, high: Any, low: Any, rounds: int = 20) -> tuple[Any, Any]:
    """The two words of each block with the counts (high, low): `jax.extend.random.threefry_2x32`, unrolled.

    Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011); its table 2 has
    13 as the fewest rounds that pass all tests of BigCrush, and 20 as the default for a margin.
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    left, right = high + schedule[0], low + schedule[1]
    for number in range(rounds):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[number % 8]
        left = left + right
        right = left ^ ((right << turn) | (right >> (32 - turn)))
        if number % 4 == 3:
            group = number // 4 + 1
            left = left + schedule[group % 3]
            right = right + schedule[(group + 1) % 3] + np.uint32(group)
    return left, right


def fold_in_host(keys: np.ndarray, data: np.ndarray) -> np.ndarray:
    """What `jax.random.fold_in` gives for the two words of each key, ``(..., 2)``, and each number; with NumPy."""
    words = threefry(np.moveaxis(keys, -1, 0), np.zeros_like(data), data)
    return np.stack(np.broadcast_arrays(*words), axis=-1)


def is_threefry(key: Key) -> bool:
    """Whether the key's bits come from threefry, JAX's default."""
    return "fry" in str(jax.random.key_impl(key))


def draws_threefry() -> bool:
    """Whether new keys are of this kind."""
    return "threefry" in jax.config.jax_default_prng_impl  # ty: ignore[missing-attribute]  # set at run time


def unrolled(key: Key) -> Key:
    """The same key, whose draws have the rounds written out; a key of another kind than threefry as it is."""
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_implementation()) if is_threefry(key) else key


def plain(key: Key) -> Key:
    """The key as jax.random makes it, to hand to other code."""
    return jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32") if is_threefry(key) else key


# Made when it is first needed: JAX keeps a list of the kinds of keys, and importing jreg should write in none.
@functools.cache
def _implementation() -> Any:
    return extend.define_prng_impl(
        key_shape=(2,),
        seed=lambda seed: jax.random.key_data(jax.random.key(seed, impl="threefry2x32")),
        split=_split,
        random_bits=_random_bits,
        fold_in=_fold_in,
        name="threefry2x32_unrolled",
        tag="fryu",
    )


def _blocks(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    low = jnp.arange(math.prod(shape), dtype=jnp.uint32)
    return threefry(key, jnp.zeros_like(low), low)


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    left, right = _blocks(key, shape)
    dtype = jnp.dtype(f"uint{width}")
    if width == 64:
        return ((left.astype(dtype) << jnp.array(32, dtype)) | right.astype(dtype)).reshape(shape)
    return (left ^ right).astype(dtype).reshape(shape)


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return _made(jnp.stack(_blocks(key, shape), axis=-1).reshape(*shape, 2))


def _fold_in(key: Array, data: Array | int) -> Array:
    return _made(jnp.stack(threefry(key, jnp.zeros((), jnp.uint32), jnp.asarray(data).astype(jnp.uint32))))


def _made(key: Array) -> Array:
    # Without the barrier XLA makes the key anew for every element that is drawn with it.
    return jax.lax.optimization_barrier(key)
