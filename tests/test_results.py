"""Results: what makes a setting, a column and a specification, and what a folder gives back without code or data."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, metrics, nn, penalties, projections, report, store
from jreg.results import FoldRows, Found, Results, Spec, canonical
from jreg.results.summary import summary
from jreg.results.values import plain
from jreg.search import Space
from jreg.training import Column, Status

FILES = ("results.json", "settings.csv", "trainings.csv", "curves.csv")
INF = float("inf")


def square(x):
    return x * x


def bits(array: np.ndarray) -> bytes:
    """Every bit of an array, but for those that tell one NaN from another."""
    known = array if array.dtype.kind != "f" else np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return known.tobytes()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# what a setting is


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": np.float32(1)}),
        ({"a": 1.0}, {"a": np.int64(1)}),
        ({"a": 0.5}, {"a": np.float16(0.5)}),
        ({"a": -0.0}, {"a": 0.0}),
        ({"a": -0.0}, {"a": 0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": (1, 2.0)}, {"a": [1.0, 2]}),
        ({"a": np.bool_(True)}, {"a": True}),
        ({"a": INF}, {"a": np.float32("inf")}),
        ({"a": 1e22}, {"a": 10**22}),
        ({"a": square}, {"a": f"{__name__}.square"}),
    ],
)
def test_settings_that_are_the_same(first, second):
    assert canonical(first) == canonical(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": 0}, {"a": None}),
        ({"a": False}, {"a": None}),
        ({"a": 1}, {"a": "1"}),
        ({"a": "True"}, {"a": True}),
        ({"a": "None"}, {"a": None}),
        ({"a": 0.1}, {"a": np.float32(0.1)}),
        ({"a": INF}, {"a": -INF}),
        ({"a": 1}, {"b": 1}),
        ({"a": (1, 2)}, {"a": (2, 1)}),
        ({"a": (1,)}, {"a": 1}),
        ({"a": square}, {"a": rows_of}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
    ],
)
def test_settings_that_are_different(first, second):
    assert canonical(first) != canonical(second)


def test_a_setting_as_text_is_json_without_infinities():
    values = {"c": INF, "d": -INF, "l2": 0.1, "width": 64, "on": True, "name": "relu", "of": None, "f": square}
    assert json.loads(canonical(values), parse_constant=pytest.fail) == {
        "c": "inf", "d": "-inf", "l2": 0.1, "width": 64, "on": True, "name": "relu", "of": None,
        "f": f"{__name__}.square",
    }  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: (1, f), lambda f: {"inner": [f]}])
def test_a_function_without_a_name_of_its_own_is_refused(wrap):
    def local(x):
        return x

    for function in (lambda x: x, local):
        with pytest.raises(
            ValueError, match=r"hyperparameter 'f' has the value .*<locals>.*define the function at"
        ) as e:
            canonical({"f": wrap(function)})
        assert "\n" not in str(e.value)


# what a study asks

SPACE = Space(
    axes={"c": (INF, 1.0), "layers": ((), (8, 4)), "activation": (square,), "of": (None,), "on": (True, False)},
    settings=(
        {"c": INF, "layers": (), "activation": square, "of": None, "on": True},
        {"c": 1.0, "layers": (8, 4), "activation": square, "of": None, "on": False},
    ),
    traced=("c",),
)
FOLDS = (
    FoldRows(0, "validation", np.arange(4, 12), np.arange(4)),
    FoldRows(3, "validation", np.array([7, 1, 2]), np.array([9, 8])),
    FoldRows(5, "outer", np.arange(6), np.arange(6, 12)),
)
SPEC = Spec(
    data="points",
    rows=12,
    task="classification",
    space=SPACE,
    folds=FOLDS,
    seeds=(4, 0, 2**32 - 1),
    epochs=5,
    batch_size=16,
    block=4,
    stopping=jreg.EarlyStopping(2, 0.25, "val_error", "min"),
    warm="c",
    score=Column("validation", "metric", "error", False),
    columns=(
        Column("train", "loss", "loss"),
        Column("validation", "loss", "loss"),
        Column("validation", "metric", "error", False),
        Column("validation", "metric", "accuracy", True),
        Column("train", "penalty", ""),
        Column("", "params", "norm"),
    ),
    keep=("outputs",),
    versions={"python": "3.11.7", "jreg": "0.0"},
)


def text_of(value: Any) -> Any:
    """A function stands for itself by its name, once it has been written down."""
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value


def assert_same(found: Spec, expected: Spec) -> None:
    """The same specification, but for functions, which are their names."""
    for field in dataclasses.fields(Spec):
        first, second = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "folds":
            assert [(fold.number, fold.role) for fold in first] == [(fold.number, fold.role) for fold in second]
            for one, other in zip(first, second, strict=True):
                np.testing.assert_array_equal(one.train, other.train)
                np.testing.assert_array_equal(one.validation, other.validation)
        elif field.name == "space":
            axes = {name: tuple(map(text_of, values)) for name, values in second.axes.items()}
            settings = tuple({name: text_of(value) for name, value in setting.items()} for setting in second.settings)
            assert first == second._replace(axes=axes, settings=settings)
            for one, other in zip(first.settings, settings, strict=True):
                assert [type(value) for value in one.values()] == [type(value) for value in other.values()]
        else:
            assert first == second or (first != first and second != second)  # NaN is the error_score that there isn't
            assert type(first) is type(second)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stopping": None, "warm": None, "keep": ()},
        {"space": jreg.random_space(5, 0, l2=jreg.search.log_uniform(1e-4, 1.0), width=[2, 3])},
        {"space": jreg.grid(width=[1, 2], name="relu")},
        {"folds": (FoldRows(0, "validation", np.arange(11, -1, -1)[:8], np.arange(4)),)},
        {"folds": (FoldRows(2**31, "final", np.arange(12), np.arange(0)),)},
    ],
    ids=["all", "defaults", "random space", "static space", "turned rows", "no validation"],
)
def test_a_specification_comes_back_from_json(changes):
    spec = dataclasses.replace(SPEC, **changes)
    text = json.dumps(spec.head(), allow_nan=False)
    settings = json.loads(json.dumps([plain(setting) for setting in spec.settings], allow_nan=False))
    found = Spec.of(json.loads(text), settings, spec.folds)
    assert_same(found, spec)
    # Only their names are left of functions.
    assert found.head() | {"space": None} == spec.head() | {"space": None}
    assert [canonical(setting) for setting in found.settings] == [canonical(setting) for setting in spec.settings]


GIVEN_LATER = {"settings", "folds", "policy", "fingerprint", "error_score", "validation_fraction"}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Spec) if f.name not in GIVEN_LATER])
def test_a_specification_that_lacks_something_is_none(name):
    written = SPEC.head()
    del written[name]
    with pytest.raises(
        ValueError, match=f"this is no specification of a study: (TypeError|KeyError).*{name}"
    ) as caught:
        Spec.of(written, SPEC.settings, FOLDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": None},
        {"stopping": {"patients": 1}},
        {"score": ["validation"]},
        {"seeds": None},
        {"columns": [["train", "loss", "loss", False, 1]]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_specification_that_is_damaged_is_none(changes):
    with pytest.raises(ValueError, match="this is no specification of a study") as caught:
        Spec.of(SPEC.head() | changes, SPEC.settings, FOLDS)
    assert "\n" not in str(caught.value)


PLAIN = dataclasses.replace(SPEC, space=jreg.grid(l2=[0.1, 0.3], width=[1, 2]))


def test_a_specification_grows_behind_what_is_there():
    grown = PLAIN.grown(
        settings=[{"width": 3, "l2": 0.2}, {"l2": 0.1, "width": 3}],
        folds=[(np.arange(6), np.arange(6, 9)), (np.arange(3), np.arange(3, 12))],
        seeds=[7, 1],
    )
    assert grown.settings[:4] == PLAIN.settings
    assert grown.settings[4:] == ({"l2": 0.2, "width": 3}, {"l2": 0.1, "width": 3})
    assert [list(setting) for setting in grown.settings] == [["l2", "width"]] * 6
    assert grown.space.axes == {"l2": (0.1, 0.2, 0.3), "width": (1, 2, 3)}
    assert [(fold.number, fold.role) for fold in grown.folds] == [
        (0, "validation"), (3, "validation"), (5, "outer"), (6, "validation"), (7, "validation"),
    ]  # fmt: skip
    for one, other in zip(grown.folds, FOLDS, strict=False):
        assert one is other
    assert grown.folds[4].validation.tolist() == list(range(3, 12))
    assert grown.seeds == (4, 0, 2**32 - 1, 7, 1)
    others = {"space", "folds", "seeds"}
    for field in dataclasses.fields(Spec):
        if field.name not in others:
            np.testing.assert_equal(getattr(grown, field.name), getattr(PLAIN, field.name))
    # What was asked first stays as it was.
    assert (len(PLAIN.settings), len(PLAIN.folds), len(PLAIN.seeds)) == (4, 3, 3)


def test_a_specification_grows_by_nothing_that_is_there():
    again = PLAIN.grown(
        settings=[{"width": 1.0, "l2": np.float32(0.5)}, {"l2": 0.1, "width": np.int32(2)}, {"l2": 0.3, "width": 1}],
        # A fold is its two sets of rows, in whatever order.
        folds=[(np.arange(11, 3, -1), [3, 1, 0, 2]), ([1, 2, 7], [8, 9]), ([0, 1], [2])],
        seeds=[0, 4, 9],
    )
    assert again.settings == (*PLAIN.settings, {"l2": 0.5, "width": 1})
    assert [fold.number for fold in again.folds] == [0, 3, 5, 6]
    assert again.seeds == (4, 0, 2**32 - 1, 9)
    twice = PLAIN.grown([{"l2": 0.5, "width": 1}] * 2, [([0, 1], [2]), ([1, 0], [2])], [9, 9])
    assert twice.settings == again.settings
    assert [fold.number for fold in twice.folds] == [0, 3, 5, 6]
    assert twice.seeds == again.seeds


def test_a_specification_grows_by_no_other_hyperparameters():
    for setting in ({"l2": 0.1}, {"l2": 0.1, "width": 1, "rate": 0.1}):
        with pytest.raises(ValueError, match=r"the setting {'l2': 0.1.* has other hyperparameters than the study"):
            PLAIN.grown([setting])


# columns and their directions


def named(**measured: Any):
    def recipe(hp):
        return jreg.Recipe(
            nn.MLP((3,)),
            losses.softmax_cross_entropy,
            optax.sgd(hp["rate"]),
            penalty=1e-3 * jreg.on_params(penalties.l2),
            metrics=measured,
        )

    return recipe


def wrong(outputs, targets):
    return jnp.argmax(outputs, axis=-1) != targets


def distance(outputs, targets):
    return jnp.sum(jnp.square(jax.nn.softmax(outputs) - jax.nn.one_hot(targets, 3)), axis=-1)


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "name",
    [
        "error",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mse", "brier")),
        "accuracy",
        pytest.param("r2", marks=pytest.mark.slow),
    ],
)
def test_a_metric_is_minimized_where_it_says_so_whatever_its_name(blobs, name):
    recipe = named(**{name: metrics.average(distance, maximize=False)})
    # The last rate is too small to learn anything in three epochs.
    space = jreg.grid(rate=[0.3, 0.1, 1e-6])
    study = jreg.cross_validate(recipe, blobs, space, cv=3, epochs=3, progress=False)
    means = study.scores.mean(axis=(1, 2))
    assert study.spec.score == Column("validation", "metric", name, False)
    assert study.spec.score.label == f"val_{name}"
    assert means.max() > 1.2 * means.min()
    assert (study.best.number, study.best.mean) == (int(means.argmin()), means.min())
    assert [result.number for result in study.ranking] == np.argsort(means).tolist()
    assert study.one_standard_error.mean <= means.min() + study.best.standard_error


@pytest.mark.parametrize("maximize", [pytest.param(False, marks=pytest.mark.slow), True])
def test_early_stopping_follows_the_direction_of_the_metric(blobs, maximize):
    measure = metrics.average(wrong if not maximize else (lambda z, y: ~wrong(z, y)), maximize=maximize)
    options = {"cv": 3, "epochs": 25, "batch_size": 8, "seeds": 2, "progress": False}
    study = jreg.cross_validate(
        named(error=measure), blobs, jreg.grid(rate=[0.03, 1.0]),
        stopping=jreg.EarlyStopping(patience=3, monitor="val_error"), **options,
    )  # fmt: skip
    curves = study.curve("val_error")
    stopped = 0
    for place in np.ndindex(study.scores.shape):
        best, best_epoch, epochs = INF, -1, 0
        for epoch, value in enumerate(-curves[place] if maximize else curves[place]):
            epochs += 1
            if value < best:
                best, best_epoch = value, epoch
            elif epoch - best_epoch >= 3:
                break
        assert (study.epochs_run[place], study.best_epochs[place]) == (epochs, best_epoch)
        assert study.scores[place] == curves[place][best_epoch]
        stopped += study.status[place] == Status.STOPPED
    assert stopped > 3
    # Some training got worse before it got better, so that the wrong direction would be noticed.
    assert study.best_epochs.max() > 1


def test_a_plain_function_is_no_metric(blobs):
    for name in ("error", "accuracy"):
        with pytest.raises(
            TypeError, match=f"the metric '{name}' is .*does not say whether higher is better"
        ) as caught:
            jreg.cross_validate(named(**{name: wrong}), blobs, jreg.grid(rate=[0.1]), cv=2, epochs=1, progress=False)
        for lift in ("average", "collecting", "of_params"):
            assert f"jreg.metrics.{lift}(f, maximize=...)" in str(caught.value)
        assert "\n" not in str(caught.value)


def norm(params):
    return optax.tree.norm(params)


NORM = metrics.of_params(norm, maximize=False)


@pytest.mark.parametrize(
    ("measured", "label"),
    [
        ({"loss": metrics.average(wrong, maximize=False)}, "train_loss"),
        ({"accuracy": metrics.accuracy, "val_accuracy": NORM}, "val_accuracy"),
        ({"accuracy": metrics.accuracy, "train_loss": NORM}, "train_loss"),
        ({"accuracy": metrics.accuracy, "penalty": NORM}, "penalty"),
        ({"accuracy": metrics.accuracy, "penalty_l2": NORM}, "penalty_l2"),
        ({"a": metrics.of_params(lambda params: {"b": norm(params)}, maximize=False), "a/b": NORM}, "a/b"),
        # What tables of curves call the training and the epoch.
        ({"accuracy": metrics.accuracy, "epoch": NORM}, "epoch"),
        ({"accuracy": metrics.accuracy, "seed": NORM}, "seed"),
        ({"accuracy": metrics.accuracy, "fold": NORM}, "fold"),
        ({"accuracy": metrics.accuracy, "setting": NORM}, "setting"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_two_columns_have_two_labels(blobs, measured, label):
    with pytest.raises(ValueError, match=f"would be called '{label}': rename the metric or term") as caught:
        jreg.cross_validate(named(**measured), blobs, jreg.grid(rate=[0.1]), cv=2, epochs=1, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "sentence"), [("accuracy", "'train_accuracy': rename"), ("loss", "'loss'.*rename")])
def test_a_part_of_the_loss_has_a_label_of_its_own(blobs, part, sentence):
    def loss(outputs, targets):
        values = losses.softmax_cross_entropy(outputs, targets)
        return values, {part: 0 * values}

    def recipe(hp):
        return jreg.Recipe(nn.MLP((3,)), loss, optax.sgd(hp["rate"]))

    with pytest.raises(ValueError, match=sentence) as caught:
        jreg.cross_validate(recipe, blobs, jreg.grid(rate=[0.1]), cv=2, epochs=1, progress=False)
    assert "\n" not in str(caught.value)


def zeros(params):
    leaves = jax.tree.leaves(params)
    return sum(jnp.sum(leaf == 0) for leaf in leaves) / sum(leaf.size for leaf in leaves)


def per_layer(params):
    return {name: optax.tree.norm(layer) for name, layer in params.items()}


def test_measures_of_the_parameters_are_columns(blobs, tmp_path):
    recipe = named(
        accuracy=metrics.accuracy,
        norm=NORM,
        zeros=metrics.of_params(zeros, maximize=True),
        layers=metrics.of_params(per_layer, maximize=False),
    )
    study = jreg.cross_validate(
        recipe, blobs, jreg.grid(rate=[0.03, 0.3]), cv=3, epochs=4, keep=[jreg.keep.network], progress=False
    )
    names = ("norm", "zeros", "layers/Dense_0")
    assert study.results.labels == (
        "train_loss", "train_accuracy", "penalty", "val_loss", "val_accuracy", *names, "penalty_l2",
    )  # fmt: skip
    assert [column[:3] for column in study.spec.columns if column.kind == "params"] == [
        ("", "params", name) for name in names
    ]
    assert [study.results.column(name).maximize for name in names] == [False, True, False]
    for setting in study.settings:
        for fold, network in enumerate(study.networks(setting)):
            leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(network.params)]
            length = np.sqrt(sum(np.square(leaf).sum() for leaf in leaves))
            share = np.mean(np.concatenate([leaf.ravel() == 0 for leaf in leaves]))
            for name, expected in (("norm", length), ("zeros", share), ("layers/Dense_0", length)):
                np.testing.assert_allclose(study.curve(name)[setting.number, fold, 0, -1], expected, rtol=1e-5)
    assert not np.array_equal(study.curve("norm")[..., 0], study.curve("norm")[..., -1])
    study.save(tmp_path)
    curves = rows_of(tmp_path / "curves.csv")
    assert list(curves[0]) == ["setting", "fold", "seed", "epoch", *study.results.labels]
    for name in names:
        written = np.array([float(row[name]) for row in curves], np.float32).reshape(study.curve(name).shape)
        np.testing.assert_array_equal(written, study.curve(name))
    np.testing.assert_array_equal(jreg.load_results(tmp_path).curve("layers/Dense_0"), study.curve("layers/Dense_0"))
    # They rank nothing, because they say nothing of rows that the network hasn't seen.
    with pytest.raises(ValueError, match=r"score is 'norm', but measured are only: val_loss, val_accuracy$"):
        jreg.cross_validate(recipe, blobs, jreg.grid(rate=[0.1]), cv=3, epochs=1, score="norm", progress=False)


@pytest.mark.slow
def test_measures_of_the_parameters_are_in_the_history_of_one_training(blobs):
    recipe = named(accuracy=metrics.accuracy, layers=metrics.of_params(per_layer, maximize=False))
    fitted = jreg.fit(jax.random.key(0), recipe, blobs, {"rate": 0.1}, epochs=3, validation=np.arange(10))
    assert {"layers/Dense_0", "penalty_l2"} < set(fitted.history)
    np.testing.assert_allclose(fitted.history["layers/Dense_0"][-1], norm(fitted.params), rtol=1e-6)


# names of hyperparameters that tables use, too

NAMES = ("epochs", "seed", "fold", "mean", "note", "score", "status", "hyperparameters", "best_epoch")


@pytest.mark.slow
def test_a_hyperparameter_may_have_the_name_of_a_column(blobs, tmp_path):
    def recipe(hp):
        rate = hp["mean"] * sum(hp[name] for name in NAMES if name not in ("mean", "note"))
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(rate), batch_size=hp["note"])

    values = {name: [0.5 + place] for place, name in enumerate(NAMES)} | {"mean": [0.02, 0.001], "note": [16, 72]}
    study = jreg.cross_validate(recipe, blobs, jreg.grid(**values), cv=2, epochs=2, progress=False)
    study.save(tmp_path)
    settings, trainings = (rows_of(tmp_path / name) for name in ("settings.csv", "trainings.csv"))
    own = ["mean", "standard_error", "epochs", "note"]
    assert list(settings[0]) == [f"param_{name}" for name in NAMES] + own
    assert list(trainings[0])[len(NAMES) :] == ["fold", "role", "seed", "score", "epochs", "best_epoch", "status"]
    for row, result in zip(settings, study.ranking, strict=True):
        assert {name: float(row[f"param_{name}"]) for name in NAMES} == result.hyperparameters
        assert (float(row["mean"]), float(row["epochs"])) == (result.mean, 2.0)
    assert settings[0]["note"].startswith("best")
    for row, (setting, fold) in zip(trainings, np.ndindex(4, 2), strict=True):
        assert {name: float(row[f"param_{name}"]) for name in NAMES} == study.spec.settings[setting]
        assert (row["fold"], row["seed"], row["status"], row["best_epoch"]) == (str(fold), "0", "completed", "1")
        assert float(row["score"]) == study.scores[setting, fold, 0]
    written = json.loads((tmp_path / "results.json").read_text())
    assert [setting["hyperparameters"] for setting in written["settings"]] == list(study.spec.settings)
    assert written["best"] == study.best.hyperparameters
    heading, table = study.table(width=200).split("\n", 1)
    assert "in all settings: epochs=0.5 seed=1.5 " in heading
    header, _, *lines, base = table.splitlines()
    assert header.split() == ["mean", "note", "mean", "SE", "epochs"]
    for line, result in zip(lines, study.ranking, strict=True):
        words = line.split()
        assert [float(word) for word in words[:2]] == [result.hyperparameters[name] for name in ("mean", "note")]
        assert words[2] == f"{result.mean:.4f}"
    assert base.split() == ["0.3333", "0.0000", "baseline"]


# a folder, read by a process that knows neither the recipe nor the data


def shaped(hp):
    return jreg.Recipe(
        nn.MLP((*hp["layers"], 3), activation=hp["activation"], normalization=hp["norm"]),
        losses.softmax_cross_entropy,
        optax.chain(optax.sgd(hp["rate"]), jreg.project(partial(projections.max_norm, c=hp["c"]))),
    )


def setting_of(rate=0.1, c=INF, layers=(), activation=square, norm=None):
    return {"rate": rate, "c": c, "layers": layers, "activation": activation, "norm": norm}


@pytest.fixture(scope="module")
def study() -> jreg.Study:
    """Settings of every kind, one of which diverges; folds of unequal lengths; trainings that stop and that don't."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 2)) + 2.0 * np.eye(3, 2)[y]
    data = jreg.Dataset(x[:72], y[:72], x[72:], y[72:], name="blobs")
    space = [
        setting_of(),
        setting_of(rate=1e30, layers=(4,)),
        setting_of(c=1.0, rate=1 / 3),
        setting_of(layers=(4,), c=2.0),
    ]
    folds = [
        (np.arange(24, 72), np.arange(24)),
        (np.arange(10, 48), np.arange(48, 72)),
        (np.arange(71, 30, -1), [5, 1, 3]),
    ]
    return jreg.cross_validate(
        shaped, data, space, cv=folds, seeds=(3, 2**32 - 1), epochs=12, batch_size=16,
        stopping=jreg.EarlyStopping(1, 0.001), progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    study.save(folder)
    report.save_pictures(study.results, folder)
    return folder


READER = """
import json, sys
from pathlib import Path
import numpy as np
# Nothing in a folder may ask for the module in which the recipe was defined.
sys.modules[sys.argv[3]] = None
import jreg
from jreg import report

results = jreg.load_results(sys.argv[1])
out = Path(sys.argv[2])
report.save_pictures(results, out)
arrays = {name: getattr(results, name) for name in ("scores", "status", "epochs", "best_epochs", "history")}
folds = {f"{part}_{n}": getattr(fold, part) for n, fold in enumerate(results.spec.folds) for part in fold._fields[2:]}
np.savez(out / "arrays.npz", **arrays, **folds)
jreg.store.write(out / "again", results)
print(json.dumps({
    "table": report.table(results), "summary": report.summary(results, None), "settings": repr(results.spec.settings),
    "axes": repr(results.spec.space.axes), "traced": results.spec.space.traced, "seeds": results.spec.seeds,
    "versions": results.spec.versions, "repr": repr(results), "stopping": repr(results.spec.stopping),
    "best": results.best.number, "one_standard_error": results.one_standard_error.number,
    "folds": [(fold.number, fold.role) for fold in results.spec.folds], "modules": sorted(sys.modules),
}))
"""


@pytest.fixture(scope="module")
def read(saved, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """What another process says about the folder, and the files that it wrote."""
    folder = tmp_path_factory.mktemp("read")
    done = subprocess.run(
        [sys.executable, "-c", READER, saved, folder, __name__],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


def test_the_study_has_trainings_of_several_kinds(study):
    assert {Status.COMPLETED, Status.STOPPED, Status.DIVERGED} == set(study.status.ravel())
    assert len(np.unique(study.epochs_run)) > 3


def test_another_process_reads_the_same_numbers(study, read):
    _, folder = read
    with np.load(folder / "arrays.npz") as arrays:
        for name, expected in (
            ("scores", study.scores), ("status", study.status), ("epochs", study.epochs_run),
            ("best_epochs", study.best_epochs), ("history", study.history),
        ):  # fmt: skip
            assert arrays[name].dtype == expected.dtype
            assert arrays[name].shape == expected.shape
            assert bits(arrays[name]) == bits(expected)
        for number, fold in enumerate(study.spec.folds):
            np.testing.assert_array_equal(arrays[f"train_{number}"], fold.train)
            np.testing.assert_array_equal(arrays[f"validation_{number}"], fold.validation)


def test_another_process_reads_what_was_asked(study, read):
    found, _ = read
    name = f"{__name__}.square"
    settings = tuple(setting | {"activation": name} for setting in study.spec.settings)
    assert found["settings"] == repr(settings)
    assert found["axes"] == repr(study.spec.space.axes | {"activation": (name,)})
    assert "inf" in found["settings"]
    assert found["traced"] == ["rate", "c"]
    assert found["seeds"] == [3, 2**32 - 1]
    assert found["folds"] == [[0, "validation"], [1, "validation"], [2, "validation"]]
    assert found["stopping"] == repr(study.spec.stopping)
    assert found["versions"] == study.spec.versions
    assert found["versions"]["jax"] == jax.__version__
    assert found["repr"] == repr(study.results)


def test_another_process_shows_the_same_tables_and_pictures(study, saved, read):
    found, folder = read
    assert found["table"] == study.table()
    assert f"{__name__}.square" in found["table"]
    assert found["summary"] == report.summary(study.results, None)
    assert (found["best"], found["one_standard_error"]) == (study.best.number, study.one_standard_error.number)
    for name in ("scores.png", "curves.png"):
        assert (folder / name).read_bytes() == (saved / name).read_bytes()


def test_another_process_writes_the_same_files(saved, read):
    _, folder = read
    for name in FILES:
        assert (folder / "again" / name).read_bytes() == (saved / name).read_bytes()
    # No address of a function, which is another one in each process.
    assert not any(" at 0x" in (saved / name).read_text() for name in FILES)


def test_results_grow_from_a_folder(study, saved):
    loaded = jreg.load_results(saved)
    assert_same(loaded.spec, study.spec)
    assert loaded.missing() == []
    loaded.grow(loaded.spec.grown([setting_of(rate=0.2, activation=f"{__name__}.square")], seeds=[5]))
    assert loaded.shape == (5, 3, 3)
    assert len(loaded.missing()) == 5 * 3 * 3 - 4 * 3 * 2
    np.testing.assert_array_equal(loaded.scores[:4, :, :2], study.scores)
    assert np.isnan(loaded.scores[4:]).all()


def made(spec: Spec) -> Results:
    """Results with a training of each status, of different lengths."""
    rng, results = np.random.default_rng(0), Results(spec)
    places = [(setting, fold, seed) for setting in range(2) for fold in (0, 3) for seed in spec.seeds]
    rows = []
    for status, (setting, fold, seed) in zip([*Status, Status.COMPLETED], places, strict=False):
        epochs = {Status.WAITING: 0, Status.RUNNING: 2, Status.PRUNED: 1}.get(status, spec.epochs)
        history = rng.normal(size=(epochs, len(spec.columns))).astype(np.float32)
        history[-1:, 1] = np.nan if status == Status.DIVERGED else np.float32(1e-42)  # a denormal number
        if epochs > 2:
            history[1, :3] = np.float32([np.inf, -np.inf, -0.0])
        rows.append(Found(setting, fold, seed, "validation", status, epochs, epochs - 1, history, {}))
    rows.append(Found(0, 5, 4, "outer", Status.COMPLETED, 1, 0, np.ones((1, len(spec.columns)), np.float32), {}))
    results.add(rows)
    return results


def test_every_status_number_and_role_comes_back(tmp_path):
    results = made(SPEC)
    store.write(tmp_path, results)
    loaded = jreg.load_results(tmp_path)
    assert_same(loaded.spec, SPEC)
    assert {row.status for row in loaded} == set(Status)
    assert len(loaded) == len(results) == 9
    for row in results:
        found = loaded.get(row.setting, row.fold, row.seed)
        assert found._replace(history=None) == row._replace(history=None)
        assert isinstance(found.status, Status)
        assert found.history.dtype == np.float32
        assert bits(found.history) == bits(row.history)
    assert loaded.missing() == results.missing()
    assert summary(loaded) == summary(results)


def test_a_training_without_an_epoch_comes_back(tmp_path):
    results = Results(PLAIN)
    results.prune([(1, 3, 4)])
    store.write(tmp_path, results)
    loaded = jreg.load_results(tmp_path)
    assert [row._replace(history=None) for row in loaded] == [
        Found(1, 3, 4, "validation", Status.PRUNED, 0, -1, None, {})
    ]
    assert next(iter(loaded)).history.shape == (0, len(PLAIN.columns))
    assert not loaded.finished


@pytest.mark.slow
def test_results_of_a_race_come_back(blobs, tmp_path):
    study = jreg.cross_validate(
        named(accuracy=metrics.accuracy), blobs, jreg.grid(rate=[1e-5, 0.3, 0.1, 1e-4]), cv=2, epochs=4,
        race=jreg.successive_halving(least=1), store=tmp_path, progress=False,
    )  # fmt: skip
    loaded = jreg.load_results(tmp_path)
    assert {Status.COMPLETED, Status.PRUNED} == set(loaded.status.ravel())
    np.testing.assert_array_equal(loaded.status, study.status)
    np.testing.assert_array_equal(loaded.history, study.history)
    assert report.table(loaded) == study.table()
    assert "dropped after" in study.table()
