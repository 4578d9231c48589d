"""Threefry with its rounds written out: the keys and bits of jax.random, by another road."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import random as extend

from jreg._base import random
from jreg.training import keys, member_key, shuffle

SHAPES = [(), (1,), (7,), (128, 10), (2, 3, 5)]


def data(key: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(key))


@pytest.mark.some(5)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint16, jnp.uint32])
def test_bits_are_those_of_jax_random(shape, dtype):
    key = jax.random.key(11)
    expected = jax.random.bits(key, shape, dtype)
    assert (jax.random.bits(random.unrolled(key), shape, dtype) == expected).all()
    assert (jax.jit(lambda key: jax.random.bits(random.unrolled(key), shape, dtype))(key) == expected).all()


def test_keys_are_those_of_jax_random():
    key = jax.random.key(12)
    for make in (
        lambda key: jax.random.fold_in(key, 5),
        lambda key: jax.random.fold_in(key, jnp.uint32(2**32 - 1)),
        lambda key: jax.random.split(key, 3),
        lambda key: jax.random.split(key, (2, 3)),
        lambda key: jax.random.fold_in(jax.random.split(key)[1], 9),
    ):
        assert (data(make(random.unrolled(key))) == data(make(key))).all()


def test_a_batch_of_keys_draws_what_each_draws():
    keys = jax.random.split(jax.random.key(13), 4)
    batched = jax.vmap(lambda key: jax.random.uniform(random.unrolled(key), (6,)))(keys)
    assert (batched == jnp.stack([jax.random.uniform(key, (6,)) for key in keys])).all()


def test_other_kinds_of_keys_stay_as_they_are():
    key = jax.random.key(14, impl="rbg")
    assert random.unrolled(key) is key
    assert random.plain(key) is key
    back = random.plain(random.unrolled(jax.random.key(14)))
    assert jax.random.key_impl(back) == jax.random.key_impl(jax.random.key(14))
    assert (data(back) == data(jax.random.key(14))).all()


def test_the_key_of_a_training_is_one_of_jax_random():
    key = member_key(3, 2)
    assert (data(key) == data(jax.random.fold_in(jax.random.key(3), 2))).all()
    assert jax.random.key_impl(key) == jax.random.key_impl(jax.random.key(0))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_the_streams_of_trainings_are_those_of_their_keys(impl):
    seeds, folds = np.array([0, 3, 2**32 - 1], np.uint32), np.array([1, 0, 2**31], np.uint32)
    with jax.default_prng_impl(impl):
        found = keys.streams_on_host(seeds, folds)
        for words, seed, fold in zip(found, seeds, folds, strict=True):
            key = member_key(seed, fold)
            assert (words == data(jnp.stack([jax.random.fold_in(key, purpose) for purpose in keys.PURPOSES]))).all()
            assert (data(keys.streams(key)) == words).all()
    key_of = keys.of_steps(keys.of_epoch(keys.streams(member_key(0, 0)), 5)[keys.NOISE], 3)
    drawn = jax.random.fold_in(jax.random.fold_in(member_key(0, 0), keys.NOISE), 5)
    for step in range(3):
        assert (data(key_of(step)) == data(jax.random.fold_in(drawn, step))).all()


@pytest.mark.parametrize("blocks", [1, 5, 1000])
def test_all_rounds_are_those_of_jax(blocks):
    key, count = jnp.array([123456789, 987654321], jnp.uint32), jnp.arange(2 * blocks, dtype=jnp.uint32)
    words = random.threefry(key, count[:blocks], count[blocks:])
    assert (jnp.concatenate(words) == extend.threefry_2x32(key, count)).all()


def test_thirteen_rounds_are_the_published_ones():
    # Random123's known answers, file kat_vectors, lines "threefry2x32 13".
    cases = [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ]
    for key, count, expected in cases:
        high, low = jnp.uint32(count[0]), jnp.uint32(count[1])
        words = random.threefry(jnp.array(key, jnp.uint32), high, low, rounds=13)
        assert tuple(map(int, words)) == expected


@pytest.mark.parametrize("length", [1, 2, 1438, pytest.param(2**16, marks=pytest.mark.slow), 2**16 + 1])
def test_the_order_of_draws_is_argsort(length):
    bits = np.random.default_rng(length).integers(0, 2**32, length, np.uint32)
    # Ties and the largest number, which marks padding, keep their order.
    bits[length // 2 :] = np.where(bits[length // 2 :] % 3 == 0, np.uint32(2**32 - 1), bits[length // 2 :] & 0xFFFF0000)
    assert np.array_equal(shuffle._argsort(jnp.asarray(bits)), np.argsort(bits, kind="stable"))
