"""Any score of predictions for rows that the network didn't see, and what was kept of the rows that it saw."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jreg._base.names import shown
from jreg.metrics import Metric, ParamsMetric
from jreg.network.predictions import check_one
from jreg.results import Results
from jreg.study.out_of_fold import OutOfFold


def scores(
    found: OutOfFold, metric: str | Callable[..., Any], response: str, by_fold: bool, options: Mapping[str, Any]
) -> Any:
    """A metric: the mean over seeds, or ``(folds, seeds, ...)``; see `jreg.Study.score`."""
    seeds = [found.of_seed(seed) for seed in range(len(jax.tree.leaves(found.outputs)[0]))]
    if not by_fold:
        mean = np.mean(_stack([score(one, metric, response, options) for one in seeds], metric), axis=0)
        return mean if mean.ndim else float(mean)
    folds = sorted(set(found.folds.tolist()))
    each = [score(one.of_fold(fold), metric, response, options) for fold in folds for one in seeds]
    stacked = _stack(each, metric)
    return stacked.reshape(len(folds), len(seeds), *stacked.shape[1:])


def score(found: OutOfFold, metric: str | Callable[..., Any], response: str, options: Mapping[str, Any]) -> np.ndarray:
    """A metric of out-of-fold predictions, an array or a single number in one.

    Args:
      found: of one seed.
      metric: a function ``(targets, predictions) -> number or array``, the name of one of scikit-learn's scorers, or a
        metric of `jreg.metrics`.
      response: what a function receives: ``"predict"`` or ``"predict_proba"``.
      options: further keywords of a function.

    Raises:
      ValueError: `response` is neither, or there is no scorer of that name.
      TypeError: the metric returns no numbers, or takes no options.
    """
    if response not in ("predict", "predict_proba"):
        raise ValueError(f"response is {response!r}, but must be 'predict' or 'predict_proba'")
    if isinstance(metric, str | Metric) and set(options) - {"sample_weight"}:
        raise TypeError(
            f"the metric {shown(metric)} takes no {sorted(set(options) - {'sample_weight'})[0]!r}: keywords are for "
            "functions of scikit-learn's, such as study.score(sklearn.metrics.f1_score, average='macro')"
        )
    if isinstance(metric, Metric):
        check_one(found.outputs)
        return np.asarray(metric(found.outputs[0], found.targets, _weights(found, options)))
    if isinstance(metric, str):
        from sklearn.metrics import get_scorer

        scorer = get_scorer(metric)
        given = _with_weights(getattr(scorer, "_score_func", None), found, options)
        return _numbers(scorer(stored(found), np.arange(len(found.rows))[:, None], found.targets, **given), metric)
    if isinstance(metric, ParamsMetric) or not callable(metric):
        raise TypeError(
            f"the metric is {shown(metric)}, but must be a function of (targets, predictions), the name of one of "
            "scikit-learn's scorers, or a metric of outputs of jreg.metrics"
        )
    predicted = found.predictions if response == "predict" else found.probabilities
    return _numbers(metric(found.targets, predicted, **_with_weights(metric, found, options)), metric)


def _weights(found: OutOfFold, options: Mapping[str, Any]) -> Any:
    return options.get("sample_weight", found.weights)


def _with_weights(metric: Any, found: OutOfFold, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, and the data's weights where the metric's signature has them and nothing else is said."""
    given = {name: value for name, value in options.items() if name != "sample_weight" or value is not None}
    if "sample_weight" in options or found.weights is None:
        return given
    try:
        takes = "sample_weight" in inspect.signature(metric).parameters
    except (TypeError, ValueError):  # no function, or one whose arguments aren't known
        takes = False
    return given | ({"sample_weight": found.weights} if takes else {})


def _numbers(value: Any, metric: Any) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{shown(metric)} returned a {type(value).__name__} that is no array of numbers: call it on "
            "study.out_of_fold().of_seed(0), whose targets, predictions and probabilities it takes"
        ) from None


def _stack(values: list[np.ndarray], metric: Any) -> np.ndarray:
    shapes = list(dict.fromkeys(value.shape for value in values))
    if len(shapes) > 1:
        raise ValueError(
            f"{shown(metric)} returned arrays of shape {shapes[0]} and {shapes[1]} for two parts of the rows, of which "
            "no mean or table can be made: give the classes by labels=range(K), or call it on study.out_of_fold()"
        )
    return np.stack(values)


def stored(found: OutOfFold) -> Any:
    """Predictions that are there already as an estimator of scikit-learn's, whose examples are their places."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    def predict(self: Any, x: Any) -> np.ndarray:
        del self
        return found.predictions[np.asarray(x)[:, 0]]

    def predict_proba(self: Any, x: Any) -> np.ndarray:
        del self
        return found.probabilities[np.asarray(x)[:, 0]]

    methods: dict[str, Any] = {"predict": predict, "__sklearn_is_fitted__": lambda self: True}
    if found.task == "regression":
        return type("Stored", (RegressorMixin, BaseEstimator), methods)()
    methods |= {"predict_proba": predict_proba, "classes_": np.arange(_classes(found))}
    return type("Stored", (ClassifierMixin, BaseEstimator), methods)()


def _classes(found: OutOfFold) -> int:
    return found.probabilities.shape[-1] if found.link in ("softmax", "sigmoid") else int(np.max(found.targets)) + 1


def train_scores(results: Results, number: int) -> dict[str, np.ndarray]:
    """Losses and metrics of a setting's training rows by name, ``(folds, seeds)``, see `jreg.Study.train_scores`."""
    kept = [tree for _, tree in results.kept(number, "train_scores")]
    if not kept or len(kept) != np.prod(results.shape[1:]):
        raise ValueError(
            "the training rows were not scored, or not in all trainings of the setting: train the study with "
            "keep=[jreg.keep.outputs, jreg.keep.train_scores]"
        )
    return {name: np.reshape([float(tree[name]) for tree in kept], results.shape[1:]) for name in kept[0]}
