"""Work and memory grow with the number of trainings and no faster: what is counted here is never time."""

import csv
import json
import tracemalloc
from collections import deque

import numpy as np
import optax
import pytest

from jreg import Recipe, load_results, losses, nn, on_params, penalties
from jreg.data import Dataset
from jreg.engine import Job
from jreg.engine.waiting import Run, Waiting, chosen
from jreg.results import FoldRows, Results, Spec, Trained, table
from jreg.results.summary import summary
from jreg.search import Space, grid
from jreg.splits import as_pairs
from jreg.store import export, write
from jreg.study import fingerprints
from jreg.study.design import Design
from jreg.study.trainings import Trainings, grouped
from jreg.training import Column, Status

COLUMNS = (Column("train", "loss", "loss"), Column("validation", "metric", "accuracy", maximize=True))


def made(settings: int, folds: int = 1, seeds: int = 1, epochs: int = 1) -> Results:
    """Results of made trainings, of which some have ended early, some have diverged and some are missing."""
    rows = np.arange(2 * folds)
    numbered = tuple(FoldRows(n, "validation", rows[rows % folds != n], rows[rows % folds == n]) for n in range(folds))
    spec = Spec(
        "made",
        len(rows),
        "classification",
        grid(l2=np.linspace(1, 2, settings), name=["=1+1"]),
        numbered,
        tuple(range(seeds)),
        epochs,
        64,
        0,
        None,
        None,
        COLUMNS[-1],
        COLUMNS,
        (),
        {},
    )
    random = np.random.default_rng(0)
    setting, fold, seed = (axis.ravel() for axis in np.indices((settings, folds, seeds)))
    order = random.permutation(len(setting))[: max(1, len(setting) - 2)]
    count = len(order)
    lengths = random.integers(1, epochs, count, endpoint=True)
    status = random.choice([Status.COMPLETED, Status.STOPPED, Status.DIVERGED], count, p=[0.6, 0.3, 0.1])
    history = random.random((count, epochs, 2), np.float32)
    results = Results(spec)
    best = random.integers(0, lengths)
    for some in np.array_split(np.arange(count), 3):
        chosen = order[some]
        parts = setting[chosen], fold[chosen], seed[chosen], status[some], lengths[some], best[some]
        results.add(Trained(*parts, history[some], {}))
    return results


# tables


def test_tables_have_what_a_loop_over_the_trainings_has(monkeypatch):
    monkeypatch.setattr(table, "_MANY", 7)
    results = made(5, folds=3, seeds=2, epochs=4)
    trainings, curves = [], []
    for setting, hyperparameters in enumerate(results.spec.settings):
        for place, fold in enumerate(results.spec.folds):
            for seed in results.spec.seeds:
                row = results.get(setting, fold.number, seed)
                score = results.scores[setting, place, seed]
                numbers = (row.epochs, row.best_epoch, row.status.word) if row else (0, 0, "waiting")
                trainings.append((*hyperparameters.values(), fold.number, fold.role, seed, float(score), *numbers))
                for epoch, values in enumerate(row.history if row else ()):
                    curves.append((setting, fold.number, seed, epoch, *map(float, values)))
    assert repr(list(table.trainings(results))) == repr(trainings)
    assert list(table.curves(results)) == curves
    assert sum("waiting" in row for row in trainings) == 2


def test_tables_are_written_without_being_held(monkeypatch, tmp_path):
    monkeypatch.setattr(table, "_MANY", 500)
    results = made(100, epochs=480)
    # What is selected from the results isn't the table's.
    list(table.ranked(results)), summary(results)
    tracemalloc.start()
    export(tmp_path, results)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (tmp_path / "curves.csv").stat().st_size / 4
    with (tmp_path / "trainings.csv").open(newline="") as file:
        names = {row["param_name"] for row in csv.DictReader(file)}
    # A spreadsheet would take it for a formula.
    assert names == {"'=1+1"}


def test_a_table_that_fails_leaves_the_one_that_was_there(monkeypatch, tmp_path):
    results = made(3)
    export(tmp_path, results)
    before = (tmp_path / "curves.csv").read_bytes()

    def broken(results):
        yield (0, 0, 0, 0, 1.0, 1.0)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(table, "curves", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        export(tmp_path, results)
    assert (tmp_path / "curves.csv").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_results_json_has_the_best_settings_and_says_how_many_it_leaves_out(tmp_path):
    results = made(10_050)
    export(tmp_path, results)
    found = json.loads((tmp_path / "results.json").read_text())
    assert (len(found["settings"]), found["settings_left_out"]) == (10_000, 50)
    means = np.nan_to_num(results.scores.mean(axis=(1, 2)), nan=-1.0)
    worst = sorted(one["mean"] for one in found["settings"] if one["mean"] is not None)
    assert found["best_mean"] == means.max() == worst[-1]
    assert len(worst) == int((means >= 0).sum())
    strengths = [one["hyperparameters"]["l2"] for one in found["settings"]]
    assert strengths == sorted(strengths)
    assert "settings_left_out" not in summary(made(3))


def test_a_store_gives_back_histories_of_many_lengths(tmp_path):
    results = made(40, folds=2, seeds=2, epochs=9)
    write(tmp_path / "run", results)
    found = load_results(tmp_path / "run")
    assert found.history.tobytes() == results.history.tobytes()
    for name in ("status", "epochs", "best_epochs", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(results, name))


# jobs


def test_the_queue_is_a_line_of_jobs_with_few_objects():
    random = np.random.default_rng(0)
    waiting, model, began = Waiting(), deque(), 0
    for _ in range(300):
        match random.integers(4):
            case 0:
                ids = np.arange(began, began + random.integers(0, 50))
                began += len(ids)
                waiting.append(Run(Job(ids[:, None], {}, ids, ids, ids, ids), np.arange(len(ids))))
                model.extend(ids.tolist())
            case 1 | 2:
                turn = waiting.take(20)
                taken = [model.popleft() for _ in range(min(20, len(model)))]
                assert [n for run in turn for n in run.jobs.id[run.rows, 0].tolist()] == taken
                back = random.random(len(taken)) < 0.3
                waiting.put_back(chosen(turn, back))
                model.extendleft(reversed([n for n, b in zip(taken, back, strict=True) if b]))
            case 3:
                gone = set(random.integers(0, began + 1, 3).tolist())
                waiting.drop(gone)
                model = deque(n for n in model if n not in gone)
        assert len(waiting) == len(model)
    waiting.append(Run(Job(*[np.arange(10**6)] * 6), np.arange(10**6)))
    assert len(waiting._runs) < 100


def test_trainings_are_grouped_by_static_parts_in_order_and_each_setting_is_looked_at_once():
    random = np.random.default_rng(0)
    settings = grid(l2=[0.1, 0.2, 0.3], width=[8, 4, 16]).settings
    numbers = random.integers(0, len(settings), (200, 1))
    calls = []

    def static_of(setting):
        calls.append(setting)
        return (("width", setting["width"]),)

    nothing = np.zeros(200, int)
    found = grouped(Trainings(numbers, nothing, nothing, 1, 1), settings, static_of)
    assert len(calls) == len(settings)
    expected = {}
    for row, number in enumerate(numbers[:, 0].tolist()):
        expected.setdefault((("width", settings[number]["width"]),), []).append(row)
    assert {static: rows.tolist() for static, rows in found.items()} == expected
    assert list(found) == list(expected)


# settings


@pytest.mark.parametrize("order", [("l2", "-max_norm"), ("-max_norm",), ("width", "l2", "-max_norm"), ()])
def test_strengths_are_the_places_among_sorted_tuples(order):
    random = np.random.default_rng(0)
    draw = {"l2": [0.0, -0.0, 0.1, 0.5], "max_norm": [1.0, 3.0, float("inf")], "width": [4, 8]}
    settings = tuple({n: values[random.integers(len(values))] for n, values in draw.items()} for _ in range(60))
    space = Space({name: tuple(values) for name, values in draw.items()}, settings, ("l2", "max_norm")).along(*order)
    keys = [tuple(-s[n[1:]] if n[0] == "-" else s[n] for n in order) for s in settings]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    assert space.strengths().tolist() == [ranks[key] for key in keys]


def test_folds_that_share_a_row_are_refused_and_others_are_not():
    data = Dataset(np.zeros((30, 1)), np.zeros(30))
    random = np.random.default_rng(0)
    for _ in range(50):
        train, validation = random.integers(0, 30, 9), random.integers(0, 30, 3)
        if set(train.tolist()) & set(validation.tolist()):
            with pytest.raises(ValueError, match="fold 0 trains and validates on the same row"):
                as_pairs([(train, validation)], data)
        else:
            assert as_pairs([(train, validation)], data)[0][0].tolist() == train.tolist()


def counting():
    """A recipe, and how often it has been called with plain numbers or traced."""
    calls = []

    def recipe(hp):
        calls.append(hp["l2"])
        return Recipe(
            nn.MLP((2, 1)), losses.sigmoid_cross_entropy, optax.sgd(0.1), penalty=hp["l2"] * on_params(penalties.l2)
        )

    return recipe, calls


def test_a_search_tries_settings_beyond_those_that_were_tried():
    recipe, calls = counting()
    data = Dataset(np.zeros((20, 3), np.float32), np.arange(20) % 2)
    design = Design.of(recipe, data, [{"l2": 0.1}], cv=2, epochs=1)
    design, tried = design.appended({"l2": 0.5}), len(calls)
    for l2 in np.linspace(0.1, 0.5, 30):
        design = design.appended({"l2": float(l2)})
    assert len(calls) == tried
    assert len(design.spec.settings) == 32
    design.appended({"l2": 0.6})
    assert len(calls) > tried
    with pytest.raises(TypeError, match="floating"):
        design.appended({"l2": 1})


def test_a_program_s_fingerprint_is_taken_once():
    recipe, calls = counting()
    data = Dataset(np.zeros((20, 3), np.float32), np.arange(20) % 2)
    design = Design.of(recipe, data, grid(l2=[0.1, 0.2]), cv=2, epochs=1)
    first, traced = fingerprints.of_steps(design), len(calls)
    assert fingerprints.of_steps(Design.of(recipe, data, grid(l2=[0.1, 0.3]), cv=2, epochs=1)) == first
    # The other study tries its own settings.
    assert all(isinstance(value, float) for value in calls[traced:])
