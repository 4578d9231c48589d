import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from jreg.data import chain, impute, min_max, scale, standardize, standardize_samples, whiten

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


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("name", EVERY)
def test_what_stands_in_other_rows_changes_no_bit_of_what_is_learned(name, value):
    x = np.asarray(X)
    changed = np.where(TRAIN[:, None], x, np.float32(value))
    for a, b in zip(*(jax.tree.leaves(fitted(EVERY[name], rows)[0]) for rows in (x, changed)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", EVERY)
def test_folds_are_fitted_under_vmap_as_one_by_one(name):
    masks = jnp.asarray(np.random.default_rng(3).uniform(size=(3, 40)) < 0.5, jnp.float32)
    x = jnp.asarray(HOLES) if name in ("mean", "median", "chain") else X

    def run(mask):
        return EVERY[name].apply(EVERY[name].fit(x, mask), x)

    batched = jax.jit(jax.vmap(run))(masks)
    for n in range(3):
        np.testing.assert_allclose(batched[n], run(masks[n]), rtol=1e-3, atol=1e-3)
