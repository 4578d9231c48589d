"""A study as an estimator of scikit-learn's: every fold, setting and seed trains inside `fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.names import shown
from jreg.data import Dataset
from jreg.estimators.base import Classifier, Estimator, Regressor
from jreg.estimators.recipes import default_space, perceptron
from jreg.recipe import Recipe
from jreg.results import SettingResult
from jreg.search.space import Space
from jreg.study import Study, cross_validate, refit
from jreg.training import EarlyStopping

_REFITS = ("best", "one_standard_error")


class _Searched(Estimator):
    """Cross-validates settings and trains the chosen one on all rows."""

    recipe: Callable[..., Recipe] | None
    space: Any
    cv: Any
    seeds: int
    epochs: int
    batch_size: int
    patience: int | None
    score_column: str | None
    refit: Any
    ensemble: bool
    store: str | Path | None
    progress: Any
    # One to train on and one to score.
    _least = 2

    def _search(self, data: Dataset) -> Any:
        if self.refit is not None and not callable(self.refit) and self.refit not in _REFITS:
            raise ValueError(
                f"refit is {shown(self.refit)}, but must be 'best', 'one_standard_error', a function of the study that "
                "returns one of its settings, or None"
            )
        if (self.recipe is None) != (self.space is None):
            raise ValueError("recipe and space go together: give both, or neither for a multilayer perceptron")
        recipe, space = self.recipe, self.space
        if recipe is None:
            recipe, space = perceptron, default_space(self._width, self._task)
        first = self._seed()
        study = cross_validate(
            recipe,
            data,
            space,
            cv=self.cv,
            seeds=range(first, first + self.seeds),
            epochs=self.epochs,
            batch_size=self.batch_size,
            stopping=None if self.patience is None else EarlyStopping(self.patience),
            score=self.score_column,
            store=self.store,
            progress=self.progress,
        )
        self.study_, self.cv_results_ = study, _cv_results(study)
        chosen = self._chosen(study)
        self.best_index_, self.best_params_ = chosen.number, dict(chosen.hyperparameters)
        self.best_score_ = float(self.cv_results_["mean_test_score"][chosen.number])
        self.oof_predictions_ = self._out_of_fold(study, chosen, len(data))
        self.n_splits_, self.n_iter_ = len(study.spec.folds), int(study.epochs_run.max())
        if self.refit is not None:
            self.network_ = study.ensemble(chosen) if self.ensemble else refit(study, chosen, progress=self.progress)
        return self

    def _chosen(self, study: Study) -> SettingResult:
        if callable(self.refit):
            return study.setting(self.refit(study))
        return study.one_standard_error if self.refit == "one_standard_error" else study.best

    def _out_of_fold(self, study: Study, chosen: SettingResult, rows: int) -> Any:
        """Predictions for each row by networks that didn't see it; None where rows have several or none."""
        found = study.out_of_fold(chosen)
        if len(found.rows) != rows or (found.rows != np.arange(rows)).any():
            return None
        return self.classes_[found.predictions] if self._task == "classification" else found.predictions

    def __getstate__(self) -> dict[str, Any]:
        """What pickle takes: the study stays behind, since it has the data and functions of one process."""
        return {name: value for name, value in super().__getstate__().items() if name != "study_"}


def _cv_results(study: Study) -> dict[str, Any]:
    """Scores with the keys of scikit-learn's searches: higher is better, losses are negative."""
    results, settings = study.results, study.spec.settings
    sign = 1.0 if results.maximize else -1.0
    scores = sign * np.asarray(results.scores, np.float64).mean(axis=2)
    mean = scores.mean(axis=1)
    found: dict[str, Any] = {"params": [dict(setting) for setting in settings]}
    for name in study.spec.space.axes:
        values = np.ma.MaskedArray(np.empty(len(settings), object), mask=False)
        for number, setting in enumerate(settings):
            values[number] = setting[name]
        found[f"param_{name}"] = values
    found |= {f"split{fold}_test_score": scores[:, fold] for fold in range(scores.shape[1])}
    worst_last = np.where(np.isfinite(mean), -mean, np.inf)
    rank = np.array([1 + int((worst_last < value).sum()) for value in worst_last], np.int32)
    return found | {"mean_test_score": mean, "std_test_score": scores.std(axis=1), "rank_test_score": rank}


class StudyClassifier(Classifier, _Searched):
    """Cross-validates settings in one compiled program, and classifies by the network of the chosen one.

    Args:
      recipe: a function of the hyperparameters that returns a `jreg.Recipe`, whose network has an output per class;
        with None a multilayer perceptron of two layers of 128 with 12 settings of L2, dropout and max-norm. A fitted
        estimator can be pickled where it is a function of a module.
      space: of the recipe, as in `jreg.cross_validate`.
      cv: a number of folds, a scikit-learn splitter, or pairs of row numbers.
      seeds: trainings of each setting and fold.
      epochs: the most passes over the rows.
      batch_size: rows per step.
      patience: epochs without a better validation loss after which a training stops; None for no early stopping.
      score_column: the label of the column that ranks settings; default: the recipe's first metric.
      refit: ``"best"``, ``"one_standard_error"``, a function of the `jreg.Study` that returns one of its settings, or
        None: then nothing is trained on all rows, and the estimator can't predict.
      ensemble: whether the networks of the folds predict together, instead of one trained on all rows.
      store: a folder that keeps the study, which then goes on there after an interruption.
      progress: whether it is shown, or functions of its progress, as in `jreg.cross_validate`.
      random_state: of the seeds.

    Attributes:
      classes_: the labels.
      study_: a `jreg.Study`; pickle leaves it out.
      cv_results_: as `sklearn.model_selection.GridSearchCV` has them; times are in ``study_.results.timing``.
      best_params_, best_score_, best_index_: of the chosen setting; a loss is negative.
      oof_predictions_: ``(n,)``, predictions by the networks that didn't see a row; None where folds are no partition.
      network_: a `jreg.Network` or `jreg.network.Ensemble`.

    Raises:
      ValueError, TypeError: as `jreg.cross_validate` does.
    """

    def __init__(
        self,
        recipe: Callable[..., Recipe] | None = None,
        space: Space | Iterable[Mapping[str, Any]] | None = None,
        *,
        cv: Any = 5,
        seeds: int = 1,
        epochs: int = 100,
        batch_size: int = 64,
        patience: int | None = 10,
        score_column: str | None = None,
        refit: str | Callable[[Study], Any] | None = "best",
        ensemble: bool = False,
        store: str | Path | None = None,
        progress: Any = False,
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: Any = None,
    ):
        self.recipe, self.space, self.cv, self.seeds = recipe, space, cv, seeds
        self.epochs, self.batch_size, self.patience = epochs, batch_size, patience
        self.score_column, self.refit, self.ensemble = score_column, refit, ensemble
        self.store, self.progress = store, progress
        self.class_weight, self.random_state = class_weight, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> StudyClassifier:  # noqa: N803
        """Studies rows ``(n, features)`` with labels, weights, and groups ``(n,)`` that no fold divides."""
        return self._search(self._dataset(X, y, sample_weight, groups))


class StudyRegressor(Regressor, _Searched):
    """Cross-validates settings in one compiled program, and predicts numbers by the network of the chosen one.

    Arguments, attributes and errors are those of `StudyClassifier`, without classes.
    """

    def __init__(
        self,
        recipe: Callable[..., Recipe] | None = None,
        space: Space | Iterable[Mapping[str, Any]] | None = None,
        *,
        cv: Any = 5,
        seeds: int = 1,
        epochs: int = 100,
        batch_size: int = 64,
        patience: int | None = 10,
        score_column: str | None = None,
        refit: str | Callable[[Study], Any] | None = "best",
        ensemble: bool = False,
        store: str | Path | None = None,
        progress: Any = False,
        random_state: Any = None,
    ):
        self.recipe, self.space, self.cv, self.seeds = recipe, space, cv, seeds
        self.epochs, self.batch_size, self.patience = epochs, batch_size, patience
        self.score_column, self.refit, self.ensemble = score_column, refit, ensemble
        self.store, self.progress = store, progress
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> StudyRegressor:  # noqa: N803
        """Studies rows ``(n, features)`` with numbers ``(n,)`` or ``(n, k)``, weights and groups ``(n,)``."""
        return self._search(self._dataset(X, y, sample_weight, groups))
