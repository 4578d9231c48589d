"""The final network: trained on all data that is not test data, then tested once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jreg import statistics, training
from jreg._base.types import Array
from jreg.search.space import Setting
from jreg.study.result import SettingResult, Study
from jreg.training import Fit


@dataclasses.dataclass(frozen=True, eq=False)
class Refit:
    """The final network and how it did on the test set.

    Attributes:
      study: where its setting comes from.
      hyperparameters: that setting.
      epochs: how long it trained.
      fit: the training.
      test: loss and metrics on the test set by name; empty where there is none.
      interval: the 95% binomial interval of the test accuracy; None for regression or without a test set.
    """

    study: Study
    hyperparameters: Setting
    epochs: int
    fit: Fit
    test: dict[str, float]
    interval: tuple[float, float] | None

    def predict(self, x: Any) -> Array:
        """The network's outputs for examples ``(n, ...)``, see `jreg.predict`."""
        return training.predict(self.study.recipe, self.fit, x, self.hyperparameters)


def refit(study: Study, setting: SettingResult | Mapping[str, Any] | None = None) -> Refit:
    """Trains one network on all training and validation rows and tests it once.

    There are no validation rows left to stop on, so it trains for the mean of the best setting's best epochs over
    folds and seeds, rounded; without early stopping for the study's epochs. After a study along a warm path it
    trains, from fresh weights, for as long as all trainings of the path up to that setting together.

    Args:
      study: a finished study.
      setting: one of its settings, such as ``study.one_standard_error``; None: the best.

    Returns:
      A `Refit`.

    Raises:
      ValueError: the study has no such setting, or some training of the setting was not trained to its end.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.8 and algorithm 7.2.
    """
    result = _result(study, setting)
    if np.isin(study.status[result.number], (training.RUNNING, training.PRUNED)).any():
        raise ValueError(f"the setting {result.hyperparameters} was not trained to its end, so it can't be judged")
    path = [result.number]
    if study.warm is not None:
        path = next(line for line in study.space.paths(study.warm) if result.number in line)
        path = path[: path.index(result.number) + 1]
    each = study.best_epochs[path] + 1 if study.stopping else np.full((len(path), 1, 1), study.epochs)
    epochs = round(float(each.mean(axis=(1, 2)).sum()))
    if epochs < 1:
        raise ValueError(f"the setting {result.hyperparameters} never had a finite score, so there is nothing to refit")
    hp, data = result.hyperparameters, study.data
    static = {name: value for name, value in hp.items() if name not in study.space.traced}
    # A fold number that no fold has gives the final training a key of its own.
    key = training.member_key(study.seeds[0], study.scores.shape[1])
    fitted = training.fit(key, study.recipe, data, hp, epochs=epochs, batch_size=study.batch_size, static=tuple(static))
    if data.x_test is None or data.y_test is None:
        return Refit(study, hp, epochs, fitted, {}, None)
    test = training.evaluate(study.recipe, fitted, data.x_test, data.y_test, hp)
    interval = None
    if "accuracy" in test:
        count = len(data.y_test)
        interval = statistics.binomial_interval(round(test["accuracy"] * count), count)
    return Refit(study, hp, epochs, fitted, test, interval)


def _result(study: Study, setting: SettingResult | Mapping[str, Any] | None) -> SettingResult:
    if setting is None:
        return study.best
    if isinstance(setting, SettingResult):
        return setting
    for result in study.results:
        if result.hyperparameters == dict(setting):
            return result
    raise ValueError(f"the study has no setting {dict(setting)}")
