"""The random keys of a training: derived from its seed and fold, never stored."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.random import plain, unrolled
from jreg._base.types import Array, Key

# What a key is for; two purposes never share a stream.
INIT, SHUFFLE, NOISE, AUGMENT, MIX, TERMS = range(6)
# The number of the fold of all rows, on which the final network trains. Folds have zero-based numbers, so its key is
# that of no other fold, however many are added.
FINAL = 2**31


def member_key(seed: Array | int, fold: Array | int) -> Key:
    """The key of one training of a study; settings share it, so that their comparison is paired.

    >>> import jax
    >>> bool((member_key(0, 1) == member_key(0, 2)).all())
    False
    """
    return plain(jax.random.fold_in(unrolled(jax.random.key(seed)), jnp.asarray(fold, jnp.uint32)))


def stream(key: Key, purpose: int, *steps: Array | int) -> Key:
    """The key of a purpose, at an epoch, at a step."""
    key = jax.random.fold_in(key, purpose)
    for step in steps:
        key = jax.random.fold_in(key, step)
    return key
