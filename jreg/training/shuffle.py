"""The order in which an epoch takes its rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.types import Array, Key
from jreg.splits import Folds
from jreg.training import keys


def shuffled(key: Key, epoch: Array, fold: Folds, batch_size: int) -> Array:
    """The fold's training rows in the random order of an epoch, ``(steps * batch,)`` with padding behind them.

    There are as many steps as the longest fold has.
    """
    length = fold.train.shape[-1]
    steps = -(-length // batch_size)
    position = jnp.arange(length)
    # The first bits of a longer draw are those of a shorter one (JAX's partitionable threefry), so a fold's order
    # doesn't depend on how far its rows are padded; padding sorts to the end.
    bits = jax.random.bits(keys.stream(key, keys.SHUFFLE, epoch), (length,), jnp.uint32)
    order = _argsort(jnp.where(position < fold.train_count, bits, jnp.uint32(2**32 - 1)))
    return fold.train[order[jnp.arange(steps * batch_size) % length]]


def _argsort(bits: Array) -> Array:
    """What ``jnp.argsort(bits, stable=True)`` gives, on CPU several times as fast."""
    length = bits.shape[0]
    if length > 2**16:
        return jnp.argsort(bits, stable=True)
    # A radix sort by two digits: XLA sorts plain numbers much faster than pairs, so each digit is sorted together
    # with the place that it came from.
    place, low = jnp.arange(length, dtype=jnp.uint32), jnp.uint32(0xFFFF)
    first = jnp.sort((bits << jnp.uint32(16)) | place) & low
    second = jnp.sort((bits[first] & ~low) | place) & low
    return first[second]
