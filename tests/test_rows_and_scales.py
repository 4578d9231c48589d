"""Small batches in running averages; features of any mean and scale; grey images as images."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from sklearn.metrics import r2_score

import jreg
from jreg import losses, metrics, nn
from jreg.data import chain, impute, min_max, scale, standardize, standardize_samples, whiten
from jreg.data.blocks import HostRows
from jreg.training import keys
from jreg.training.averages import by_rows, warn_of_one_row
from jreg.training.shuffle import shuffled

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


# Rows in running averages.


class Own(linen.Module):
    """A user's network with Flax's own layer."""

    @linen.compact
    def __call__(self, x, train: bool, mask=None):
        rows = None if mask is None else mask[:, None]
        return linen.Dense(1)(linen.BatchNorm(use_running_average=not train, momentum=0.5)(x, mask=rows))


def test_a_last_batch_of_one_row_counts_as_one_row_and_is_told():
    x = RNG.normal(2.0, 3.0, size=(5, 2)).astype(np.float32)

    def recipe(hp):
        return jreg.Recipe(Own(), losses.squared_error, optax.sgd(0.0))

    sentence = r"5 rows in batches of 4 .* one row, .* \(BatchNorm_0\) makes zeros: batch_size=3 leaves no such batch"
    with pytest.warns(UserWarning, match=sentence):
        fitted = jreg.fit(KEY, recipe, jreg.Dataset(x, np.zeros(5)), epochs=3, batch_size=4)
    fold = jreg.splits.Folds(jnp.arange(5), np.int32(5), np.zeros(0, np.int32), np.int32(0), np.uint32(0))
    order = jax.jit(lambda epoch: shuffled(keys.of_epoch(keys.streams(KEY), epoch)[keys.SHUFFLE], fold, 4))
    mean, variance = np.zeros(2), np.ones(2)
    for epoch in range(3):
        rows = np.asarray(order(epoch))
        for part, share in ((x[rows[:4]], 0.5), (x[rows[4:5]], 0.5 / 4)):
            mean = (1 - share) * mean + share * part.mean(axis=0)
            variance = (1 - share) * variance + share * part.var(axis=0)
    stats = fitted.model_state["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats["var"], variance, rtol=1e-4)


def state_of(value):
    return {
        "batch_stats": {
            "BatchNorm_0": {"mean": jnp.full(2, value), "var": jnp.full(2, value)},
            "BatchRenorm_0": {"deviation": jnp.full(2, value), "count": jnp.int32(value)},
            "SpectralNorm_0": {"Dense_0/kernel/u": jnp.full(2, value), "Dense_0/kernel/sigma": jnp.float32(value)},
            "GhostBatchNorm_0": {"ghost_mean": jnp.full(2, value)},
        },
        "nnx": {"norm": {"mean": jnp.full(2, value)}, "steps": {"seen": jnp.float32(value)}},
        "lone": jnp.float32(value),
    }


@pytest.mark.parametrize(("rows", "expected"), [(8, 7.0), (2, 4.0), (0, 3.0)])
def test_averages_move_by_the_share_of_rows_and_nothing_else_does(rows, expected):
    after = state_of(7.0)
    if rows == 0:
        after["batch_stats"]["BatchNorm_0"] = {"mean": jnp.full(2, jnp.nan), "var": jnp.full(2, jnp.nan)}
    found = by_rows(state_of(3.0), after, jnp.int32(rows), jnp.int32(8))
    stats = found["batch_stats"]
    moved = [*stats["BatchNorm_0"].values(), stats["BatchRenorm_0"]["deviation"], found["nnx"]["norm"]["mean"]]
    for leaf in moved:
        np.testing.assert_array_equal(leaf, expected)
    rest = [stats["BatchRenorm_0"]["count"], *stats["SpectralNorm_0"].values(), *stats["GhostBatchNorm_0"].values()]
    for leaf in [*rest, found["nnx"]["steps"]["seen"], found["lone"]]:
        np.testing.assert_array_equal(leaf, 7)


def test_batches_of_one_image_have_a_variance_and_are_not_told():
    images = jax.ShapeDtypeStruct((2, 4, 4, 1), jnp.float32)
    warn_of_one_row(nn.CNN((2,), (3,), normalization="batch"), images, np.array([9]), 8)
    rows = jax.ShapeDtypeStruct((2, 4), jnp.float32)
    warn_of_one_row(nn.MLP((2, 3), normalization="layer"), rows, np.array([9]), 8)
    warn_of_one_row(nn.MLP((2, 3), normalization="batch"), rows, np.array([10, 6, 8]), 8)
    for name in ("ghost_batch", "batch_renorm"):
        with pytest.warns(UserWarning, match=r"a batch has one row, .*: batch_size=2 leaves no such batch"):
            warn_of_one_row(nn.MLP((2, 3), normalization=name), rows, np.array([10]), 1)


@pytest.mark.slow
def test_ghost_batches_of_one_row_are_told():
    layer, x = nn.GhostBatchNorm(size=4), jnp.ones((5, 2))
    variables = layer.init(KEY, x)
    with pytest.warns(UserWarning, match=r"GhostBatchNorm takes 5 rows 4 at a time, so that a part has one row"):
        layer.apply(variables, x, train=True, mutable=["batch_stats"])


# Means that are large beside deviations, and scales at the ends of float32.

ROWS = 400
HARD = {
    "ordinary": RNG.normal(3, 2, ROWS),
    "whole numbers": 1.6e7 + RNG.integers(0, 10, ROWS),
    "negative": -1e6 + RNG.integers(0, 3, ROWS) / 16,
    "constant": np.full(ROWS, 0.1),
    "tiny": 1e-25 * RNG.normal(size=ROWS),
    "huge": 1e25 * RNG.normal(3, 1, size=ROWS),
    "tiny about one": 1 + RNG.integers(0, 50, ROWS) * 2.0**-23,
}
HARD_X = np.stack(list(HARD.values()), axis=1).astype(np.float32)
WIDE = HARD_X.astype(np.float64)
TRAIN = RNG.random(ROWS) < 0.6
MEAN, DEVIATION = WIDE[TRAIN].mean(0), WIDE[TRAIN].std(0)
DEVIATION[list(HARD).index("constant")] = 1


def run(preprocessor, x, on_host=False):
    """Statistics and what becomes of the rows."""
    weights = jnp.asarray(TRAIN, jnp.float32)
    if on_host:
        statistics = preprocessor.fit(HostRows(lambda first, last: x[first:last], x.shape), weights)
    else:
        statistics = jax.jit(preprocessor.fit)(jnp.asarray(x), weights)
    return statistics, np.asarray(jax.jit(preprocessor.apply)(statistics, jnp.asarray(x)))


@pytest.mark.parametrize("on_host", [False, True], ids=["device", "host"])
def test_standardize_loses_nothing_that_float32_has(on_host):
    statistics, z = run(standardize(), HARD_X, on_host)
    np.testing.assert_allclose(z, (WIDE - MEAN) / DEVIATION, atol=2e-5)
    # Back again the numbers are a rounding or two of their column's largest away.
    largest = np.abs(WIDE).max(axis=0)
    back = np.asarray(standardize().invert(statistics, jnp.asarray(z)))
    np.testing.assert_allclose(back / largest, WIDE / largest, atol=5e-7)


@pytest.mark.parametrize(("center", "divide"), [(True, False), (False, True)])
def test_either_half_of_standardize_loses_nothing(center, divide):
    _, z = run(standardize(center, divide), HARD_X)
    expected = (WIDE - center * MEAN) / (DEVIATION if divide else 1)
    largest = np.abs(expected).max(axis=0).clip(1e-30)
    np.testing.assert_allclose(z / largest, expected / largest, atol=2e-5)


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_seconds_since_1970_as_integers_are_shifted_before_they_become_float32(dtype):
    seconds = (1_700_000_000 + RNG.integers(0, 600, (ROWS, 1))).astype(dtype)
    if dtype == "uint32":
        seconds += np.uint32(2**31)
    wide = seconds.astype(np.float64)
    _, z = run(standardize(), seconds)
    np.testing.assert_allclose(z, (wide - wide[TRAIN].mean()) / wide[TRAIN].std(), atol=1e-5)
    _, z = run(min_max(), seconds)
    low, high = wide[TRAIN].min(), wide[TRAIN].max()
    np.testing.assert_allclose(z, (wide - low) / (high - low), atol=1e-5)
    _, z = run(chain(min_max(-1, 1), scale(0.5)), seconds)
    np.testing.assert_allclose(z, 4 * (wide - low) / (high - low) - 2, atol=1e-5)


def test_integers_of_32_bits_far_from_each_other_keep_their_order():
    x = np.array([[0], [2**32 - 1], [2**31], [5]], np.uint32)
    statistics = standardize().fit(jnp.asarray(x), jnp.ones(4))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(
        standardize().apply(statistics, jnp.asarray(x)), (wide - wide.mean()) / wide.std(), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_whitening_of_large_means(kind):
    x = HARD_X[:, [0, 1, 2]]
    statistics, z = run(whiten(kind, 1e-9), x)
    np.testing.assert_allclose(np.cov(z[TRAIN].T.astype(np.float64), bias=True), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(whiten(kind, 1e-9).invert(statistics, jnp.asarray(z)), x, rtol=1e-6, atol=1e-5)


def test_whitening_of_huge_features_is_that_of_the_same_in_another_unit():
    x = RNG.normal(size=(ROWS, 3)) @ RNG.normal(size=(3, 3))
    expected = run(whiten("zca", 1e-12), x.astype(np.float32))[1]
    np.testing.assert_allclose(run(whiten("zca", 1e-12), (1e25 * x).astype(np.float32))[1], expected, atol=1e-3)


def test_the_mean_that_is_imputed_is_that_of_large_numbers():
    x = HARD_X[:, [0, 1, 2]].copy()
    x[::3] = np.nan
    statistics, _ = run(impute(), x)
    np.testing.assert_allclose(statistics[0], np.nanmean(x[TRAIN].astype(np.float64), axis=0), rtol=1e-7)


def test_a_series_far_from_0_is_standardized_by_itself():
    series = [2e6 + 8 * RNG.normal(size=50), 1e-25 * RNG.normal(size=50), 1e25 * RNG.normal(size=50), np.full(50, 0.3)]
    x = np.stack(series).astype(np.float32)
    wide = x.astype(np.float64)
    deviation = np.append(wide[:3].std(axis=1), 1)[:, None]
    z = standardize_samples().apply((), jnp.asarray(x))
    np.testing.assert_allclose(z, (wide - wide.mean(axis=1, keepdims=True)) / deviation, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 5])
def test_r2_of_targets_far_from_0_is_scikit_learns(blocks):
    y = (2e6 + RNG.normal(size=ROWS)).astype(np.float32)
    outputs = (y + 0.5 * RNG.normal(size=ROWS)).astype(np.float32)
    state = metrics.r2.init(outputs[:1], y[:1], ROWS)
    for part in np.split(np.arange(ROWS), blocks):
        state = metrics.r2.update(state, jnp.asarray(outputs[part]), jnp.asarray(y[part]), jnp.ones(len(part)))
    expected = r2_score(y.astype(np.float64), outputs.astype(np.float64))
    np.testing.assert_allclose(metrics.r2.compute(state), expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 2e6, 0.0])
def test_r2_of_targets_that_are_all_the_same_is_nan(value):
    y = jnp.full(1000, value, jnp.float32)
    assert np.isnan(metrics.r2(y + 1, y))


# What float32 can't tell apart.


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            1.7e9 + RNG.uniform(0, 600, ROWS),
            r"data's x\[:, 1\] has 400 different values from 17000\d+.\d+ to .*keeps 6",
        ),
        (
            1e8 + np.arange(ROWS),
            r"has 400 different values from 100000000 to 100000399, .*: subtract an offset such as",
        ),
        (1 + 1e-9 * RNG.normal(size=ROWS), "of which float32 keeps 1: subtract an offset such as 1 in float64, of new"),
        (1e-41 * RNG.uniform(1, 2, ROWS), "of which float32 keeps 1: divide it by a number such as 2e-41 in float64"),
    ],
)
def test_a_column_that_float32_would_lose_is_refused(column, sentence):
    x = np.stack([RNG.normal(size=ROWS), column], axis=1)
    with pytest.raises(ValueError, match=sentence):
        jreg.Dataset(x, np.zeros(ROWS, int))


def test_a_column_of_a_part_or_of_images_is_named():
    late = 1.7e9 + RNG.uniform(0, 600, ROWS)
    with pytest.raises(ValueError, match="data's x/late has 400 different"):
        jreg.Dataset({"late": late, "other": np.ones((ROWS, 2))}, np.zeros(ROWS, int))
    images = np.ones((ROWS, 2, 2))
    images[:, 1, 0] = late
    with pytest.raises(ValueError, match=r"data's x\[:, 1, 0\] has 400"):
        jreg.Dataset(images, np.zeros(ROWS, int))
    with pytest.raises(ValueError, match="data's y has 400 different values"):
        jreg.Dataset(np.ones((ROWS, 2)), late)


@pytest.mark.parametrize(
    "column",
    [
        np.where(np.arange(ROWS) % 2, 0.3, 0.1 + 0.2),  # constant but for float64's rounding
        1.7e9 + RNG.uniform(0, 1e6, ROWS),
        RNG.normal(size=ROWS),
        np.full(ROWS, 1.7e9 + 0.3),
        np.zeros(ROWS),
    ],
)
def test_columns_that_float32_keeps_are_taken(column):
    data = jreg.Dataset(column[:, None], 2e6 + RNG.normal(size=ROWS), column[:2, None], np.zeros(2))
    np.testing.assert_array_equal(data.x[:, 0], column.astype(np.float32))


def test_test_rows_and_missing_values_are_no_columns():
    x = RNG.normal(size=(ROWS, 1))
    x_test = 1 + np.array([[0.0], [1e-9]])
    assert jreg.Dataset(x, np.zeros(ROWS, int), x_test, np.zeros(2, int)).x_test.shape == (2, 1)
    holes = np.where(RNG.random((ROWS, 1)) < 0.3, np.nan, 1.7e9 + RNG.uniform(0, 600, (ROWS, 1)))
    with pytest.raises(ValueError, match=r"x\[:, 0\] has \d+ different values"):
        jreg.Dataset(holes, np.zeros(ROWS, int), missing="keep")


# Grey images.

GREY = jnp.asarray(RNG.normal(size=(3, 6, 6)), jnp.float32)


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "network",
    [
        nn.CNN((2,), (3,), normalization="batch"),
        nn.ResidualCNN((2,), blocks=1, outputs=3),
        nn.Conv(2, (3, 3)),
        nn.CosineConv(2, (3, 3)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_grey_image_is_one_of_one_channel(network):
    variables = jax.jit(network.init)(KEY, GREY)
    apply = jax.jit(network.apply)
    np.testing.assert_array_equal(apply(variables, GREY), apply(variables, GREY[..., None]))
    with pytest.raises(ValueError, match=r"\(3, 36\)"):
        network.init(KEY, GREY.reshape(3, 36))


def test_an_autoencoder_reconstructs_grey_images():
    for network in (nn.Autoencoder((4,)), nn.TiedAutoencoder((4,))):
        assert jax.eval_shape(lambda x, n=network: n.init_with_output(KEY, x)[0], GREY).shape == (3, 36)


def test_replacing_the_examples_alone_says_what_to_do():
    data = jreg.Dataset(np.ones((4, 3, 3)), [0, 1, 0, 1], np.ones((2, 3, 3)), [0, 1])
    with pytest.raises(ValueError, match=r"has to change x_test too, as in dataclasses.replace\(data, x=..., x_test="):
        dataclasses.replace(data, x=data.x[..., None])
