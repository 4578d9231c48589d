"""The order in which an epoch takes its rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.types import Array, Key
from jreg.splits import Folds


def shuffled(key: Key, fold: Folds, batch_size: int) -> Array:
    """The fold's training rows in random order, ``(steps * batch,)`` with padding behind them.

    There are as many steps as the longest fold has.
    """
    length = fold.train.shape[-1]
    steps = -(-length // batch_size)
    position = jnp.arange(length, dtype=jnp.int32)
    # The first bits of a longer draw are those of a shorter one (JAX's partitionable threefry), so a fold's order
    # doesn't depend on how far its rows are padded; padding sorts to the end.
    bits = jax.random.bits(key, (length,), jnp.uint32)
    order = _argsort(jnp.where(position < fold.train_count, bits, jnp.uint32(2**32 - 1)))
    return fold.train[order[jnp.arange(steps * batch_size, dtype=jnp.int32) % length]]


def _argsort(bits: Array) -> Array:
    """What ``jnp.argsort(bits, stable=True)`` gives, on CPU four times as fast."""
    length = bits.shape[0]
    if length > 2**16:
        return jnp.argsort(bits, stable=True)
    # XLA sorts plain numbers much faster than pairs: the high bits of each draw are sorted together with its place.
    place = jnp.arange(length, dtype=jnp.uint32)
    low = jnp.uint32(2 ** max(1, (length - 1).bit_length()) - 1)
    order = jnp.sort((bits & ~low) | place) & low

    def unsorted(order: Array) -> Array:
        drawn = bits[order]
        return jnp.any(drawn[:-1] > drawn[1:])

    def exchange(order: Array) -> Array:
        for parity in (0, 1):
            drawn = bits[order]
            later = (drawn > jnp.roll(drawn, -1)) & (place % 2 == parity) & (place < length - 1)
            order = jnp.where(later, jnp.roll(order, -1), jnp.where(jnp.roll(later, 1), jnp.roll(order, 1), order))
        return order

    # The few whose high bits are equal are neighbours by now.
    return jax.lax.while_loop(unsorted, exchange, order)
