"""Each statistical bound below is two-sided with a false-alarm probability of at most 1e-8 for right code; there
are fewer than 50 of them, so that of the file stays below 1e-6. (Seeds are fixed, so a pass repeats.)"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from scipy.stats import binom

from jreg import nn
from jreg.stochastic import dropout

ALARM = 1e-8
KEYS = {
    "threefry": lambda seed: jax.random.key(seed),
    "rbg": lambda seed: jax.random.key(seed, impl="rbg"),
}
each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())


# Compiled once a shape; rates are known numbers only where a test is about that.
drop = jax.jit(dropout)


def kept(key, shape, rate):
    return np.asarray(drop(key, jnp.ones(shape), rate)) != 0


def keep_probability(rate):
    """The realized one, a multiple of 2**-16."""
    return round((1 - rate) * 2**16) / 2**16


def assert_binomial(count, trials, probability, alarm=ALARM):
    low, high = binom.ppf([alarm / 2, 1 - alarm / 2], trials, probability)
    assert low <= count <= high, f"{count} of {trials} with probability {probability}"


@each_key
@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 2 / 3, 0.99])
def test_share_kept_is_binomial(key, rate):
    size = 200_001
    assert_binomial(kept(key(0), size, rate).sum(), size, keep_probability(rate))


def test_the_smallest_keep_probability_is_one_level_and_not_two():
    # 61 are expected; an off-by-one in the comparison would keep 122.
    assert_binomial(kept(jax.random.key(0), 4_000_000, 1 - 2**-16).sum(), 4_000_000, 2**-16)


@each_key
def test_every_position_is_kept_equally_often(key):
    keys = jax.random.split(key(1), 4000)
    counts = np.asarray(jax.jit(jax.vmap(lambda k: dropout(k, jnp.ones(37), 0.3) != 0))(keys)).sum(axis=0)
    for count in counts:
        assert_binomial(count, 4000, keep_probability(0.3), ALARM / 37)


@each_key
def test_the_two_halves_of_the_random_words_are_independent(key):
    size, rate = 100_000, 0.3
    first, second = kept(key(2), (2, size), rate)
    p = keep_probability(rate)
    assert_binomial((first == second).sum(), size, p**2 + (1 - p) ** 2)
    assert_binomial((first & second).sum(), size, p**2)


@pytest.mark.parametrize("shift", [1, 2, 7, 64, 50_000])
def test_shifted_masks_agree_as_often_as_coins(shift):
    mask = kept(jax.random.key(3), 100_000, 0.5)
    # At rate 1/2 whether elements i and i + shift agree are independent fair coins along each chain.
    assert_binomial((mask[shift:] == mask[:-shift]).sum(), mask.size - shift, 0.5)


@pytest.mark.parametrize("derive", [lambda k: jax.random.split(k, 2), lambda k: [k, jax.random.fold_in(k, 1)]])
def test_masks_of_derived_keys_are_independent(derive):
    first, second = (kept(k, 100_000, 0.5) for k in derive(jax.random.key(4)))
    assert_binomial((first == second).sum(), 100_000, 0.5)


def test_masks_of_neighbouring_seeds_are_independent():
    first, second = (kept(jax.random.key(seed), 100_000, 0.5) for seed in (0, 1))
    assert_binomial((first == second).sum(), 100_000, 0.5)


@each_key
def test_same_key_same_mask_and_other_key_other_mask(key):
    assert np.array_equal(kept(key(5), (40, 5), 0.5), kept(key(5), (40, 5), 0.5))
    assert not np.array_equal(kept(key(5), (40, 5), 0.5), kept(key(6), (40, 5), 0.5))  # equal: 2**-200


def test_legacy_and_typed_keys_give_the_same_mask():
    assert np.array_equal(kept(jax.random.PRNGKey(7), 99, 0.5), kept(jax.random.key(7), 99, 0.5))


def test_masks_nest_in_the_rate():
    masks = [kept(jax.random.key(8), 2000, rate) for rate in (0.1, 0.4, 0.8)]
    assert all((larger >= smaller).all() for larger, smaller in itertools.pairwise(masks))


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.3, 0.9])
def test_values_are_zero_or_x_over_the_keep_probability(rate):
    x = jnp.asarray(np.random.default_rng(0).normal(size=500), jnp.float32)
    y = np.asarray(drop(jax.random.key(9), x, rate))
    mask = kept(jax.random.key(9), 500, rate)
    assert (y[~mask] == 0).all()
    np.testing.assert_allclose(y[mask], np.asarray(x, np.float64)[mask] / keep_probability(rate), rtol=2e-7)


def test_scale_is_exact_where_the_keep_probability_is_a_power_of_two():
    x = jnp.asarray(np.random.default_rng(0).normal(size=500), jnp.float32)
    for rate, factor in ((0.5, 2), (0.75, 4), (1 - 2**-10, 1024)):
        y = np.asarray(drop(jax.random.key(10), x, rate))
        assert set(y[y != 0] / np.asarray(x)[y != 0]) <= {factor}


@pytest.mark.parametrize("rate", [0, np.float32(0), jnp.float32(0)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_rate_zero_returns_every_bit(rate, dtype):
    x = np.array([1.0, -1.5, 0.0, -0.0, np.inf, -np.inf, np.nan, float(jnp.finfo(dtype).max)]).astype(dtype)
    bits = np.uint32 if dtype == jnp.float32 else np.uint16
    for f in (dropout, drop):
        y = np.asarray(f(jax.random.key(11), jnp.asarray(x), rate))
        assert y.view(bits).tolist() == x.view(bits).tolist()


@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 3), (5, 1, 3), (0,), (0, 4)])
def test_every_shape_works(shape):
    y = drop(jax.random.key(0), jnp.ones(shape), 0.5)
    assert y.shape == shape
    assert set(np.unique(y)) <= {0.0, 2.0}


def test_a_dropped_element_has_no_influence_and_no_gradient():
    x = np.array([np.nan, 1e30] * 50, np.float32)
    mask = kept(jax.random.key(12), 100, 0.5)
    y = np.asarray(dropout(jax.random.key(12), x, 0.5))
    assert (y[~mask] == 0).all()
    gradient = jax.grad(lambda x: dropout(jax.random.key(12), x, 0.5).sum())(jnp.ones(100))
    assert gradient.tolist() == (2.0 * mask).tolist()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_expectation_is_the_input(rate):
    # The mean of n masked copies of x is x K / (n q) with K binomial, so the bound on K is one on the mean.
    copies, p = 50_000, keep_probability(rate)
    y = drop(jax.random.key(13), jnp.full((copies, 3), jnp.float32(-1.7)), rate)
    low, high = binom.ppf([ALARM / 6, 1 - ALARM / 6], copies, p) / (copies * p)
    ratio = np.asarray(y, np.float64).mean(axis=0) / -1.7
    assert ((ratio >= low - 1e-6) & (ratio <= high + 1e-6)).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1, 2.0, float("nan"), np.float64(1.5)])
def test_a_known_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        dropout(jax.random.key(0), jnp.ones(2), rate)
    with pytest.raises(ValueError, match=r"Dropout's rate is .* must lie in \[0, 1\)"):
        nn.Dropout(rate)


MASKS = list(itertools.product((0, 1), repeat=2))
W, X = np.array([0.5, -2.0]), np.array([3.0, 0.25])


@pytest.mark.parametrize("p", [0.25, 0.5, 0.875])
def test_average_of_a_linear_unit_over_all_masks_is_the_weight_scaled_unit(p):
    # Every number is dyadic, so the lecture's identity holds without any rounding.
    average = sum(p ** sum(m) * (1 - p) ** (2 - sum(m)) * (W @ (np.array(m) * X)) for m in MASKS)
    assert average == p * (W @ X)


def test_dropout_draws_all_four_masks_and_their_average_is_the_unit_itself():
    # Inverted dropout divides by p in training, so the average is w.x and not p w.x.
    seen = {}
    for seed in range(60):  # one of the four is missing with probability below 4 * 0.75**60 < 2e-7
        y = dropout(jax.random.key(seed), jnp.asarray(X, jnp.float32), 0.5)
        seen[tuple((np.asarray(y) != 0).astype(int).tolist())] = float(np.asarray(y) @ W)
    assert sorted(seen) == MASKS
    assert sum(seen.values()) / 4 == W @ X
    assert sum(seen.values()) / 4 * 0.5 == 0.5 * (W @ X)


def test_layer_takes_a_traced_rate_under_jit_and_vmap():
    def run(key, rate):
        return nn.Dropout(rate).apply({}, jnp.ones(50), train=True, rngs={"dropout": key})

    keys, rates = jax.random.split(jax.random.key(14), 3), jnp.array([0.0, 0.5, 0.75])
    batched = np.asarray(jax.jit(jax.vmap(run))(keys, rates))
    for n, factor in enumerate((1.0, 2.0, 4.0)):
        assert set(np.unique(batched[n])) <= {0.0, factor}
        np.testing.assert_array_equal(batched[n], run(keys[n], float(rates[n])))


def test_flax_layer_refuses_a_traced_rate():
    def run(key, rate):
        return linen.Dropout(rate, deterministic=False).apply({}, jnp.ones(50), rngs={"dropout": key})

    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(run)(jax.random.key(0), jnp.float32(0.5))


@pytest.mark.parametrize("rate", [0.5, jnp.float32(0.5)])
def test_layer_is_the_identity_at_evaluation_and_needs_no_key(rate):
    x = jnp.arange(4.0)
    assert nn.Dropout(rate).apply({}, x) is x
    assert nn.Dropout(rate).apply({}, x, train=False).tolist() == x.tolist()


def test_layer_written_with_rate_zero_needs_no_key_in_training():
    assert nn.Dropout(0.0).apply({}, jnp.arange(4.0), train=True).tolist() == [0.0, 1.0, 2.0, 3.0]


def test_two_layers_of_one_network_drop_independently():
    class Two(linen.Module):
        @linen.compact
        def __call__(self, x):
            return nn.Dropout(0.5)(x, True), nn.Dropout(0.5)(x, True)

    run = jax.jit(lambda key: Two().apply({}, jnp.ones(20_000), rngs={"dropout": key}))
    first, second = map(np.asarray, run(jax.random.key(15)))
    assert_binomial(int((first == second).sum()), 20_000, 0.5)
