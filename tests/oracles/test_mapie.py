"""Intervals and sets of labels of a study are MAPIE's where MAPIE is given the same fold networks."""

import math

import jax
import numpy as np
import optax
import pytest
from mapie.classification import CrossConformalClassifier
from mapie.regression import CrossConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import BaseCrossValidator, KFold, RepeatedKFold

import jreg
from jreg import losses, nn
from jreg.data import standardize

RNG = np.random.default_rng(0)
NEW = RNG.normal(size=(50, 4)).astype(np.float32)
LAYOUT = jreg.Layout(tuple(jax.devices()[:1]), 1)


class Trained(BaseEstimator):
    """The networks of the fold whose training rows it is fitted to, whichever copy of it that is."""

    def __init__(self, networks=None):
        self.networks = networks

    def __sklearn_clone__(self):
        return type(self)(self.networks)

    def fit(self, x, y):
        self.classes_, self.here_ = np.unique(y), self.networks.get(x.tobytes())
        return self

    def mean(self, values):
        return np.mean(values, axis=0, dtype=np.float64)


class Regressor(RegressorMixin, Trained):
    def predict(self, x):
        if self.here_ is None:  # MAPIE fits all rows, too, and asks that one for points alone
            return np.zeros(len(x))
        return self.mean([network.predict(x) for network in self.here_])


class Classifier(ClassifierMixin, Trained):
    def predict_proba(self, x):
        if self.here_ is None:
            return np.full((len(x), len(self.classes_)), 1 / len(self.classes_))
        return self.mean([network.predict_proba(x) for network in self.here_])

    def predict(self, x):
        return self.classes_[self.predict_proba(x).argmax(-1)]


class Given(BaseCrossValidator):
    """The study's folds."""

    def __init__(self, pairs):
        self.pairs = pairs

    def split(self, x, y=None, groups=None):
        return iter(self.pairs)

    def get_n_splits(self, x=None, y=None, groups=None):
        return len(self.pairs)


def given(study, kind):
    """An estimator of the study's networks, and its folds."""
    pairs = [(np.array(fold.train), np.array(fold.validation)) for fold in study.spec.folds]
    networks, seeds = study.networks(), len(study.spec.seeds)
    by_rows = {
        study.data.x[train].tobytes(): networks[seeds * number : seeds * (number + 1)]
        for number, (train, _) in enumerate(pairs)
    }
    return kind(by_rows), Given(pairs)


def crossed(recipe, y, cv):
    data = jreg.Dataset(RNG.normal(size=(len(y), 4)).astype(np.float32), y, name="rows")
    kept = [jreg.keep.network]
    options = {"seeds": 2, "epochs": 3, "batch_size": 16, "progress": False, "layout": LAYOUT, "keep": kept}
    return jreg.cross_validate(recipe, data, jreg.grid(rate=[0.1]), cv=cv, **options)


def values(hp):
    return jreg.Recipe(nn.Linear(1), losses.squared_error, optax.sgd(hp["rate"]), targets=standardize())


def classes(hp):
    return jreg.Recipe(nn.MLP((5, 3)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))


@pytest.mark.parametrize(
    "cv", [KFold(5), RepeatedKFold(n_splits=4, n_repeats=3, random_state=0)], ids=["cv", "repeated"]
)
@pytest.mark.parametrize("method", ["plus", "minmax"])
def test_intervals_of_a_regression(cv, method):
    study = crossed(values, 100 * RNG.normal(size=81).astype(np.float32), cv)
    estimator, folds = given(study, Regressor)
    for alpha in (0.05, 0.1, 0.3):
        theirs = CrossConformalRegressor(estimator, confidence_level=1 - alpha, method=method, cv=folds)
        _, found = theirs.fit_conformalize(study.data.x, study.data.y).predict_interval(NEW)
        low, high = study.intervals(NEW, alpha=alpha, method=method)
        np.testing.assert_allclose(low, found[:, 0, 0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(high, found[:, 1, 0], rtol=0, atol=1e-10)


def test_sets_of_labels():
    """MAPIE 1.6 asks for at least alpha (n - 1) rows that are as strange, where the papers have floor(alpha (n + 1)).

    So it is asked at the level with which both are the same whole number.
    """
    study = crossed(classes, RNG.integers(0, 3, size=83), KFold(5))
    estimator, folds = given(study, Classifier)
    for alpha in (0.1, 0.3, 0.5):
        level = math.floor(alpha * 84) / 82
        theirs = CrossConformalClassifier(estimator, confidence_level=1 - level, conformity_score="lac", cv=folds)
        theirs.fit_conformalize(study.data.x, study.data.y)
        _, found = theirs.predict_set(NEW, agg_scores="crossval")
        np.testing.assert_array_equal(study.intervals(NEW, alpha=alpha), found[..., 0])
        assert 0 < found.mean() < 1
