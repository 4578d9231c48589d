"""What trainings make of the data: nothing leaks, bytes stay bytes, missing values and several targets work."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import Recipe, losses, nn
from jreg.data import chain, impute, min_max, scale, standardize, standardize_samples, whiten
from jreg.recipe import build
from jreg.splits import hold_out, pack
from jreg.study.default import study_for
from jreg.training import Training, epoch, first_fold, make_plan, rows_of, start, streams

PREPROCESSORS = {
    "standardize": standardize(),
    "min_max": min_max(),
    "whiten": whiten("zca", 0.1),
    "chain": chain(impute("median"), standardize(), whiten("pca", 0.1, components=2)),
}


def recipe_with(preprocess, outputs=3, loss=losses.softmax_cross_entropy, **parts):
    return lambda hp: Recipe(nn.MLP((4, outputs)), loss, optax.sgd(hp["rate"]), preprocess=preprocess, **parts)


def spoiled(data, row, value):
    """The same data with another example in one row, whose label changes, too."""
    x, y = data.x.copy(), data.y.copy()
    x[row], y[row] = value, (y[row] + 1) % data.classes
    return dataclasses.replace(data, x=x, y=y, missing="keep")


CASES = [
    *(
        pytest.param(name, 1e4, id=f"{name}-huge", marks=() if name == "whiten" else pytest.mark.slow)
        for name in PREPROCESSORS
    ),
    # Only imputing makes a number of a missing value; without it the validation loss is NaN and ends the training.
    pytest.param("chain", np.nan, id="chain-missing"),
]


@pytest.mark.some(1)
@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_validation_row_changes_no_bit_of_a_training(blobs, name, value):
    validation = np.arange(5, 20)
    recipe = recipe_with(PREPROCESSORS[name])
    first, second = (
        jreg.fit(jax.random.key(0), recipe, data, {"rate": 0.1}, epochs=3, batch_size=16, validation=validation)
        for data in (blobs, spoiled(blobs, 7, value))
    )
    for a, b in zip(jax.tree.leaves(first[:3]), jax.tree.leaves(second[:3]), strict=True):
        np.testing.assert_array_equal(a, b)
    for column in ("train_loss", "train_accuracy"):
        np.testing.assert_array_equal(first.history[column], second.history[column])
    assert np.isfinite(second.history["train_loss"]).all()
    assert not np.array_equal(first.history["val_loss"], second.history["val_loss"])


@pytest.mark.slow
def test_a_validation_row_changes_no_bit_of_the_trainings_of_a_study(blobs):
    folds = [(np.arange(24, 72), np.arange(24)), (np.arange(48), np.arange(48, 72))]
    space = jreg.grid(rate=[0.03, 0.1])
    first, second = (
        jreg.cross_validate(recipe_with(PREPROCESSORS["chain"]), data, space, cv=folds, epochs=2, batch_size=16)
        for data in (blobs, spoiled(blobs, 7, np.nan))
    )
    train = [place for place, column in enumerate(first.spec.columns) if column.split != "validation"]
    # Row 7 is a validation row of the first fold and a training row of the second.
    np.testing.assert_array_equal(first.history[:, 0][..., train], second.history[:, 0][..., train])
    assert not np.array_equal(first.history[:, 1][..., train], second.history[:, 1][..., train])
    assert not np.array_equal(first.history[:, 0], second.history[:, 0])


def test_a_recipe_that_leaves_missing_values_is_told_so_before_it_trains(blobs):
    data = dataclasses.replace(spoiled(blobs, 7, np.nan), name="holes")
    sentence = "holes has missing values, and the recipe's preprocess leaves them NaN: put jreg.data.impute"
    for preprocess in (None, standardize()):
        with pytest.raises(ValueError, match=sentence):
            jreg.fit(jax.random.key(0), recipe_with(preprocess), data, {"rate": 0.1}, epochs=1)


@pytest.mark.slow
@pytest.mark.adam
def test_the_study_without_a_recipe_fits_every_kind_of_data(blobs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    kinds = {
        "classification": spoiled(blobs, 7, np.nan),
        "multilabel": jreg.Dataset(x, x[:, :2] > 0),
        "regression": jreg.Dataset(x, x @ rng.normal(size=(3, 2))),
    }
    for task, data in kinds.items():
        assert data.task == task
        recipe, space = study_for(data)
        fitted = jreg.fit(jax.random.key(0), recipe, data, space.settings[0], epochs=60, batch_size=20)
        score = "train_r2" if task == "regression" else "train_accuracy"
        assert fitted.history[score][-1] > 0.7


@pytest.mark.slow
def test_hold_out_validation_of_several_labels_an_example():
    x = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    data = jreg.Dataset(x[:40], x[:40, :3] > 0, x[40:], x[40:, :3] > 0)
    recipe = recipe_with(standardize(), 3, losses.sigmoid_cross_entropy)
    study = jreg.cross_validate(
        recipe, data, jreg.grid(rate=[0.5, 1.0]), cv=hold_out(data, 0.25), epochs=40, batch_size=8
    )
    assert study.scores.shape == (2, 1, 1)
    final = jreg.refit(study)
    # The final network has seen all rows but the test set.
    for a, b in zip(final.statistics[0], standardize().fit(jnp.asarray(data.x), jnp.ones(40)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    outputs = np.asarray(final.outputs(data.x_test))
    assert final.test["accuracy"] == pytest.approx(((outputs > 0) == data.y_test).mean())
    assert final.test["accuracy"] > 0.8


def test_several_numbers_an_example_are_learned_in_their_own_units():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = x @ rng.normal(size=(4, 2)) * [1, 100] + [0, 1000]
    data = jreg.Dataset(x[:40], y[:40], x[40:], y[40:])
    recipe = recipe_with(standardize(), 2, losses.squared_error, targets=standardize())
    fitted = jreg.fit(jax.random.key(0), recipe, data, {"rate": 0.3}, epochs=150, batch_size=8)
    found = np.asarray(jreg.predict(recipe, fitted, data.x_test, {"rate": 0.3}))
    error = np.square(found - data.y_test).mean(axis=0) / data.y_test.var(axis=0)
    assert found.shape == (20, 2)
    assert (error < 0.3).all()


def test_several_targets_are_mixed_as_they_are():
    def swap(key, x, y, weights):
        return x[::-1], (y + y[::-1]) / 2

    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    recipe = recipe_with(None, 3, losses.sigmoid_cross_entropy, mixing=swap)
    fitted = jreg.fit(jax.random.key(0), recipe, jreg.Dataset(x, x[:, :3] > 0), {"rate": 0.1}, epochs=1)
    assert np.isfinite(fitted.history["train_loss"]).all()


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "preprocess",
    [scale(255), standardize(), standardize_samples()],
    ids=["scale", "standardize", "standardize_samples"],
)
def test_no_float_copy_of_all_images_is_ever_on_the_device(preprocess):
    x = np.zeros((20_000, 28, 28), np.uint8)
    data = jreg.Dataset(x, np.arange(20_000) % 10)
    recipe = recipe_with(preprocess, 10)
    fold = pack([(np.arange(15_000), np.arange(15_000, 20_000))])
    plan = make_plan(recipe, [({"rate": 0.1}, build(recipe, {"rate": 0.1}))], (), data, fold, 2, 64, None)
    rows, fold = rows_of(data), first_fold(fold)

    def training(key, hp, rows, fold):
        given = Training(streams(key), hp, fold, np.int32(2))
        return epoch(plan, start(plan, given, rows), given, rows)

    arguments = (jax.random.key(0), {"rate": jnp.float32(0.1)}, rows, fold)
    found = jax.jit(training).lower(*arguments).compile().memory_analysis()
    assert x.nbytes < found.argument_size_in_bytes < 1.02 * x.nbytes
    # Blocks of at most 2048 rows are converted, of which several are there at once; a float32 copy has 4 x.nbytes.
    assert found.temp_size_in_bytes < 1.2 * x.nbytes
