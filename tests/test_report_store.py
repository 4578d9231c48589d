"""Results as text, tables, pictures and files, with and without trainings that diverge."""

import csv
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn, penalties, report, store, training
from jreg._base.files import free_folder, write_text
from jreg.report import text
from jreg.results import Results, table
from jreg.results.summary import summary
from jreg.results.values import plain


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((4, 3)),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"]),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


def study_of(data: jreg.Dataset, rates: list[float], **options) -> jreg.Study:
    space = jreg.grid(l2=[1e-3, 1e-1], learning_rate=rates)
    return jreg.cross_validate(recipe, data, space, **{"cv": 3, "epochs": 4, "progress": False, "seeds": 2} | options)


@pytest.fixture(scope="module")
def data() -> jreg.Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 2)) + 2.0 * np.eye(3, 2)[y]
    return jreg.Dataset(x[:72], y[:72], x[72:], y[72:], name="blobs")


@pytest.fixture(scope="module")
def study(data) -> jreg.Study:
    return study_of(data, [0.05, 0.5])


@pytest.fixture(scope="module")
def partly(data) -> jreg.Study:
    """The same with a learning rate that diverges in between."""
    return study_of(data, [0.05, 1e30, 0.5])


@pytest.fixture(scope="module")
def hopeless(data) -> jreg.Study:
    return study_of(data, [1e30, 1e31])


@pytest.fixture(scope="module")
def final(study) -> jreg.Network:
    return jreg.refit(study)


# plain values and files


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (np.float32("nan"), None),
        (float("-inf"), "-inf"),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (None, None),
        ("relu", "relu"),
        ((1, (2.5, np.nan)), [1, [2.5, None]]),
        ({1: {"a": np.float64(0.5)}}, {"1": {"a": 0.5}}),
        (len, "builtins.len"),
        (range(2), "range(0, 2)"),
    ],
)
def test_plain_values(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)


def test_text_has_no_nan_and_every_digit():
    values = {"mean": float("nan"), "third": 1 / 3, "name": "Grüße"}
    assert json.loads(store.to_text(values)) == {"mean": None, "third": 1 / 3, "name": "Grüße"}
    assert "NaN" not in store.to_text(values)


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "results.json"
    write_text(path, "old")

    def fail(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync" if step == "write" else "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_write_leaves_nothing_but_the_file(tmp_path):
    write_text(tmp_path / "a.txt", "1")
    write_text(tmp_path / "a.txt", "2")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "2")]


def test_a_free_folder_is_numbered(tmp_path):
    path = tmp_path / "wine"
    for expected in ("wine", "wine-2", "wine-3"):
        free = free_folder(path)
        assert free.name == expected
        assert free.is_dir()


@pytest.mark.slow
def test_writing_makes_folders_and_empty_tables(study, tmp_path):
    store.write(tmp_path / "a" / "b", Results(study.spec))
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "curves.csv", "results.json", "settings.csv", "study.db", "study.lock", "trainings.csv",
    ]  # fmt: skip


# what a study writes


def save(study: jreg.Study, final: jreg.Network | None, folder: Path) -> list[Path]:
    """What the command line leaves in a folder."""
    store.write(folder, study.results)
    store.write_results(folder, study.results, report.test_result(final))
    report.save_pictures(study.results, folder)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def saved(study, final, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save(study, final, folder)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_lists_what_it_wrote(study, final, saved):
    written = save(study, final, saved)
    assert [path.name for path in written] == [
        "curves.csv", "curves.png", "differences.png", "results.json", "scores.png", "settings.csv", "study.db",
        "study.lock", "trainings.csv",
    ]  # fmt: skip


def test_trainings_csv_agrees_with_the_study(study, saved):
    rows = rows_of(saved / "trainings.csv")
    assert len(rows) == study.status.size == 24
    scores = np.array([float(row["score"]) for row in rows]).reshape(study.scores.shape)
    np.testing.assert_array_equal(scores, study.scores)
    places = list(np.ndindex(study.scores.shape))
    for row, (setting, fold, seed) in zip(rows, places, strict=True):
        hyperparameters = study.spec.settings[setting]
        assert {name: float(row[f"param_{name}"]) for name in hyperparameters} == hyperparameters
        assert (int(row["fold"]), int(row["seed"]), row["status"]) == (fold, seed, "completed")
        assert (int(row["epochs"]), int(row["best_epoch"])) == (4, 3)


def test_settings_csv_is_the_ranking(study, saved):
    rows = rows_of(saved / "settings.csv")
    assert [float(row["mean"]) for row in rows] == [result.mean for result in study.ranking]
    assert [float(row["standard_error"]) for row in rows] == [result.standard_error for result in study.ranking]
    assert float(rows[0]["param_l2"]) == study.best.hyperparameters["l2"]
    assert "best" in rows[0]["note"]


def test_curves_csv_is_the_history(study, saved):
    rows = rows_of(saved / "curves.csv")
    values = np.array([[float(row[name]) for name in study.results.labels] for row in rows])
    np.testing.assert_array_equal(values.reshape(study.history.shape), study.history.astype(np.float64))
    assert [int(row["epoch"]) for row in rows[:4]] == [0, 1, 2, 3]


def test_results_json_agrees_with_the_study(study, final, saved):
    found = json.loads((saved / "results.json").read_text())
    assert found == json.loads(json.dumps(summary(study.results) | report.test_result(final), allow_nan=False))
    for setting, result in zip(found["settings"], study.settings, strict=True):
        scores = np.array(setting["scores"])
        assert scores.shape == (3, 2)
        per_fold = scores.mean(axis=1)
        assert setting["hyperparameters"] == result.hyperparameters
        assert setting["mean"] == pytest.approx(per_fold.mean(), rel=1e-12)
        assert setting["standard_error"] == pytest.approx(per_fold.std(ddof=1) / np.sqrt(3), rel=1e-12)
    assert found["best_mean"] == max(setting["mean"] for setting in found["settings"])
    assert found["test_accuracy"] == final.test["accuracy"]
    assert found["test_interval"] == list(final.interval)


def test_a_fresh_save_replaces_an_old_one(study, tmp_path):
    study.save(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.glob("*.[cj]s*")}
    study.save(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.[cj]s*")} == before
    assert before.keys() == {"results.json", "settings.csv", "trainings.csv", "curves.csv"}


@pytest.mark.slow
def test_another_study_is_not_overwritten(study, partly, tmp_path):
    study.save(tmp_path)
    with pytest.raises(ValueError, match="has another study: take another folder"):
        partly.save(tmp_path)
    np.testing.assert_array_equal(jreg.load_results(tmp_path).scores, study.scores)


# text and pictures


def test_the_table_ranks_the_settings(study):
    heading, *lines = study.table(width=100).splitlines()
    assert heading == ("val_accuracy: mean and standard error (SE) over 3 folds, 2 seeds; baseline: majority class")
    assert lines[0].split() == ["l2", "learning_rate", "mean", "SE", "epochs"]
    assert len(lines) == 2 + 4 + 1
    assert [float(line.split()[2]) for line in lines[2:-1]] == [round(result.mean, 4) for result in study.ranking]
    assert "best" in lines[2]
    assert sum("1-SE" in line for line in lines) == 1
    assert lines[-1].split() == ["0.3333", "0.0000", "baseline"]
    assert len(study.table(most=2, width=100).splitlines()) == 1 + 2 + 2 + 1


def test_values_in_tables():
    assert [text.text(value) for value in (1e-4, 1.0, float("inf"), 64, "relu", (8, 8), None)] == [
        "0.0001", "1", "inf", "64", "relu", "(8, 8)", "None",
    ]  # fmt: skip


def test_the_summary_says_who_won_and_how_sure(study, final):
    text = report.summary(study.results, final)
    best = study.best
    assert f"best:      l2={best.hyperparameters['l2']:.4g} learning_rate" in text
    assert f"val_accuracy {best.mean:.4f} +- {best.standard_error:.4f}" in text
    assert "(mean and standard error over 3 folds, 2 seeds)" in text
    low, high = final.interval
    assert f"test:      accuracy {final.test['accuracy']:.4f}, 95% interval {low:.4f} to {high:.4f}" in text
    assert "on all 72 non-test rows for 4 epochs" in text
    assert "diverged" not in text
    shortened = report.summary(study.results, final, most=3)
    assert "and 1 more settings, see settings.csv" in shortened


def test_the_score_picture_shows_the_means(study):
    figure = study.plot()
    (axes,) = figure.axes
    assert "val_accuracy" in axes.get_ylabel()
    assert axes.get_xlabel() in ("l2", "learning_rate")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"best", "one-standard-error rule", "worst"} <= set(shown)
    # One line with error bars for each value of the other hyperparameter.
    assert len(axes.containers) == 2
    drawn = np.concatenate([container.lines[0].get_ydata() for container in axes.containers])
    np.testing.assert_allclose(np.sort(drawn), np.sort([result.mean for result in study.settings]))


def test_the_differences_are_those_of_folds_averaged_over_seeds(study):
    from scipy import stats

    figure = study.plot_differences()
    (axes,) = figure.axes
    by_fold = study.scores.mean(axis=2)
    wanted = {}
    for row, result in enumerate(study.ranking[1:], 1):
        test = stats.ttest_rel(by_fold[result.number], by_fold[study.best.number])
        low, high = test.confidence_interval(0.95)
        wanted[row] = (low, (by_fold[result.number] - by_fold[study.best.number]).mean(), high)
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container.lines
        for x, row, bar in zip(*line.get_data(), bars.get_segments(), strict=True):
            found[int(row)] = (bar[0, 0], x, bar[1, 0])
    assert found.keys() == {0, *wanted}
    for row, numbers in wanted.items():
        np.testing.assert_allclose(found[row], numbers, atol=1e-12)


def test_the_curve_picture_shows_the_settings_that_matter(study):
    figure = study.plot_curves()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    numbers = {study.best.number, study.one_standard_error.number, study.ranking[-1].number}
    # Loss, accuracy and how many trainings there are, for each of them.
    assert len(figure.axes) == 3 * len(titles) == 3 * len(numbers)
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert [axes.get_ylabel() for axes in figure.axes].count("accuracy") == len(numbers)
    assert titles[0].startswith("best")
    assert any("worst" in title for title in titles)


@pytest.mark.parametrize("name", ["scores.png", "differences.png", "curves.png"])
def test_pictures_are_png_files_with_something_on_them(saved, name):
    from matplotlib.image import imread

    assert (saved / name).read_bytes().startswith(b"\x89PNG")
    pixels = imread(saved / name)
    assert min(pixels.shape[:2]) > 200
    assert pixels.std() > 0.01


# the final network


@pytest.mark.slow
def test_the_final_network_may_be_of_another_setting(study):
    other = study.ranking[-1]
    # The same study, at whose test set nobody has looked.
    final = jreg.refit(dataclasses.replace(study, looks=[]), other.hyperparameters)
    assert final.hyperparameters == other.hyperparameters
    assert final.test.keys() == {"loss", "accuracy"}
    with pytest.raises(ValueError, match=r"the study has no setting {'l2': 9}"):
        jreg.refit(study, {"l2": 9})


def test_the_test_accuracy_is_that_of_the_predictions(data, final):
    predicted = np.argmax(np.asarray(final.outputs(data.x_test)), axis=-1)
    assert final.test["accuracy"] == pytest.approx(np.mean(predicted == data.y_test), abs=1e-6)
    np.testing.assert_array_equal(final.predict(data.x_test), predicted)


# trainings that diverge


def test_a_setting_that_diverges_changes_nothing_for_the_others(study, partly):
    kept = [number for number, setting in enumerate(partly.spec.settings) if setting["learning_rate"] < 1]
    np.testing.assert_array_equal(partly.scores[kept], study.scores)
    np.testing.assert_array_equal(partly.history[kept], study.history)
    assert partly.best.hyperparameters == study.best.hyperparameters


def test_a_setting_that_diverges_is_marked_and_ranks_last(partly):
    bad = [number for number, setting in enumerate(partly.spec.settings) if setting["learning_rate"] > 1]
    assert len(bad) == 2
    assert (partly.status[bad] == training.Status.DIVERGED).all()
    assert np.isnan(partly.scores[bad]).all()
    assert {result.number for result in partly.ranking[-2:]} == set(bad)
    assert all(row["note"] for row in table.settings(partly.results)[-2:])
    assert all("nan" in line for line in partly.table().splitlines()[-3:-1])
    assert "12 of 36 trainings diverged; their settings rank last" in report.summary(partly.results, None)
    assert [row[-1] for row in table.trainings(partly.results)].count("diverged") == 12


def test_a_setting_that_diverges_is_null_in_json(partly, tmp_path):
    save(partly, None, tmp_path)
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    for setting in json.loads(text)["settings"]:
        diverged = setting["hyperparameters"]["learning_rate"] > 1
        assert (setting["mean"] is None) == diverged
        assert (setting["scores"] == [[None, None]] * 3) == diverged


def test_pictures_leave_out_what_diverged(partly):
    assert "no score" in [text.get_text() for text in partly.plot().legends[0].get_texts()]
    for figure in (partly.plot_differences(), partly.plot_curves()):
        figure.canvas.draw()


def test_when_all_diverge_there_is_no_best_but_still_a_report(hopeless, tmp_path):
    assert not hopeless.finished
    sentence = "every setting has a training that diverged, so there is no best"
    with pytest.raises(ValueError, match=sentence):
        _ = hopeless.best
    with pytest.raises(ValueError, match=sentence):
        jreg.refit(hopeless)
    assert len(hopeless.table(width=100).splitlines()) == 1 + 2 + 4 + 1
    written = save(hopeless, None, tmp_path)
    assert [path.suffix for path in written] == [".csv", ".json", ".csv", ".db", ".lock", ".csv"]
    found = json.loads((tmp_path / "results.json").read_text())
    assert "best" not in found
    assert [setting["mean"] for setting in found["settings"]] == [None] * 4
    assert "24 of 24 trainings diverged" in report.summary(hopeless.results, None)


@pytest.mark.slow
def test_with_early_stopping_all_may_diverge_too(data):
    study = study_of(data, [1e30], stopping=jreg.EarlyStopping(2))
    assert np.isnan(study.scores).all()
    assert not study.finished
    study.table()
