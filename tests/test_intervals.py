"""Intervals and sets of labels of a study: the same as from its networks one by one, and when they are refused."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from sklearn.model_selection import RepeatedKFold

import jreg
from jreg import losses, nn, statistics
from jreg.data import standardize
from jreg.study.intervals import intervals, predictors
from jreg.study.out_of_fold import OutOfFold

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
NEW = RNG.normal(size=(6, 3)).astype(np.float32)
ONE_BY_ONE = jreg.Layout(tuple(jax.devices()[:1]), 1)
KEPT = [jreg.keep.outputs, jreg.keep.network]
OPTIONS = {"keep": KEPT, "seeds": 2, "epochs": 3, "batch_size": 8, "progress": False, "layout": ONE_BY_ONE}


def values(hp):
    return jreg.Recipe(nn.Linear(2), losses.squared_error, optax.sgd(hp["rate"]), targets=standardize())


def classes(hp):
    return jreg.Recipe(nn.Linear(3), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))


@pytest.fixture(scope="module")
def regression():
    y = X @ np.array([[100.0, 1.0], [-50.0, 0.0], [0.0, 2.0]]) + RNG.normal(size=(40, 2)) * [30.0, 1.0]
    cv = RepeatedKFold(n_splits=2, n_repeats=2, random_state=0)
    # Rows 38 and 39 are trained on and never validated.
    pairs = [(np.r_[train, 38, 39], validation) for train, validation in cv.split(X[:38])]
    data = jreg.Dataset(X, y.astype(np.float32), name="two columns")
    return jreg.cross_validate(values, data, jreg.grid(rate=[0.05]), cv=pairs, **OPTIONS)


@pytest.fixture(scope="module")
def classification():
    data = jreg.Dataset(X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 1), name="three classes")
    return jreg.cross_validate(classes, data, jreg.grid(rate=[0.1, 0.3]), cv=3, **OPTIONS)


def test_intervals_of_repeated_folds_are_those_of_each_rows_own_networks(regression):
    y, networks = regression.data.y, regression.networks()
    # Each network's predictions for all rows, so that nothing is compiled for single ones.
    known, new = (np.array([network.predict(x) for network in networks]) for x in (X, NEW))
    residuals, predictions = [], []
    for row in range(38):
        unseen = [2 * f + s for f, fold in enumerate(regression.spec.folds) if row in fold.validation for s in (0, 1)]
        assert len(unseen) == 4
        residuals.append(y[row] - known[unseen, row].mean(0))
        predictions.append(new[unseen].mean(0))
    for method, minmax in ((None, False), ("plus", False), ("minmax", True)):
        found = regression.intervals(NEW, alpha=0.2, method=method)
        plain = statistics.cv_plus(np.array(residuals), np.arange(38), np.array(predictions), 0.2, minmax)
        np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-4)
    low, high = regression.intervals(NEW, alpha=0.2)
    assert low.shape == high.shape == (6, 2)
    assert ((high - low).mean(0) > [60.0, 1.0]).all()


def test_sets_are_those_of_each_rows_own_networks(classification):
    setting, networks = classification.settings[0], classification.networks(classification.settings[0])
    assert classification.best is not setting
    p, new, own = np.empty((40, 3)), [], np.empty(40, int)
    for number, fold in enumerate(classification.spec.folds):
        pair, rows = networks[2 * number : 2 * number + 2], list(fold.validation)
        p[rows], own[rows] = np.mean([network.predict_proba(X) for network in pair], axis=0)[rows], number
        new.append(np.mean([network.predict_proba(NEW) for network in pair], axis=0))
    for method, adaptive in ((None, False), ("adaptive", True)):
        scores = statistics.label_scores(p, adaptive)[np.arange(40), classification.data.y]
        plain = statistics.cross_conformal(scores, own, statistics.label_scores(np.array(new), adaptive), 0.3)
        np.testing.assert_array_equal(classification.intervals(NEW, setting, 0.3, method=method), plain)
    assert plain.shape == (6, 3)
    smaller = classification.intervals(NEW, setting, 0.6)
    assert (smaller <= classification.intervals(NEW, setting, 0.05)).all()


def test_rows_are_counted_once_and_grouped_by_the_folds_that_leave_them_out():
    rows, folds = np.array([0, 0, 1, 2, 2, 5]), np.array([0, 2, 0, 2, 0, 1])
    outputs = np.array([[1.0, 3.0, 4.0, 5.0, 9.0, 7.0], [3.0, 5.0, 6.0, 5.0, 9.0, 7.0]])
    found = OutOfFold(rows, folds, rows.astype(np.float32), outputs, "regression", "identity")
    got, targets, own, groups = predictors(found)
    assert got.tolist() == [3.0, 5.0, 7.0, 7.0]
    assert targets.tolist() == [0, 1, 2, 5]
    # The order in which folds are named is no difference.
    assert [groups[place] for place in own] == [(0, 2), (0,), (0, 2), (1,)]


def test_what_has_no_intervals_is_refused_before_anything_trains(regression, classification, counted):
    def of(study, method=None, **changed):
        design = dataclasses.replace(study.design, data=dataclasses.replace(study.data, **changed))
        return intervals(design, study.results, study.layouts, 0, NEW, 0.1, method)

    before = counted[0]
    with pytest.raises(ValueError, match="two columns has weights, but intervals count all rows alike"):
        of(regression, weights=np.ones(40))
    with pytest.raises(ValueError, match="fold 0 trains on rows of groups that it validates on"):
        of(regression, groups=np.arange(40) // 2)
    with pytest.raises(ValueError, match=r"is a multilabel with targets of shape \(40, 2\), but intervals are for"):
        of(classification, y=np.ones((40, 2), int), task="multilabel")
    with pytest.raises(ValueError, match=r"is a classification with targets of shape \(40, 5\)"):
        of(classification, y=np.ones((40, 5), int), task="classification")
    with pytest.raises(ValueError, match="the method is 'minmax', but must be 'probability' or 'adaptive'"):
        classification.intervals(NEW, method="minmax")
    with pytest.raises(ValueError, match="the method is 'aps', but must be 'plus' or 'minmax'"):
        regression.intervals(NEW, method="aps")
    assert counted[0] == before
    with pytest.raises(ValueError, match="alpha is 90, but must lie between 0 and 1"):
        regression.intervals(NEW, alpha=90)
    with pytest.raises(ValueError, match="shape"):
        regression.intervals(NEW[:, :2])
    with pytest.raises(ValueError, match="the study has no setting"):
        regression.intervals(NEW, {"rate": 7.0})


def test_groups_that_folds_leave_whole_are_taken(classification):
    groups = np.empty(40, int)
    for number, fold in enumerate(classification.spec.folds):
        groups[list(fold.validation)] = number
    design = dataclasses.replace(classification.design, data=dataclasses.replace(classification.data, groups=groups))
    number = classification.best.number
    found = intervals(design, classification.results, classification.layouts, number, NEW, 0.1)
    np.testing.assert_array_equal(found, classification.intervals(NEW))


def test_a_training_that_diverged_has_no_intervals(regression):
    rows = regression.results.kept(0, "outputs")
    broken = [(row, np.full_like(outputs, np.nan)) for row, outputs in rows]

    class Broken:
        shape, spec = regression.results.shape, regression.spec

        @staticmethod
        def kept(number, name):
            return broken if name == "outputs" else []

    with pytest.raises(ValueError, match="a training of the setting diverged"):
        intervals(regression.design, Broken(), regression.layouts, 0, NEW, 0.1)  # ty: ignore[invalid-argument-type]
