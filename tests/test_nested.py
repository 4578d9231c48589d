"""Nested folds: equal to a slow loop and to scikit-learn's pattern, in one program, honest where labels are noise."""

import csv
import dataclasses
import json
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)

import jreg
from jreg import losses, metrics, nn, penalties, report
from jreg.cli.commands import main
from jreg.engine.pool import Pool
from jreg.results import Estimate, Results
from jreg.results.summary import summary
from jreg.store import Folder
from jreg.study.nested_folds import nested_folds
from jreg.study.updates import chosen_epochs
from jreg.training import FINAL, Status

SPACE = jreg.grid(width=[0], l2=[1e-4, 1e-2, 1e-1], rate=[0.03, 0.3]).along("l2")
ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 2, 1)
OPTIONS: dict[str, Any] = {
    "seeds": [0, 3], "epochs": 12, "batch_size": 8, "stopping": jreg.EarlyStopping(2),
    "layout": ONE_BY_ONE, "progress": False,
}  # fmt: skip
OUTER, INNER = 3, 2


def recipe(hp: Any) -> jreg.Recipe:
    """A small network, or for no width a linear one, which compiles sooner."""
    model = nn.MLP((hp["width"], 3) if hp["width"] else (3,))
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)


def points(count: int = 60, name: str = "points") -> jreg.Dataset:
    """Three overlapping classes."""
    rng, y = np.random.default_rng(0), np.arange(count) % 3
    return jreg.Dataset((rng.normal(size=(count, 2)) + 1.5 * np.eye(3, 2)[y]).astype(np.float32), y, name=name)


DATA = points()


def nested(**changes: Any) -> jreg.NestedStudy:
    return jreg.nested_cross_validate(recipe, DATA, SPACE, **{"outer": OUTER, "inner": INNER} | OPTIONS | changes)


@pytest.fixture(scope="module")
def done(counted) -> tuple[jreg.NestedStudy, int]:
    """A nested study, and what was compiled for it."""
    before = counted[0]
    # As the tests themselves: what is compiled depends on it.
    with jax.numpy_dtype_promotion("strict"):
        return nested(), counted[0] - before


@pytest.fixture(scope="module")
def study(done) -> jreg.NestedStudy:
    return done[0]


@pytest.fixture(scope="module")
def flat(study) -> jreg.Study:
    """The same folds, all of them as validation folds: what a loop over outer folds would train, and more."""
    pairs = [(fold.train, fold.validation) for fold in study.spec.folds]
    with jax.numpy_dtype_promotion("strict"):
        return jreg.cross_validate(recipe, DATA, SPACE, cv=pairs, **OPTIONS)


def test_all_folds_settings_and_seeds_are_one_program(done, flat, counted):
    assert done[1] == 1
    before = counted[0]
    # Neither other numbers nor cross-validation on the same folds compile anything.
    nested(seeds=[7], choose="one_standard_error")
    assert counted[0] == before


@pytest.mark.slow
def test_each_static_group_is_one_program_with_its_outer_trainings(counted):
    space, before = jreg.grid(width=[2, 3, 5], l2=[1e-4, 1e-1], rate=[0.1, 0.3]), counted[0]
    study = jreg.nested_cross_validate(recipe, DATA, space, outer=OUTER, inner=INNER, **OPTIONS)
    assert counted[0] - before == 3
    alone = jreg.cross_validate(recipe, DATA, space, cv=[(f.train, f.validation) for f in study.spec.folds], **OPTIONS)
    np.testing.assert_array_equal(study.results.scores, alone.scores[:, : OUTER * INNER])
    by_fold = study.results.scores.reshape(12, OUTER, INNER * 2).mean(axis=2)
    assert [choice.number for choice in study.choices] == by_fold.argmax(axis=0).tolist()


def test_folds_are_those_of_cross_validation_inside_each_other(study):
    outer = StratifiedKFold(OUTER, shuffle=True, random_state=0)
    number = 0
    for k, (train, validation) in enumerate(outer.split(DATA.y, DATA.y)):
        fold = study.spec.numbered("outer")[k]
        assert fold.number == FINAL + 1 + k
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.validation, validation)
        inner = StratifiedKFold(INNER, shuffle=True, random_state=0)
        for some, others in inner.split(DATA.y[train], DATA.y[train]):
            fold = study.spec.numbered()[number]
            assert (fold.number, fold.role) == (number, "inner")
            np.testing.assert_array_equal(fold.train, train[some])
            np.testing.assert_array_equal(fold.validation, train[others])
            number += 1
    assert number == len(study.spec.numbered()) == OUTER * INNER


def test_inner_trainings_have_the_bits_of_cross_validation(study, flat):
    inner = slice(OUTER * INNER)
    for name in ("status", "epochs", "best_epochs", "history", "scores"):
        np.testing.assert_array_equal(getattr(study.results, name), getattr(flat.results, name)[:, inner], err_msg=name)
    assert (study.results.status == Status.STOPPED).any()


def test_outer_trainings_are_those_of_a_slow_loop(study, flat):
    found = []
    for k, fold in enumerate(study.spec.numbered("outer")):
        own = slice(k * INNER, (k + 1) * INNER)
        number = int(np.argmax(flat.scores[:, own].mean(axis=(1, 2))))
        choice = study.choices[k]
        assert choice.hyperparameters == SPACE.settings[number]
        assert choice.mean == flat.scores[number, own].mean()
        steps = np.array([-(-len(f.train) // 8) for f in flat.spec.folds[own]])
        updates = ((flat.best_epochs[number, own] + 1) * steps[:, None]).mean()
        epochs = max(1, round(updates / -(-len(fold.train) // 8)))
        for seed in study.spec.seeds:
            row = study.results.get(number, fold.number, seed)
            assert (row.role, row.status, row.epochs, row.best_epoch) == ("outer", Status.COMPLETED, epochs, epochs - 1)
            # Without early stopping, on all training rows of the outer fold; it doesn't know when it will end.
            alone = jreg.fit(
                jreg.member_key(seed, fold.number), recipe, DATA, SPACE.settings[number], epochs=12, batch_size=8,
                train=fold.train, validation=fold.validation,
            )  # fmt: skip
            for label in study.results.labels:
                own_column = row.history[:, study.results.labels.index(label)]
                np.testing.assert_allclose(own_column, np.asarray(alone.history[label])[:epochs], rtol=2e-4, atol=1e-5)
            found.append(float(alone.history["val_accuracy"][epochs - 1]))
    np.testing.assert_allclose(study.scores.ravel(), found, atol=1e-6)


class Stored(BaseEstimator):
    """An estimator of scikit-learn's whose rows are their numbers and whose scores a study has."""

    def __init__(self, results=None, width=0, l2=0.0, rate=0.0):
        self.results, self.width, self.l2, self.rate = results, width, l2, rate

    def fit(self, x, y):
        del y
        self.rows_ = {*np.asarray(x)[:, 0].tolist()}
        return self

    def score(self, x, y):
        del y
        rows, own = {*np.asarray(x)[:, 0].tolist()}, self.results.spec
        number = own.settings.index({"width": self.width, "l2": self.l2, "rate": self.rate})
        fold = next(f for f in own.folds if {*f.train.tolist()} == self.rows_ and {*f.validation.tolist()} == rows)
        found = [self.results.get(number, fold.number, seed) for seed in own.seeds]
        return np.mean([row.history[row.best_epoch, own.columns.index(own.score)] for row in found])


def test_scikit_learns_nested_pattern_on_the_stored_scores_says_the_same(study):
    grid = {name: list(values) for name, values in SPACE.axes.items()}
    fold = partial(StratifiedKFold, shuffle=True, random_state=0)
    # scikit-learn lists parameters by their names, so ties go to another one; the order below is the space's.
    settings = [{name: [value] for name, value in setting.items()} for setting in SPACE.settings]
    search = GridSearchCV(Stored(study.results, **{n: v[0] for n, v in grid.items()}), settings, cv=fold(INNER))
    scores = cross_val_score(search, np.arange(len(DATA))[:, None], DATA.y, cv=fold(OUTER))
    np.testing.assert_allclose(study.scores.mean(axis=1), scores, rtol=1e-7)
    assert study.estimate.mean == pytest.approx(scores.mean(), rel=1e-7)
    assert study.estimate.standard_error == pytest.approx(scores.std(ddof=1) / np.sqrt(OUTER), rel=1e-6)


def test_the_naive_estimate_is_the_mean_of_the_best_inner_means(study):
    by_fold = study.results.scores.reshape(len(SPACE.settings), OUTER, INNER, 2).mean(axis=(2, 3))
    np.testing.assert_allclose(study.naive.scores[:, 0], by_fold.max(axis=0), rtol=1e-12)
    flatters = by_fold.max(axis=0) - study.scores.mean(axis=1)
    assert study.naive.mean == pytest.approx(by_fold.max(axis=0).mean(), rel=1e-12)
    assert study.optimism.mean == pytest.approx(flatters.mean(), rel=1e-9)
    assert study.optimism.standard_error == pytest.approx(flatters.std(ddof=1) / np.sqrt(OUTER), rel=1e-9)
    assert sum(count for _, count in study.stability) == OUTER
    assert [count for _, count in study.stability] == sorted([count for _, count in study.stability], reverse=True)
    assert isinstance(study.estimate, Estimate)


def test_an_inner_study_chooses_ranks_and_shows_as_any(study, flat):
    for k in range(OUTER):
        own = slice(k * INNER, (k + 1) * INNER)
        alone, inner = flat.results.part(range(k * INNER, (k + 1) * INNER)), study.inner(k)
        np.testing.assert_array_equal(inner.scores, flat.scores[:, own])
        np.testing.assert_array_equal(inner.history, flat.history[:, own])
        assert inner.one_standard_error.number == alone.one_standard_error.number
        assert report.table(inner) == report.table(alone)
        assert "baseline: majority class" in report.table(inner).replace("\n", " ")
        assert len(inner) == len(SPACE.settings) * INNER * 2 == len(list(inner))
        assert inner.missing() == []
        assert {row.fold for row in inner} == set(range(own.start, own.stop))
        np.testing.assert_array_equal(inner.trained().fold, alone.trained().fold)
    with pytest.raises(KeyError):
        study.results.part([99])


def test_out_of_fold_predictions_are_of_the_outer_trainings(study):
    found = study.out_of_fold()
    np.testing.assert_array_equal(found.rows, np.arange(len(DATA)))
    by_fold = study.score("accuracy", by_fold=True)
    np.testing.assert_allclose(by_fold, study.scores, atol=1e-6)
    assert study.score("accuracy") == pytest.approx(study.estimate.mean, abs=1e-6)
    bare = Results(study.spec)
    bare.add(study.results.trained())
    with pytest.raises(ValueError, match=r"of 6 outer trainings 0 have left outputs"):
        jreg.NestedStudy(study.design, bare, {}).out_of_fold()


def test_the_table_says_both_estimates_and_each_choice(study):
    text = study.table()
    assert all(len(line) <= 60 for line in text.splitlines())
    assert f"honest:    {study.estimate.mean:.4f} +- " in text
    assert f"naive:     {study.naive.mean:.4f} +- " in text
    assert len(text.splitlines()) >= 7 + OUTER
    assert f"estimate of val_accuracy {study.estimate.mean:.4f}, naive {study.naive.mean:.4f}" in repr(study)
    assert "3 outer folds, inside them 6 settings x 6 folds x 2 seeds" in repr(study.results)


def test_an_estimate_of_a_loss_flatters_downwards():
    found = nested(score="val_loss", seeds=[1])
    by_fold = found.results.scores.reshape(len(SPACE.settings), OUTER, INNER).mean(axis=2)
    np.testing.assert_allclose(found.naive.scores[:, 0], by_fold.min(axis=0), rtol=1e-12)
    assert found.optimism.mean == pytest.approx(found.estimate.mean - found.naive.mean, rel=1e-9)


def test_outer_trainings_make_the_updates_of_the_inner_best_epochs(study):
    inner, steps = study.inner(0), [-(-len(fold.train) // 8) for fold in study.inner(0).spec.folds]
    for setting in range(len(SPACE.settings)):
        updates = ((inner.best_epochs[setting] + 1) * np.array(steps)[:, None]).mean()
        for rows in (1, 8, 9, 40, 60, 1000):
            expected = max(round(updates / -(-rows // 8)), 1)
            assert chosen_epochs(study.design, inner, [setting], rows) == expected
    unstopped = dataclasses.replace(study.design, spec=dataclasses.replace(study.spec, stopping=None))
    assert chosen_epochs(unstopped, inner, [0], 40) == 12


# Choices.


def second(results: Results) -> Any:
    return results.ranking[1]


def gentle(results: Results) -> dict[str, Any]:
    return dict(results.spec.settings[0])


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        ("one_standard_error", lambda inner: inner.one_standard_error.number),
        (second, lambda inner: inner.ranking[1].number),
        (gentle, lambda inner: 0),
    ],
)
def test_any_rule_may_choose(study, choose, expected):
    found = nested(choose=choose)
    assert [choice.number for choice in found.choices] == [expected(study.inner(k)) for k in range(OUTER)]
    # The naive estimate is of what was chosen, too.
    assert found.naive.scores[0] == study.inner(0).settings[found.choices[0].number].mean
    np.testing.assert_array_equal(found.results.scores, study.results.scores)


@pytest.mark.parametrize(
    ("choose", "error", "words"),
    [
        ("worst", ValueError, "choose is 'worst', but must be 'best', 'one_standard_error' or a function"),
        (None, ValueError, "choose is None, but must be"),
        (lambda results: 3, TypeError, "choose returned 3, but must return one of the results' settings"),
        (lambda results: {"l2": 7.0}, ValueError, r"choose returned {'l2': 7.0}, which is no setting of the study"),
    ],
)
def test_a_rule_that_chooses_nothing_is_refused(choose, error, words):
    with pytest.raises(error, match=words):
        nested(choose=choose, seeds=1)


def test_where_every_setting_diverges_nothing_is_chosen():
    space = [{"width": 0, "l2": 1e-4, "rate": 1e30}]
    found = jreg.nested_cross_validate(recipe, DATA, space, outer=OUTER, inner=INNER, **OPTIONS)
    assert found.nested.undecided == [0, 1, 2]
    assert (found.finished, found.nested.missing) == (False, 0)
    with pytest.raises(ValueError, match=r"no estimate: no setting has all its inner scores in outer fold 0, so that"):
        print(found.estimate)
    assert "there is no estimate" in found.table()
    assert "nothing chosen" in found.table()
    assert summary(found.results)["nested"] == {"missing": 0, "choices": [None] * 3}
    assert "trainings missing" in repr(found)


# Folds.


def test_inner_folds_keep_groups_together_and_classes_in_their_shares():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 15, 60)
    data = dataclasses.replace(DATA, groups=groups)
    folds, counts = nested_folds(3, 2, data)
    assert counts == [2, 2, 2]
    for fold in folds:
        assert not {*groups[fold.train].tolist()} & {*groups[fold.validation].tolist()}
    folds, _ = nested_folds(3, 2, DATA)
    for fold in folds:
        shares = np.bincount(DATA.y[fold.validation], minlength=3)
        assert shares.max() - shares.min() <= 1


@pytest.mark.parametrize(
    ("outer", "inner", "counts"),
    [
        (GroupKFold(4), GroupKFold(2), [2] * 4),
        ([(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))], GroupKFold(3), [3, 3]),
        ([(np.arange(60) < 40, np.arange(60) >= 40)], [[(range(20), range(20, 40)), (range(30), range(35, 40))]], [2]),
        (StratifiedGroupKFold(2), 5, [5, 5]),
    ],
)
def test_folds_come_from_numbers_splitters_and_pairs(outer, inner, counts):
    data = dataclasses.replace(DATA, groups=np.arange(60) // 4)
    folds, found = nested_folds(outer, inner, data)
    assert found == counts
    assert [fold.role for fold in folds] == ["inner"] * sum(counts) + ["outer"] * len(counts)
    own = iter(folds)
    for k, count in enumerate(found):
        train = {*folds[sum(counts) + k].train.tolist()}
        for _ in range(count):
            fold = next(own)
            assert {*fold.train.tolist()} | {*fold.validation.tolist()} <= train


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"outer": 1}, ValueError, "the number of folds is 1"),
        ({"inner": 1}, ValueError, "the number of folds is 1"),
        ({"inner": 15}, ValueError, "points without outer fold 0's class 0 has 13 examples, fewer than the 15 folds"),
        ({"outer": 25}, ValueError, "points's class 0 has 20 examples, fewer than the 25 folds"),
        ({"inner": "five"}, TypeError, "cv is 'five', but must be a number of folds"),
        ({"inner": 2.5}, TypeError, "cv is 2.5, but must be a number of folds"),
        ({"inner": [[(range(10), range(10, 20))]]}, ValueError, "inner has pairs for 1 outer folds, but there are 3"),
        (
            {"outer": [(range(40), range(40, 60))], "inner": [[(range(10), range(10, 41))]]},
            ValueError,
            "inner folds of outer fold 0 have rows that aren't among its training rows",
        ),
        ({"seeds": 0}, ValueError, "seeds is 0"),
        ({"layout": 3}, TypeError, "layout is 3, but must be a jreg.Layout"),
        ({"race": None}, TypeError, "unexpected keyword argument 'race'"),
        ({"warm": "l2"}, TypeError, "unexpected keyword argument 'warm'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(options, error, words):
    with pytest.raises(error, match=words):
        nested(**options)


def test_other_results_have_no_honest_estimate(flat):
    with pytest.raises(ValueError, match=r"these are no results of jreg.nested_cross_validate, so they have no honest"):
        print(flat.results.nested)
    with pytest.raises(TypeError, match="refit got a NestedStudy, but needs the study"):
        jreg.refit(jreg.NestedStudy(flat.design, flat.results, {}))


# What lasts.


def assert_same(first: Results, second: Results) -> None:
    """All trainings have the same bits, also of what was kept."""
    assert first.spec.head() == second.spec.head()
    one, other = ({row[:3]: row for row in results} for results in (first, second))
    assert one.keys() == other.keys()
    for key, row in one.items():
        assert row[3:7] == other[key][3:7]
        np.testing.assert_array_equal(row.history, other[key].history)
        jax.tree.map(np.testing.assert_array_equal, row.kept, other[key].kept)


class Always(Folder):
    """A folder that takes a checkpoint whenever it can."""

    due = True

    def settle(self) -> None:
        """Returns when everything so far is on the disk."""
        done = threading.Event()
        if self._writer is not None:
            self._writer.put(lambda connection: done.set())
            assert done.wait(60)


def test_a_nested_study_goes_on_from_any_moment(study, tmp_path, monkeypatch):
    monkeypatch.setattr(Pool, "_epochs", lambda self, given: 7)
    store, images = Always(tmp_path / "whole"), []

    def crash(progress: Any) -> None:
        assert progress.done <= progress.total == 6 * OUTER * INNER * 2 + OUTER * 2
        store.settle()
        images.append(shutil.copytree(store.folder, tmp_path / f"image-{len(images)}"))

    whole = nested(store=store, progress=crash)
    np.testing.assert_array_equal(whole.scores, study.scores)
    held = [jreg.load_results(image) for image in images[1:]]
    outer = [sum(row.role == "outer" for row in results) for results in held]
    # In between, some outer folds have chosen while others train.
    assert (min(outer), max(outer)) == (0, OUTER * 2)
    assert any(0 < count < OUTER * 2 for count in outer)
    for place in range(1, len(images), max(1, len(images) // 2)):
        again = jreg.resume(images[place], recipe, DATA, layout=ONE_BY_ONE, progress=False)
        assert isinstance(again, jreg.NestedStudy)
        assert_same(whole.results, again.results)
    unfinished = held[0].nested
    assert unfinished.missing > 0
    assert unfinished.choices == [None] * OUTER
    with pytest.raises(ValueError, match=r"the nested study has no estimate: \d+ trainings are missing"):
        print(unfinished.estimate)
    assert "nothing chosen" in report.nested(held[0])


def test_a_stored_nested_study_says_what_it_is(study, tmp_path):
    study.save(tmp_path)
    results = jreg.load_results(tmp_path)
    assert_same(study.results, results)
    assert "3 outer folds, inside them 6 settings x 6 folds x 2 seeds" in repr(results)
    assert results.nested.estimate.mean == study.estimate.mean
    assert [choice.number for choice in results.nested.choices] == [choice.number for choice in study.choices]
    assert report.nested(results) == study.table()
    with (tmp_path / "trainings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    inner, outer = ([row for row in rows if row["role"] == role] for role in ("inner", "outer"))
    assert (len(inner), len(outer), len(rows)) == (72, 6, 78)
    assert sorted(float(row["score"]) for row in outer) == sorted(study.scores.ravel().tolist())
    found = summary(results)["nested"]
    assert found["estimate"] == pytest.approx(study.estimate.mean)
    assert [choice["hyperparameters"] for choice in found["choices"]] == [c.hyperparameters for c in study.choices]


def test_a_stored_nested_study_is_gone_on_with_as_it_was(tmp_path):
    with pytest.warns(RuntimeWarning, match="the study ended after 0.001 seconds"):
        nested(store=tmp_path, seeds=[1], choose=second, timeout=1e-3)
    with pytest.raises(ValueError, match=r"chooses by the function .*second: give it, resume\(..., choose=...\)"):
        jreg.resume(tmp_path, recipe, DATA, progress=False)
    for changes, words in (
        ({"choose": "best"}, "the policy was a nested cross-validation"),
        ({"outer": 4}, "the policy was a nested cross-validation"),
        ({"outer": KFold(OUTER)}, "9 of 9 folds were others"),
        ({"seeds": [1, 2]}, "the nested cross-validation had fewer settings, folds or seeds, by which it has decided"),
    ):
        with pytest.raises(ValueError, match=words):
            nested(**{"store": tmp_path, "seeds": [1], "choose": second} | changes)
    with pytest.raises(ValueError, match="the policy was a nested cross-validation"):
        jreg.cross_validate(recipe, DATA, SPACE, store=tmp_path, **OPTIONS)
    assert jreg.resume(tmp_path, recipe, DATA, choose=second, layout=ONE_BY_ONE, progress=False).finished


# Noise.


def guess(hp: Any) -> jreg.Recipe:
    """Guesses by a direction that is the setting, whatever it trains on."""

    def apply(params, x, train, rngs):
        del train, rngs
        side = x @ jnp.stack([jnp.cos(hp["angle"]), jnp.sin(hp["angle"])]) + params["none"]
        return jnp.stack([side, -side], axis=-1)

    model = (lambda key, x: {"none": jnp.zeros(())}, apply)
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(0.0), metrics={"accuracy": metrics.accuracy})


@pytest.mark.slow
def test_labels_of_pure_noise_are_guessed_at_chance_and_the_naive_estimate_does_not_know():
    """The honest estimate is within 0.1 of one half, a false alarm in fewer than one of a million runs.

    Labels are drawn independently, so the outer rows of a fold are right or wrong by independent fair coins, whatever
    was chosen. By Hoeffding's inequality, for the mean over 2 folds of 50 rows (which may depend on each other, so that
    their moment generating functions are averaged) and 15 data sets, a deviation of t has a probability of at most
    2 exp(-2 * 50 * 15 * t^2) = 6e-7 for t = 0.1.
    """
    space, found = jreg.grid(angle=np.linspace(0.0, 2 * np.pi, 24, endpoint=False)), []
    for data_set in range(15):
        rng = np.random.default_rng(data_set)
        data = jreg.Dataset(rng.normal(size=(100, 2)).astype(np.float32), rng.integers(0, 2, 100), name="noise")
        fold = {"outer": KFold(2), "inner": KFold(2), "epochs": 1, "batch_size": 25, "progress": False}
        study = jreg.nested_cross_validate(guess, data, space, layout=ONE_BY_ONE, **fold)
        found.append((study.estimate.mean, study.naive.mean))
    honest, naive = np.mean(found, axis=0)
    assert abs(honest - 0.5) < 0.1
    assert naive > 0.6


# The command line.

FILE = """
import optax

import jreg
from jreg import losses, nn

space = jreg.grid(rate=[0.01, 0.1])


def recipe(hp):
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jreg, "use_cpu_devices", lambda: None)
    Path("recipe.py").write_text(FILE)


def test_the_command_line_asks_for_outer_and_inner_folds_and_prints_both_estimates(here, study, monkeypatch, capsys):
    real = jreg.nested_cross_validate

    def known(function, data, space, *, outer, inner, **asked):
        """What is compiled already takes the place of what is asked."""
        assert (outer, inner, asked["epochs"], list(asked["seeds"])) == (3, 2, 7, [0])
        return real(recipe, DATA, SPACE, outer=outer, inner=inner, **OPTIONS, store=asked["store"])

    monkeypatch.setattr(jreg, "nested_cross_validate", known)
    main(["sweep", "recipe.py", "--data", "wine", "--nested", "3", "--folds", "2", "--epochs", "7", "--store", "s"])
    out, _ = capsys.readouterr()
    assert f"naive:     {study.naive.mean:.4f}" in out
    assert out.splitlines()[-1] == "results are in s, the report in s/report.html"


@pytest.mark.slow
def test_the_command_line_goes_on_with_a_nested_study(here, capsys):
    main(["sweep", "recipe.py", "--data", "wine", "--nested", "2", "--folds", "2", "--epochs", "2", "--store", "s"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("honest:", "naive:", "optimism:", "chosen:"))
    assert text.splitlines()[-1] == "results are in s, the report in s/report.html"
    assert not Path("s/final").exists()
    assert jreg.load_results("s").nested.finished
    main(["resume", "s", "recipe.py", "--json"])
    out, aside = capsys.readouterr()
    assert json.loads(out)["nested"]["missing"] == 0
    assert "nothing was trained again" in aside


def test_inner_folds_may_stop_on_rows_of_their_own(tmp_path):
    space = jreg.grid(width=[0], l2=[1e-4, 1e-1], rate=[0.3])
    asked = {"seeds": [0], "validation_fraction": 0.25, "store": tmp_path / "apart"}
    one = jreg.nested_cross_validate(recipe, DATA, space, outer=2, inner=2, **OPTIONS | asked)
    for fold in one.spec.numbered():
        assert len(fold.stopping) == round(0.25 * (len(fold.stopping) + len(fold.train)))
        assert not set(fold.stopping) & {*fold.train, *fold.validation}
    best = one.results.best_epochs
    stops = one.results.curve("stop_loss")
    np.testing.assert_array_equal(best, np.nanargmin(stops, axis=-1))
    for k, fold in enumerate(one.spec.numbered("outer")):
        assert len(fold.stopping) == 0
        epochs = chosen_epochs(one.design, one.inner(k), [one.choices[k].number], len(fold.train))
        outer = one.results.part([fold.number])
        assert outer.epochs[one.choices[k].number].tolist() == [[epochs]]
    again = jreg.resume(tmp_path / "apart", recipe, DATA, layout=ONE_BY_ONE, progress=False)
    assert_same(one.results, again.results)
