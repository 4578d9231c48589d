import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from jreg.data import by_part, chain, impute, min_max, scale, standardize, standardize_samples, whiten
from jreg.data.blocks import HostRows

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(40, 6)) * [1, 10, 0.1, 1, 5, 2] + [0, 3, 1, -100, 50, 0], jnp.float32)
TRAIN = RNG.uniform(size=40) < 0.7
WEIGHTS = jnp.asarray(TRAIN, jnp.float32)
FIT, APPLY, INVERT = map(jax.jit, standardize())


def test_standardize_is_scikit_learns_fitted_on_the_training_rows():
    scaler = StandardScaler().fit(np.asarray(X, np.float64)[TRAIN])
    mean, deviation, _ = statistics = FIT(X, WEIGHTS)
    np.testing.assert_allclose(mean[0], scaler.mean_, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(deviation[0], scaler.scale_, rtol=1e-5)
    np.testing.assert_allclose(APPLY(statistics, X), scaler.transform(X), rtol=2e-5, atol=5e-5)


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


IMAGES = np.random.default_rng(6).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)


def fitted(preprocessor, x, weights=WEIGHTS):
    """What the preprocessor makes of all rows, fitted on the training rows inside a compiled function."""

    @jax.jit
    def run(x, weights):
        statistics = preprocessor.fit(x, weights)
        return statistics, preprocessor.apply(statistics, x)

    return run(jnp.asarray(x), weights)


@pytest.mark.parametrize(("center", "divide"), [(True, False), (False, True), (False, False)])
def test_standardize_can_leave_out_either_half(center, divide):
    expected = StandardScaler(with_mean=center, with_std=divide).fit(np.asarray(X, np.float64)[TRAIN]).transform(X)
    _, z = fitted(standardize(center, divide), X)
    np.testing.assert_allclose(z, expected, rtol=2e-5, atol=5e-5)


@pytest.mark.parametrize(("per", "shape"), [("channel", (-1, 3)), ("data", (-1, 1))])
def test_statistics_of_channels_and_of_everything_are_those_of_the_values_side_by_side(per, shape):
    train = IMAGES[TRAIN].reshape(shape).astype(np.float64)
    _, z = fitted(standardize(per=per), IMAGES)
    np.testing.assert_allclose(
        z.reshape(shape), StandardScaler().fit(train).transform(IMAGES.reshape(shape)), atol=2e-5
    )
    _, z = fitted(min_max(-1, 2, per=per), IMAGES)
    expected = MinMaxScaler((-1, 2)).fit(train).transform(IMAGES.reshape(shape))
    np.testing.assert_allclose(z.reshape(shape), expected, atol=1e-5)


@pytest.mark.parametrize("of", [standardize, min_max])
def test_per_is_checked(of):
    with pytest.raises(ValueError, match=f"{of.__name__}'s per is 'pixel', but must be 'feature', 'channel' or 'data'"):
        of(per="pixel")
    with pytest.raises(ValueError, match=rf"{of.__name__} per channel got x of shape \(40, 6\), but needs"):
        of(per="channel").fit(X, WEIGHTS)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, -1.5)])
def test_min_max_is_scikit_learns_fitted_on_the_training_rows(low, high):
    expected = MinMaxScaler((low, high)).fit(np.asarray(X, np.float64)[TRAIN]).transform(X)
    statistics, z = fitted(min_max(low, high), X)
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(min_max(low, high).invert(statistics, z), X, rtol=1e-5, atol=1e-5)


def test_min_max_maps_a_constant_feature_to_low():
    column = jnp.asarray(np.where(TRAIN, 7.0, 9.0)[:, None], jnp.float32)
    _, z = fitted(min_max(-1, 1), column)
    np.testing.assert_array_equal(np.asarray(z)[TRAIN], -1)
    np.testing.assert_array_equal(np.asarray(z)[~TRAIN], 3)


def test_min_max_takes_traced_ends():
    z = jax.jit(lambda high: (lambda p: p.apply(p.fit(X, WEIGHTS), X))(min_max(0.0, high)))(jnp.float32(4))
    np.testing.assert_allclose(z, 4 * fitted(min_max(), X)[1], rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_min_max_refuses_ends_in_the_wrong_order(low, high):
    with pytest.raises(ValueError, match=f"min_max is to map to {low} and {high}, but the first must be below"):
        min_max(low, high)


@pytest.mark.parametrize(("center", "divide"), [(True, True), (True, False), (False, True)])
def test_each_sample_is_standardized_by_itself(center, divide):
    flat = IMAGES.reshape(40, -1).astype(np.float64)
    expected = (flat - center * flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) if divide else 1)
    _, z = fitted(standardize_samples(center, divide), IMAGES)
    np.testing.assert_allclose(z.reshape(40, -1), expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(standardize_samples(center, divide).apply((), jnp.asarray(IMAGES[:1])), z[:1], atol=1e-6)


def test_a_sample_without_variation_is_centred_only():
    np.testing.assert_allclose(standardize_samples().apply((), jnp.full((1, 9), 1234.5)), 0, atol=1e-3)


CORRELATED = np.random.default_rng(7).normal(size=(40, 6)) @ np.random.default_rng(8).normal(size=(6, 6)) + 3


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitening_gives_training_rows_the_identity_as_covariance(kind):
    _, z = fitted(whiten(kind, epsilon=1e-9), CORRELATED.astype(np.float32))
    train = np.asarray(z, np.float64)[TRAIN]
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=2e-5)
    np.testing.assert_allclose(np.cov(train.T, bias=True), np.eye(6), atol=2e-4)
    assert np.abs(np.cov(np.asarray(z).T) - np.eye(6)).max() > 0.05


def test_pca_whitening_is_scikit_learns_but_for_signs():
    pca = PCA(4, whiten=True).fit(CORRELATED[TRAIN])
    _, z = fitted(whiten("pca", 1e-9, components=4), CORRELATED.astype(np.float32))
    # scikit-learn divides the variance by n - 1.
    expected = pca.transform(CORRELATED) * np.sqrt(TRAIN.sum() / (TRAIN.sum() - 1))
    np.testing.assert_allclose(np.abs(z), np.abs(expected), atol=1e-3)


def test_zca_is_the_symmetric_root_of_the_inverse_covariance():
    train = CORRELATED[TRAIN]
    variances, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    expected = (CORRELATED - train.mean(0)) @ (vectors / np.sqrt(variances + 0.1)) @ vectors.T
    _, z = fitted(whiten("zca", 0.1), CORRELATED.astype(np.float32))
    np.testing.assert_allclose(z, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitening_is_taken_back(kind):
    x = CORRELATED.astype(np.float32).reshape(40, 3, 2)
    statistics, z = fitted(whiten(kind, 0.1), x)
    assert z.shape == ((40, 3, 2) if kind == "zca" else (40, 6))
    np.testing.assert_allclose(whiten(kind, 0.1).invert(statistics, z), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_fewer_rows_than_features_are_whitened_as_far_as_epsilon_lets_them(kind):
    x = np.random.default_rng(9).normal(size=(40, 100)).astype(np.float32)
    _, z = fitted(whiten(kind, 0.01), x)
    assert np.isfinite(z).all()
    found = np.linalg.eigvalsh(np.cov(np.asarray(z, np.float64)[TRAIN].T, bias=True))
    variances = np.linalg.eigvalsh(np.cov(x[TRAIN].T.astype(np.float64), bias=True))
    np.testing.assert_allclose(found, np.maximum(variances, 0) / (np.maximum(variances, 0) + 0.01), atol=2e-3)


def test_left_out_components_are_what_inversion_loses():
    statistics, z = fitted(whiten("pca", 1e-9, components=3), CORRELATED.astype(np.float32))
    pca = PCA(3).fit(CORRELATED[TRAIN])
    expected = pca.inverse_transform(pca.transform(CORRELATED))
    np.testing.assert_allclose(whiten("pca", 1e-9, components=3).invert(statistics, z), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"kind": "ica"}, ValueError, "whiten's kind is 'ica', but must be 'zca' or 'pca'"),
        ({"epsilon": 0.0}, ValueError, "whiten's epsilon is 0, but must be a finite number above 0"),
        ({"kind": "pca", "components": 0}, ValueError, "whiten's components is 0, but must be at least 1"),
        ({"kind": "pca", "components": 2.0}, TypeError, "whiten's components is 2.0, but must be a whole number"),
        ({"components": 2}, ValueError, "whiten keeps all components with 'zca', so it takes no components"),
    ],
)
def test_whitening_that_makes_no_sense_is_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        whiten(**arguments)


def test_whitening_needs_as_many_features_as_components():
    with pytest.raises(ValueError, match="whiten is to keep 7 components, but the examples have 6 features"):
        whiten("pca", components=7).fit(X, WEIGHTS)


HOLES = np.where(np.random.default_rng(10).uniform(size=X.shape) < 0.3, np.nan, X).astype(np.float32)


@pytest.mark.parametrize("strategy", ["mean", "median", 2.5])
def test_imputing_is_scikit_learns_fitted_on_the_training_rows(strategy):
    word = {"strategy": strategy} if isinstance(strategy, str) else {"strategy": "constant", "fill_value": strategy}
    expected = SimpleImputer(**word).fit(HOLES.astype(np.float64)[TRAIN]).transform(HOLES)
    np.testing.assert_allclose(fitted(impute(strategy), HOLES)[1], expected, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_imputing_counts_a_row_of_weight_two_twice(strategy):
    weights = np.random.default_rng(11).integers(0, 3, 40)
    repeated = jnp.asarray(np.repeat(HOLES, weights, axis=0))
    found, _ = fitted(impute(strategy), HOLES, jnp.asarray(weights, jnp.float32))
    np.testing.assert_allclose(found, fitted(impute(strategy), repeated, jnp.ones(len(repeated)))[0], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_a_feature_that_no_training_row_has_becomes_zero(strategy):
    x = np.where(TRAIN[:, None], np.nan, 5.0).astype(np.float32)
    _, z = fitted(impute(strategy), x)
    np.testing.assert_array_equal(z, np.where(TRAIN[:, None], 0, 5))


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        ("mode", "impute's strategy is 'mode', but must be 'mean', 'median' or a number"),
        (float("nan"), "impute is to fill in nan, but must fill in a finite number"),
        (float("inf"), "impute is to fill in inf, but must fill in a finite number"),
    ],
)
def test_imputing_that_makes_no_sense_is_refused(strategy, sentence):
    with pytest.raises(ValueError, match=sentence):
        impute(strategy)


@pytest.mark.slow
def test_a_chain_fits_each_part_on_what_the_parts_before_make_of_it():
    parts = (impute("median"), standardize(), min_max(-1, 1))
    x, expected = jnp.asarray(HOLES), jnp.asarray(HOLES)
    for part in parts:
        expected = part.apply(part.fit(expected, WEIGHTS), expected)
    np.testing.assert_allclose(fitted(chain(*parts), x)[1], expected, rtol=1e-5, atol=1e-6)


def test_a_chain_is_taken_back_where_all_its_parts_are():
    whole = chain(scale(10), standardize(), min_max(-1, 1))
    statistics, z = fitted(whole, X)
    np.testing.assert_allclose(whole.invert(statistics, z), X, rtol=1e-5, atol=1e-4)
    assert chain(impute(), standardize()).invert is None


def test_a_chain_has_parts():
    with pytest.raises(ValueError, match="chain got no preprocessors, but needs at least one"):
        chain()
    with pytest.raises(TypeError, match="chain got 255, but must get preprocessors, such as standardize"):
        chain(255)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("preprocessor", "oracle"),
    [
        (standardize(), StandardScaler()),
        (min_max(), MinMaxScaler()),
        (impute("mean"), SimpleImputer()),
        (impute("median"), SimpleImputer(strategy="median")),
        (whiten("pca", 1e-9), PCA(whiten=True)),
    ],
    ids=["standardize", "min_max", "mean", "median", "pca"],
)
@pytest.mark.parametrize("rows", [256, 257, 1000])
def test_many_rows_are_gone_through_in_blocks(preprocessor, oracle, rows, monkeypatch):
    monkeypatch.setattr("jreg.data.blocks._NUMBERS", 512)
    rng = np.random.default_rng(12)
    x = (rng.normal(size=(rows, 2)) * [1, 3] + [5, 0]).astype(np.float32)
    if isinstance(oracle, SimpleImputer):
        x[rng.uniform(size=x.shape) < 0.1] = np.nan
    train = rng.uniform(size=rows) < 0.6
    train[-1] = True
    _, z = fitted(preprocessor, x, jnp.asarray(train, jnp.float32))
    expected = oracle.fit(x[train].astype(np.float64)).transform(x)
    # scikit-learn's signs are others, and it divides the variance by n - 1.
    root = np.sqrt(train.sum() / (train.sum() - 1))
    both = (np.abs(z), root * np.abs(expected)) if isinstance(oracle, PCA) else (z, expected)
    np.testing.assert_allclose(*both, rtol=1e-3, atol=1e-4)


EVERY = {
    "channel": standardize(per="data"),
    "min_max": min_max(),
    "zca": whiten("zca", 0.1),
    "pca": whiten("pca", 0.1, components=3),
    "mean": impute("mean"),
    "median": impute("median"),
    "chain": chain(impute("median"), standardize(), whiten("zca", 0.1)),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("value", [np.nan, *(pytest.param(value, marks=pytest.mark.slow) for value in (np.inf, 1e30))])
@pytest.mark.parametrize("name", EVERY)
def test_what_stands_in_other_rows_changes_no_bit_of_what_is_learned(name, value):
    x = np.asarray(X)
    changed = np.where(TRAIN[:, None], x, np.float32(value))
    for a, b in zip(*(jax.tree.leaves(fitted(EVERY[name], rows)[0]) for rows in (x, changed)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.some(3)
@pytest.mark.parametrize("name", EVERY)
def test_folds_are_fitted_under_vmap_as_one_by_one(name):
    masks = jnp.asarray(np.random.default_rng(3).uniform(size=(3, 40)) < 0.5, jnp.float32)
    x = jnp.asarray(HOLES) if name in ("mean", "median", "chain") else X

    def run(mask):
        return EVERY[name].apply(EVERY[name].fit(x, mask), x)

    batched = jax.jit(jax.vmap(run))(masks)
    for n in range(3):
        np.testing.assert_allclose(batched[n], run(masks[n]), rtol=1e-3, atol=1e-3)


# Weights that aren't 0 and 1, against numpy in double precision.

SHARES = np.where(np.random.default_rng(13).uniform(size=40) < 0.3, 0, np.random.default_rng(14).gamma(1.0, size=40))
COUNTED = SHARES > 0


def moments(x, weights):
    """The weighted mean and standard deviation of every column."""
    mean = np.average(x, axis=0, weights=weights)
    return mean, np.sqrt(np.average(np.square(x - mean), axis=0, weights=weights))


@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e4])
def test_standardize_takes_weighted_means_and_deviations(factor):
    mean, deviation = moments(np.asarray(X, np.float64), SHARES)
    found, _ = fitted(standardize(), X, jnp.asarray(factor * SHARES, jnp.float32))
    np.testing.assert_allclose(found[0][0], mean, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found[1][0], deviation, rtol=1e-5)


@pytest.mark.parametrize(("per", "shape"), [("channel", (-1, 3)), ("data", (-1, 1))])
def test_channels_and_everything_are_weighted_by_their_rows(per, shape):
    values = IMAGES.reshape(shape).astype(np.float64)
    mean, deviation = moments(values, np.repeat(SHARES, len(values) // 40))
    _, z = fitted(standardize(per=per), IMAGES, jnp.asarray(SHARES, jnp.float32))
    np.testing.assert_allclose(z.reshape(shape), (values - mean) / deviation, atol=2e-5)


def test_min_max_counts_every_row_that_weighs_anything():
    expected = MinMaxScaler().fit(np.asarray(X, np.float64)[COUNTED]).transform(X)
    _, z = fitted(min_max(), X, jnp.asarray(1e-3 * SHARES, jnp.float32))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitening_makes_the_weighted_covariance_the_identity(kind):
    _, z = fitted(whiten(kind, 1e-9), CORRELATED.astype(np.float32), jnp.asarray(SHARES, jnp.float32))
    z = np.asarray(z, np.float64)
    np.testing.assert_allclose(np.average(z, axis=0, weights=SHARES), 0, atol=2e-5)
    np.testing.assert_allclose(np.cov(z.T, aweights=SHARES, ddof=0), np.eye(6), atol=3e-4)
    covariance = np.cov(CORRELATED.T, aweights=SHARES, ddof=0)
    (mean, vectors, deviations, _), _ = fitted(whiten(kind), CORRELATED.astype(np.float32), jnp.float32(SHARES))
    np.testing.assert_allclose(mean[0], np.average(CORRELATED, axis=0, weights=SHARES), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((vectors * np.square(deviations)) @ vectors.T, covariance, rtol=1e-3, atol=1e-4)


def weighted_median(values, weights):
    """By its definition: as much weight below as above, from a list of all intervals between neighbours."""
    order = np.argsort(values)
    values, below = values[order], np.cumsum(weights[order]) / weights.sum()
    exactly = np.flatnonzero(np.isclose(below, 0.5, rtol=0, atol=1e-9))
    if len(exactly):
        return (values[exactly[0]] + values[exactly[-1] + 1]) / 2
    return values[np.flatnonzero(below > 0.5)[0]]


@pytest.mark.parametrize("factor", [1.0, 0.1, 3e4])
def test_imputing_takes_weighted_means_and_medians(factor):
    known = [(~np.isnan(column) & COUNTED, column) for column in HOLES.astype(np.float64).T]
    weights = jnp.asarray(factor * SHARES, jnp.float32)
    means = [np.average(column[rows], weights=SHARES[rows]) for rows, column in known]
    np.testing.assert_allclose(fitted(impute("mean"), HOLES, weights)[0][0], means, rtol=1e-5)
    medians = [weighted_median(column[rows], SHARES[rows]) for rows, column in known]
    np.testing.assert_allclose(fitted(impute("median"), HOLES, weights)[0][0], medians, rtol=1e-6)


@pytest.mark.some(8)
@pytest.mark.parametrize("weight", [1.0, 0.1, 0.3, 1 / 3, 7.7, 1e-4, 12345.678])
@pytest.mark.parametrize("rows", [2, 6, 10, 40, 126, 1000])
def test_equal_weights_give_the_plain_median_however_they_round(weight, rows):
    values = np.random.default_rng(rows).permutation(rows).astype(np.float32)[:, None]
    found, _ = fitted(impute("median"), values, jnp.full(rows, weight, jnp.float32))
    assert found.item() == (rows - 1) / 2


WHOLE = np.random.default_rng(15).integers(0, 4, 40)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("preprocessor", "x"),
    [
        (standardize(), X),
        (standardize(per="channel"), IMAGES),
        (min_max(), X),
        (whiten("zca", 0.1), CORRELATED.astype(np.float32)),
        (whiten("pca", 0.1), CORRELATED.astype(np.float32)),
        (impute("mean"), HOLES),
        (impute("median"), HOLES),
        (chain(impute("median"), standardize(), whiten("zca", 0.1)), HOLES),
        (scale(2), X),
        (standardize_samples(), X),
    ],
    ids=["standardize", "channel", "min_max", "zca", "pca", "mean", "median", "chain", "scale", "samples"],
)
def test_whole_weights_are_repeated_rows(preprocessor, x):
    x = jnp.asarray(x)
    repeated = jnp.repeat(x, WHOLE, axis=0, total_repeat_length=int(WHOLE.sum()))
    one = preprocessor.apply(preprocessor.fit(x, jnp.asarray(WHOLE, jnp.float32)), x)
    two = preprocessor.apply(preprocessor.fit(repeated, jnp.ones(len(repeated))), x)
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [256, 257, 1000])
def test_weighted_rows_are_gone_through_in_blocks(rows, monkeypatch):
    monkeypatch.setattr("jreg.data.blocks._NUMBERS", 512)
    rng = np.random.default_rng(16)
    x, weights = rng.normal(size=(rows, 2)).astype(np.float32), rng.gamma(1.0, size=rows)
    (*statistics, _), _ = fitted(standardize(), x, jnp.asarray(weights, jnp.float32))
    for found, wanted in zip(statistics, moments(x, weights), strict=True):
        np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-6)


NUMBERS = np.random.default_rng(17).integers(0, 2, (40, 2, 3))
ALL = {
    "standardize": standardize(),
    "min_max": min_max(-1, 1),
    "zca": whiten("zca", 0.1),
    "pca": whiten("pca", 0.1),
    "mean": impute("mean"),
    "median": impute("median"),
    "number": impute(3),
    "scale": scale(4),
    "samples": standardize_samples(),
    "chain": chain(impute("median"), standardize()),
}
SLOW = pytest.mark.slow


@pytest.mark.some(6)
@pytest.mark.parametrize(
    "dtype",
    [bool, np.int32, np.float16, *(pytest.param(d, marks=SLOW) for d in (np.int8, np.uint8, np.uint16, jnp.bfloat16))],
)
@pytest.mark.parametrize("name", ALL)
def test_every_dtype_is_computed_in_float32(name, dtype):
    x = NUMBERS.astype(dtype)
    (_, z), (_, wanted) = fitted(ALL[name], x), fitted(ALL[name], NUMBERS.astype(np.float32))
    assert z.dtype == jnp.float32
    np.testing.assert_allclose(z, wanted, rtol=1e-6, atol=1e-6)


# Examples of several arrays.

PARTS = {"age": X, "image": jnp.asarray(IMAGES), "tokens": jnp.arange(80).reshape(40, 2)}


def test_each_part_has_its_own_preprocessor_and_others_stay():
    per = {"age": chain(standardize(), min_max(-1, 1)), "image": standardize(per="channel")}
    for weights in (WEIGHTS, jnp.asarray(SHARES, jnp.float32)):
        for whole in (by_part(**per), by_part(per), by_part({"image": per["image"]}, age=per["age"])):
            statistics, z = fitted_parts(whole, weights)
            assert z.keys() == PARTS.keys()
            assert statistics.keys() == per.keys()
            for name, part in per.items():
                np.testing.assert_allclose(z[name], fitted(part, PARTS[name], weights)[1], rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(z["tokens"], PARTS["tokens"])
            assert z["tokens"].dtype == jnp.int32


def fitted_parts(preprocessor, weights=WEIGHTS, x=PARTS):
    @jax.jit
    def run(x, weights):
        statistics = preprocessor.fit(x, weights)
        return statistics, preprocessor.apply(statistics, x)

    return run(x, weights)


def test_parts_are_taken_back_where_all_preprocessors_are():
    whole = by_part(age=standardize(), image=scale(255))
    statistics, z = fitted_parts(whole)
    back = whole.invert(statistics, z)
    for name, part in PARTS.items():
        np.testing.assert_allclose(back[name], part, rtol=1e-5, atol=1e-4)
    assert by_part(age=standardize(), image=standardize_samples()).invert is None


def test_parts_nest_and_chain():
    x = {"deep": PARTS, "y": X}
    whole = chain(by_part(deep=by_part(age=standardize())), by_part(deep=by_part(age=min_max())))
    _, z = fitted_parts(whole, WEIGHTS, x)
    _, wanted = fitted(chain(standardize(), min_max()), X)
    np.testing.assert_allclose(z["deep"]["age"], wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(z["y"], X)


@pytest.mark.slow
def test_rows_of_parts_on_the_host_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr("jreg.data.blocks._NUMBERS", 60)
    whole = chain(by_part(image=scale(255)), by_part(age=standardize(), image=standardize(per="channel")))

    def on_host(array):
        return HostRows(lambda first, last: array[first:last], array.shape)

    found = whole.fit({name: on_host(part) for name, part in PARTS.items()}, WEIGHTS)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(whole.fit(PARTS, WEIGHTS)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("preprocessor", "name"),
    [
        (standardize(), "standardize"),
        (min_max(), "min_max"),
        (scale(2), "scale"),
        (standardize_samples(), "standardize_samples"),
        (whiten(), "whiten"),
        (impute(), "impute"),
        (chain(impute(), standardize()), "impute"),
    ],
)
def test_a_preprocessor_of_one_array_refuses_several(preprocessor, name):
    sentence = (
        f"^{name} got x with the parts age, image, tokens, but takes one array: choose a preprocessor per part of a "
        rf"dict by jreg.data.by_part\(age={name}\(\.\.\.\)\)$"
    )
    with pytest.raises(TypeError, match=sentence):
        preprocessor.fit(PARTS, WEIGHTS)
    with pytest.raises(TypeError, match=sentence):
        preprocessor.apply((), PARTS) if name != "impute" else impute().apply((), PARTS)
    with pytest.raises(TypeError, match=rf"got x with the parts 0, 1, .* jreg.data.by_part\(name={name}\(\.\.\.\)\)"):
        preprocessor.fit((X, X), WEIGHTS)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: by_part(), ValueError, "by_part got no preprocessors, but needs at least one"),
        (lambda: by_part({}), ValueError, "by_part got no preprocessors, but needs at least one"),
        (lambda: by_part(age=3), TypeError, "by_part got 3 for 'age', but must get preprocessors, such as standardize"),
        (
            lambda: by_part(age=scale(2)).fit(X, WEIGHTS),
            TypeError,
            r"by_part got x as one array of shape \(40, 6\), but takes a dict with the parts age",
        ),
        (
            lambda: by_part(age=scale(2)).apply({"age": ()}, (X, X)),
            TypeError,
            "by_part got x as a tuple, but takes a dict with the parts age",
        ),
        (
            lambda: by_part(size=scale(2)).fit(PARTS, WEIGHTS),
            ValueError,
            "by_part has a preprocessor for 'size', but x has the parts age, image, tokens",
        ),
    ],
)
def test_parts_that_make_no_sense_are_refused(call, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        call()
