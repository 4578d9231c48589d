import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jreg.data import scale, standardize

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(40, 6)) * [1, 10, 0.1, 1, 5, 2] + [0, 3, 1, -100, 50, 0], jnp.float32)
TRAIN = RNG.uniform(size=40) < 0.7
WEIGHTS = jnp.asarray(TRAIN, jnp.float32)
FIT, APPLY, INVERT = map(jax.jit, standardize())


def test_standardize_is_scikit_learns_fitted_on_the_training_rows():
    scaler = StandardScaler().fit(np.asarray(X, np.float64)[TRAIN])
    mean, deviation = FIT(X, WEIGHTS)
    np.testing.assert_allclose(mean[0], scaler.mean_, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(deviation[0], scaler.scale_, rtol=1e-5)
    np.testing.assert_allclose(APPLY((mean, deviation), X), scaler.transform(X), rtol=2e-5, atol=5e-5)


def test_training_rows_become_centred_with_deviation_one():
    z = np.asarray(APPLY(FIT(X, WEIGHTS), X), np.float64)[TRAIN]
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=3e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1e3, 1e15])
def test_rows_of_weight_zero_change_nothing(value):
    changed = jnp.asarray(np.where(TRAIN[:, None], X, value), jnp.float32)
    for a, b in zip(FIT(changed, WEIGHTS), FIT(X, WEIGHTS), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_row_of_weight_two_is_two_rows():
    weights = np.random.default_rng(1).integers(0, 3, 40)
    repeated = jnp.asarray(np.repeat(X, weights, axis=0))
    for a, b in zip(FIT(X, jnp.asarray(weights, jnp.float32)), FIT(repeated, jnp.ones(len(repeated))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-3, 12345.678])
def test_a_feature_constant_on_the_training_rows_is_centred_only(value):
    column = jnp.asarray(np.where(TRAIN, value, value + 2.0)[:, None], jnp.float32)
    statistics = FIT(column, WEIGHTS)
    assert statistics[1].tolist() == [[1.0]]
    z = np.asarray(APPLY(statistics, column))[:, 0]
    np.testing.assert_allclose(z[TRAIN], 0, atol=1e-6 * abs(value))
    np.testing.assert_allclose(z[~TRAIN], 2, rtol=1e-3)


def test_a_feature_of_tiny_scale_is_scaled_up():
    column = jnp.asarray(np.where(np.arange(40)[:, None] % 2 == 0, 1e-6, 3e-6), jnp.float32)
    np.testing.assert_allclose(jnp.abs(APPLY(FIT(column, jnp.ones(40)), column)), 1, rtol=1e-5)


def test_uint8_images_become_float32():
    images = np.random.default_rng(2).integers(0, 256, (40, 4, 3), dtype=np.uint8)
    images[:, 0, 0] = 255  # 255**2 and the sum of 40 rows overflow 8 and 13 bits
    scaler = StandardScaler().fit(images.reshape(40, -1)[TRAIN].astype(np.float64))
    statistics = FIT(jnp.asarray(images), WEIGHTS)
    z = APPLY(statistics, jnp.asarray(images))
    assert (z.dtype, z.shape) == (jnp.float32, (40, 4, 3))
    expected = scaler.transform(images.reshape(40, -1).astype(np.float64))
    np.testing.assert_allclose(z.reshape(40, -1), expected, rtol=1e-5, atol=1e-5)


def test_invert_takes_apply_back():
    statistics = FIT(X, WEIGHTS)
    np.testing.assert_allclose(INVERT(statistics, APPLY(statistics, X)), X, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("column", [False, True])
def test_targets_of_one_axis_are_taken_back_from_outputs_with_a_unit_axis(column):
    y = X[:, 4]
    statistics = FIT(y, WEIGHTS)
    z = APPLY(statistics, y)
    assert z.shape == (40,)
    outputs = z[:, None] if column else z
    restored = INVERT(statistics, outputs)
    assert restored.shape == outputs.shape
    np.testing.assert_allclose(restored.reshape(40), y, rtol=1e-6)


def test_apply_takes_any_number_of_rows():
    statistics = FIT(X, WEIGHTS)
    np.testing.assert_allclose(APPLY(statistics, X[:1]), APPLY(statistics, X)[:1], rtol=3e-7)


def test_folds_are_fitted_under_jit_and_vmap_as_one_by_one():
    masks = jnp.asarray(np.random.default_rng(3).uniform(size=(3, 40)) < 0.5, jnp.float32)
    batched = jax.jit(jax.vmap(FIT, (None, 0)))(X, masks)
    for n in range(3):
        for a, b in zip(batched, FIT(X, masks[n]), strict=True):
            np.testing.assert_allclose(a[n], b, rtol=1e-5, atol=1e-5)


def test_scale_divides_and_multiplies_back():
    fit, apply, invert = scale(255)
    x = jnp.asarray(np.random.default_rng(4).integers(0, 256, (5, 4), dtype=np.uint8))
    statistics = fit(x, jnp.ones(5))
    np.testing.assert_allclose(apply(statistics, x), np.asarray(x) / 255, rtol=1e-7)
    np.testing.assert_allclose(invert(statistics, apply(statistics, x)), x, rtol=2e-7)
    assert apply(statistics, x).dtype == jnp.float32


@pytest.mark.parametrize("divisor", [0, 0.0, -0.0])
def test_scale_by_zero_is_refused(divisor):
    with pytest.raises(ValueError, match="scale's divisor is 0"):
        scale(divisor)
