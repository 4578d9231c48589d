"""The lectures' facts about averages over masks, and Monte-Carlo averages. The one statistical bound has a false-alarm
probability of 1e-8."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from test_stochastic import ALARM

from jreg.stochastic import classic_dropout, exact_average, monte_carlo, weight_scaled

W, X = jnp.array([0.5, -2.0]), jnp.array([3.0, 0.25])


@pytest.mark.parametrize("p", [0.25, 0.5, 0.875])
def test_the_average_of_a_linear_unit_over_all_four_masks_is_exactly_the_weight_scaled_unit(p):
    # Every number is dyadic, so there is no rounding.
    average = exact_average(lambda mask: W @ jnp.where(mask, X, 0), 2, 1 - p)
    assert float(average) == p * (0.5 * 3.0 - 2.0 * 0.25) == float(W @ weight_scaled(X, 1 - p))


def network(mask, kernel, out):
    return jnp.tanh(jnp.where(mask, kernel, 0)) @ out


def test_the_average_is_that_of_a_loop_over_all_masks():
    rng = np.random.default_rng(0)
    hidden, out, rate = rng.normal(size=5), rng.normal(size=(5, 3)), 0.3
    average = exact_average(
        lambda mask: network(mask, jnp.asarray(hidden, jnp.float32), jnp.asarray(out, jnp.float32)), 5, rate
    )
    expected = np.zeros(3)
    for mask in itertools.product((0, 1), repeat=5):
        probability = np.prod([1 - rate if one else rate for one in mask])
        expected += probability * (np.tanh(np.array(mask) * hidden) @ out)
    np.testing.assert_allclose(average, expected, rtol=1e-5)
    # Weight scaling is an approximation of it here.
    assert np.abs(np.tanh((1 - rate) * hidden) @ out - expected).max() > 1e-2


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.8])
def test_the_geometric_mean_of_a_softmax_layer_over_all_masks_is_the_weight_scaled_layer(rate):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=6), jnp.float32), jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    bias = jnp.asarray(rng.normal(size=4), jnp.float32)

    def probabilities(mask):
        return jax.nn.softmax(jnp.where(mask, x, 0) @ kernel + bias)

    mean = jax.jit(lambda rate: exact_average(probabilities, 6, rate, geometric=True))(rate)
    np.testing.assert_allclose(mean, jax.nn.softmax(weight_scaled(x, rate) @ kernel + bias), rtol=1e-5)
    arithmetic = jax.jit(lambda rate: exact_average(probabilities, 6, rate))(rate)
    assert float(arithmetic.sum()) == pytest.approx(1, rel=1e-5)
    assert (rate == 0) == bool(jnp.allclose(mean, arithmetic, atol=1e-4))


def test_an_outcome_that_a_mask_rules_out_has_geometric_mean_zero_where_the_mask_counts():
    def certain(mask):
        return jnp.where(mask[0], jnp.array([0.5, 0.5]), jnp.array([0.0, 1.0]))

    assert exact_average(certain, 1, 0.5, geometric=True).tolist() == [0.0, 1.0]
    assert exact_average(certain, 1, 0.0, geometric=True).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_the_derivative_with_respect_to_the_rate_is_exact(rate):
    slope = jax.jit(jax.grad(lambda r: exact_average(lambda mask: W @ jnp.where(mask, X, 0), 2, r)))(jnp.float32(rate))
    assert float(slope) == pytest.approx(-float(W @ X), rel=1e-6)


def test_the_average_over_masks_keeps_half_precision():
    average = exact_average(lambda mask: jnp.where(mask, 1, 0).astype(jnp.bfloat16), 3, 0.25)
    assert (average.dtype, average.tolist()) == (jnp.bfloat16, [0.75] * 3)


@pytest.mark.parametrize(("size", "words"), [(0, "at least 1"), (21, "at most 20: use monte_carlo")])
def test_sizes_out_of_range_are_refused(size, words):
    with pytest.raises(ValueError, match=f"exact_average's size is {size}, but must be {words}"):
        exact_average(lambda mask: mask.sum(), size, 0.5)


def test_monte_carlo_is_the_mean_over_the_keys_split_off():
    def once(key):
        return {"y": jax.random.key_data(key).astype(jnp.float32), "first": jnp.ones(3, jnp.bfloat16)}

    key = jax.random.key(0)
    expected = np.asarray(jax.random.key_data(jax.random.split(key, 5)), np.float64).mean(axis=0)
    for batch in (None, 2):
        mean = monte_carlo(key, once, 5, batch)
        np.testing.assert_allclose(mean["y"], expected, rtol=1e-6)
        assert (mean["first"].dtype, mean["first"].tolist()) == (jnp.bfloat16, [1.0] * 3)


def test_monte_carlo_tends_to_the_exact_average():
    hidden, out, k = jnp.array([1.0, -2.0, 0.5, 3.0]), jnp.array([1.0, -1.0, 2.0, 0.5]), 40_000

    def unit(h):
        return jnp.tanh(h) @ out

    @jax.jit
    def averages(key):
        exact = exact_average(lambda mask: unit(jnp.where(mask, hidden, 0)), 4, 0.5)
        squares = exact_average(lambda mask: unit(jnp.where(mask, hidden, 0)) ** 2, 4, 0.5)
        return exact, squares, monte_carlo(key, lambda key: unit(classic_dropout(key, hidden, 0.5)), k)

    exact, squares, sampled = averages(jax.random.key(0))
    spread = float(jnp.sqrt(squares - exact**2))
    # Central limit theorem.
    assert abs(float(sampled - exact)) < norm.isf(ALARM / 2) * spread / np.sqrt(k)


@pytest.mark.parametrize(("k", "batch", "word"), [(0, None, "k"), (3, 0, "batch")])
def test_numbers_of_passes_below_one_are_refused(k, batch, word):
    with pytest.raises(ValueError, match=f"monte_carlo's {word} is 0, but must be at least 1"):
        monte_carlo(jax.random.key(0), jax.random.normal, k, batch)


def test_functions_that_return_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="what exact_average's function returns has dtype int32"):
        exact_average(lambda mask: mask.sum(), 2, 0.5)
    with pytest.raises(TypeError, match="what monte_carlo's function returns has dtype int32"):
        monte_carlo(jax.random.key(0), lambda key: jnp.ones(2, jnp.int32), 2)
