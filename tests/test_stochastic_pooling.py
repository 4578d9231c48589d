"""Pooling with random choices. Each statistical bound has a false-alarm probability of at most 1e-8; there are fewer
than 40 of them, so that of the file stays below 1e-6. (Seeds are fixed, so a pass repeats.)"""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from test_stochastic import ALARM, assert_binomial

from jreg import stochastic

KEY = jax.random.key(41)
fractional = jax.jit(stochastic.fractional_max_pooling, static_argnums=(2, 3, 4))
pooled = jax.jit(stochastic.stochastic_pooling, static_argnums=(2, 3))
weighted_pooled = jax.jit(stochastic.probability_weighted_pooling, static_argnums=(1, 2))


def activations(shape, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=shape), 0).astype(np.float32)


def regions(x, window, strides):
    """Every region by a loop: ((n, i, j, c), its elements)."""
    rows = range((x.shape[1] - window[0]) // strides[0] + 1)
    columns = range((x.shape[2] - window[1]) // strides[1] + 1)
    for n, i, j, c in itertools.product(range(x.shape[0]), rows, columns, range(x.shape[3])):
        top, left = i * strides[0], j * strides[1]
        yield (n, i, j, c), x[n, top : top + window[0], left : left + window[1], c]


@pytest.mark.parametrize(("window", "strides"), [((2, 3), None), ((3, 3), (2, 2)), ((1, 2), (3, 1))])
def test_both_poolings_look_at_the_regions_of_a_loop(window, strides):
    x = activations((2, 7, 8, 3))
    taken = np.asarray(pooled(KEY, x, window, strides))
    weighted = np.asarray(weighted_pooled(x, window, strides))
    assert taken.shape == weighted.shape == linen.max_pool(x, window, strides or window).shape
    for place, elements in regions(x, window, strides or window):
        total = elements.sum(dtype=np.float64)
        assert taken[place] in elements
        assert (taken[place] > 0) == (total > 0)
        assert weighted[place] == pytest.approx((elements**2).sum() / total if total else 0, rel=1e-5)


def test_stochastic_pooling_takes_elements_in_proportion_to_their_values():
    n = 20_000
    x = jnp.tile(jnp.array([1.0, 0.0, 2.0, 5.0]).reshape(1, 2, 2, 1), (n, 1, 1, 1))
    y = np.asarray(pooled(KEY, x, (2, 2))).ravel()
    for value in (1, 2, 5):
        assert_binomial((y == value).sum(), n, value / 8)
    assert ((y == 1) | (y == 2) | (y == 5)).all()
    assert float(weighted_pooled(x[:1], (2, 2))[0, 0, 0, 0]) == (1 + 4 + 25) / 8


def test_negative_activations_are_never_taken():
    x = jnp.array([-3.0, 2.0, -1.0, -1.0]).reshape(1, 4, 1)
    for seed in range(5):
        y = pooled(jax.random.key(seed), x, (2,))
        assert y.ravel().tolist() == [2.0, 0.0]
    assert weighted_pooled(x, (2,)).ravel().tolist() == [2.0, 0.0]


def test_the_gradient_goes_to_the_element_taken():
    x = jnp.asarray(activations((2, 4, 4, 3)) + 0.1)

    def total(x):
        y = stochastic.stochastic_pooling(KEY, x, (2, 2))
        return y.sum(), y

    gradient, y = jax.jit(jax.grad(total, has_aux=True))(x)
    assert set(np.unique(gradient)) == {0.0, 1.0}
    taken = np.asarray(gradient * x).reshape(2, 2, 2, 2, 2, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(taken, y)


def test_bad_windows_are_refused():
    x = jnp.ones((1, 4, 4, 1))
    for of in (lambda *a: stochastic.stochastic_pooling(KEY, *a), stochastic.probability_weighted_pooling):
        with pytest.raises(ValueError, match=r"1 sides and 1 strides .* needs 2 of each"):
            of(x, (2,))
        with pytest.raises(ValueError, match=r"window is \(2, 5\), but must fit"):
            of(x, (2, 5))
        with pytest.raises(ValueError, match="strides is 0, but must be at least 1"):
            of(x, (2, 2), (1, 0))
        with pytest.raises(ValueError, match=r"has shape .* needs 3 axes or more"):
            of(x[0, 0], (2,))
        with pytest.raises(TypeError, match="must have a floating one"):
            of(x.astype(jnp.int32), (2, 2))


def edges(key, n, ratio, pseudo_random):
    """The regions' ends along an axis, read off the largest index of each."""
    ramp = jnp.arange(float(n)).reshape(1, n, 1)
    return np.asarray(fractional(key, ramp, ratio, False, pseudo_random)).ravel() + 1


@pytest.mark.some(2)
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("pseudo_random", [False, True])
def test_fractional_max_pooling_is_the_maximum_of_a_loop_over_its_regions(overlapping, pseudo_random):
    def pool(x):
        return np.asarray(fractional(KEY, x, 1.4, overlapping, pseudo_random))

    rows, columns = 11, 10
    shape = (1, rows, columns, 1)
    grid = np.arange(rows * columns, dtype=np.float32).reshape(shape)
    # The largest element of a region is its last row and column.
    corners = pool(grid)[0, :, :, 0].astype(int)
    last_rows, last_columns = corners[:, 0] // columns, corners[0] % columns
    assert np.array_equal(corners, last_rows[:, None] * columns + last_columns[None])
    # Where the regions begin: those of the reversed order end there.
    first = rows * columns - 1 - pool(rows * columns - 1 - grid)[0, :, :, 0].astype(int)
    first_rows, first_columns = first[:, 0] // columns, first[0] % columns
    for firsts, lasts, n in ((first_rows, last_rows, rows), (first_columns, last_columns, columns)):
        m = int(n / 1.4)
        assert (len(firsts), firsts[0], lasts[-1]) == (m, 0, n - 1)
        assert np.array_equal(firsts[1:], lasts[:-1] + (0 if overlapping else 1))
        assert set(np.diff([*firsts, n])) <= {n // m, n // m + 1}
    x = np.random.default_rng(0).normal(size=(2, rows, columns, 3)).astype(np.float32)
    expected = [
        [x[:, a : b + 1, c : d + 1].max(axis=(1, 2)) for c, d in zip(first_columns, last_columns, strict=True)]
        for a, b in zip(first_rows, last_rows, strict=True)
    ]
    np.testing.assert_array_equal(pool(x), np.moveaxis(np.array(expected), 2, 0))


def test_random_regions_have_all_orders_and_pseudo_random_ones_all_starts():
    keys = jax.random.split(KEY, 6000)
    ramp = jnp.arange(6.0).reshape(1, 6, 1)

    def ends(pseudo_random):
        run = jax.vmap(lambda key: stochastic.fractional_max_pooling(key, ramp, 1.5, False, pseudo_random).ravel())
        return collections.Counter(tuple(row) for row in np.diff(np.asarray(jax.jit(run)(keys)), prepend=-1).tolist())

    # Sides of 6 = 1 + 1 + 2 + 2: six orders; evenly spread they alternate, and begin with the one or the other.
    orders = ends(False)
    assert set(orders) == set(itertools.permutations((1, 1, 2, 2)))
    for count in orders.values():
        assert_binomial(count, 6000, 1 / 6, ALARM / 6)
    starts = ends(True)
    assert set(starts) == {(1, 2, 1, 2), (2, 1, 2, 1)}
    assert_binomial(starts[1, 2, 1, 2], 6000, 0.5)


def test_the_example_of_paddles_documentation_is_one_of_the_pseudo_random_results():
    # fractional_max_pool2d there: [2, 4, 3, 1, 5, 2, 3] to 5 gives [2, 4, 1, 5, 3].
    x = jnp.array([2.0, 4, 3, 1, 5, 2, 3]).reshape(1, 7, 1)
    seen = {
        tuple(fractional(jax.random.key(seed), x, 1.4, False, True).ravel().tolist())
        for seed in range(100)  # missed with probability 0.8^100 < 3e-10
    }
    assert (2, 4, 1, 5, 3) in seen
    assert len(seen) <= 5


def test_without_a_key_the_regions_are_even():
    assert edges(None, 7, 1.4, False).tolist() == [1, 2, 4, 5, 7]
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    for key in (None, KEY):
        np.testing.assert_array_equal(fractional(key, x, 2.0), linen.max_pool(x, (2, 2), (2, 2)))
        np.testing.assert_array_equal(fractional(key, x, 1.0), x)


def test_each_region_has_one_gradient():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 7, 7, 2)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: fractional(KEY, x, 1.4).sum()))(x)
    assert set(np.unique(gradient)) == {0.0, 1.0}
    assert float(gradient.sum()) == 5 * 5 * 2


@pytest.mark.parametrize("ratio", [0.9, 4.5, float("nan")])
def test_bad_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio is .*, but must lie in \[1, 4\]"):
        stochastic.fractional_max_pooling(KEY, jnp.ones((1, 5, 4, 1)), ratio)
