"""The random keys of a training: derived from its seed and fold, never stored."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.random import draws_threefry, fold_in_host, plain, unrolled
from jreg._base.types import Array, Key

# What a key is for; two purposes never share a stream.
INIT, SHUFFLE, NOISE, AUGMENT, MIX, TERMS = PURPOSES = range(6)
# The number of the fold of all rows, on which the final network trains. Folds have zero-based numbers, so its key is
# that of no other fold, however many are added. Behind it are the outer folds of nested ones. Trainings on folds from
# this number on never stop early.
FINAL = 2**31


def member_key(seed: Array | int, fold: Array | int) -> Key:
    """The key of one training of a study; settings share it, so that their comparison is paired.

    >>> import jax
    >>> bool((member_key(0, 1) == member_key(0, 2)).all())
    False
    """
    return plain(jax.random.fold_in(unrolled(jax.random.key(seed)), jnp.asarray(fold, jnp.uint32)))


def streams(key: Key) -> Key:
    """``(6,)``, the key of each purpose."""
    purposes = jnp.arange(len(PURPOSES), dtype=jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(unrolled(key), purposes)


def streams_on_host(seeds: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The `streams` of trainings as uint32 numbers, ``(n, 6, words)``, without a compiled function.

    In a compiled program each scalar derivation is a kernel that takes as long to compile as a layer of the network.
    """
    if not draws_threefry():
        of_one = jax.vmap(lambda seed, fold: jax.random.key_data(streams(member_key(seed, fold))))
        return np.asarray(jax.jit(of_one)(seeds, folds))
    # The words of a seed's key are 0 and the seed.
    seeded = np.stack([np.zeros_like(seeds), seeds], axis=-1)
    return fold_in_host(fold_in_host(seeded, folds)[:, None], np.array(PURPOSES, np.uint32))


def of_epoch(streams: Key, epoch: Array | int) -> Key:
    """``(6,)``, each purpose's key in an epoch."""
    return jax.vmap(jax.random.fold_in, (0, None))(streams, epoch)


def of_steps(key: Key, steps: int) -> Callable[[Array], Key]:
    """The key of each step of an epoch, by the step's number, of the epoch's key of a purpose."""
    drawn = jax.random.key_data(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(steps, dtype=jnp.int32)))
    # Kept as numbers: a loop that takes keys out of an array looks to JAX's check as if it used all of them each time.
    return lambda number: jax.random.wrap_key_data(drawn[number], impl=jax.random.key_impl(key))
