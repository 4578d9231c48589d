"""Settings that predict together, chosen greedily by out-of-fold predictions and scored where they weren't chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jreg._base.brief import brief
from jreg.engine import Layout
from jreg.network import Ensemble, Network, greedy_weights
from jreg.network.greedy import Metric
from jreg.network.predictions import mean_probabilities
from jreg.results import Results
from jreg.study.design import Design
from jreg.study.intervals import of_outputs
from jreg.study.out_of_fold import OutOfFold, of_setting
from jreg.training import Plan, Status


class Greedy(NamedTuple):
    """Settings that predict together, and what that is worth; `jreg.Study.ensemble` makes networks of it.

    Attributes:
      weights: ``(settings,)``, at least 0 and summing to 1, chosen on the rows of all folds.
      scores: ``(folds,)``, each fold's score by weights that were chosen on the rows of the other folds.
      single: ``(folds,)``, that of the one setting that is best on the rows of the other folds, to compare with.
      maximize: whether higher scores are better.
    """

    weights: np.ndarray
    scores: np.ndarray
    single: np.ndarray
    maximize: bool

    __repr__ = brief

    @property
    def score(self) -> float:
        """The mean of the folds' scores."""
        return float(self.scores.mean())

    def ensemble(self, networks: Callable[[int], Sequence[Network]]) -> Ensemble:
        """The networks of the chosen settings; a setting's weight is shared by its folds and seeds.

        Args:
          networks: those of a setting, by its number.
        """
        parts = {number: networks(number) for number in np.flatnonzero(self.weights).tolist()}
        each = [self.weights[number] / len(found) for number, found in parts.items() for _ in found]
        return Ensemble([network for found in parts.values() for network in found], each)


def greedy_ensemble(
    design: Design,
    results: Results,
    layouts: Mapping[Plan, Layout],
    size: int,
    settings: Sequence[int] | None = None,
    *,
    metric: Metric | None = None,
    maximize: bool = False,
    bags: int = 0,
    fraction: float = 0.5,
    rng: np.random.Generator | None = None,
) -> Greedy:
    """Settings that predict better together than the best one alone, chosen by out-of-fold predictions.

    A setting's predictions are those of its fold networks, averaged over seeds, and
    {py:obj}`jreg.network.greedy_weights` chooses. The score of a fold comes from weights that were chosen on the rows
    of the other folds, never on its own. The networks that predicted those rows have trained on this fold's, as with
    any choice in one layer of folds; how much that flatters only a nested study or a test set tells.

    Args:
      design, results, layouts: of a study; `jreg.Study.greedy_ensemble` gives them.
      size: how many members are added at most; a setting may come several times.
      settings: which may be chosen; default: all that were trained to their end and didn't diverge. Where outputs
        weren't kept, each of them is trained again.
      metric: ``(targets, predictions) -> number`` of probabilities, or of values in a regression; default: the log
        loss, or the mean squared error. Rows count alike, whatever weights they have.
      maximize: whether a higher `metric` is better.
      bags, fraction, rng: of {py:obj}`jreg.network.greedy_weights`.

    Returns:
      A `Greedy`.

    Raises:
      ValueError: there is one fold, no setting is left, or the loss says nothing of probabilities.
      TypeError: the metric is no function, or `size` no whole number.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models, ICML (2004).
    """
    if metric is not None and not callable(metric):
        raise TypeError(f"the metric is {metric!r}, but must be a function (targets, predictions) -> number")
    if metric is None and maximize:
        raise ValueError("maximize goes with a metric of yours: the log loss and the mean squared error are minimized")
    open_ones = np.argwhere(~np.isin(results.status, (Status.COMPLETED, Status.STOPPED)))[:, 0].tolist()
    count = len(results.spec.settings)
    asked = sorted(set(range(count) if settings is None else settings) - set(open_ones))
    found = {number: of_setting(design, results, number, layouts) for number in asked}
    members = {number: _mean(one) for number, one in found.items()}
    members = {number: values for number, values in members.items() if np.isfinite(values).all()}
    if not members:
        raise ValueError("no setting was trained to its end without diverging, so there is none to choose")
    first, predictions = next(iter(found.values())), np.stack(list(members.values()))
    targets = np.asarray(first.targets)
    measure: Metric = metric or (mean_squared_error if first.task == "regression" else log_loss)

    def weights_of(rows: np.ndarray) -> np.ndarray:
        given = predictions[:, rows], targets[rows], measure, size
        return greedy_weights(*given, maximize=maximize, bags=bags, fraction=fraction, rng=rng)

    scores, single = [], []
    for fold in sorted(set(first.folds.tolist())):
        here = first.folds == fold
        # With repeated folds a row is in others, too.
        others = ~np.isin(first.rows, first.rows[here])
        if not others.any():
            raise ValueError(
                f"fold {fold} validates every row that is validated, so that none is left to choose by: a greedy "
                "ensemble needs two folds or more"
            )
        scores.append(float(measure(targets[here], np.tensordot(weights_of(others), predictions[:, here], axes=1))))
        best = greedy_weights(predictions[:, others], targets[others], measure, 1, maximize=maximize).argmax()
        single.append(float(measure(targets[here], predictions[best, here])))
    weights = np.zeros(count)
    weights[list(members)] = weights_of(np.ones(len(targets), bool))
    return Greedy(weights, np.array(scores), np.array(single), maximize)


def log_loss(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean of -log p of what is right: of a class, or of each of several labels."""
    if targets.shape == probabilities.shape:
        right = np.where(targets > 0, probabilities, 1 - probabilities)
    else:
        right = np.take_along_axis(probabilities, targets[..., None], axis=-1)
    # As scikit-learn does, so that one sure mistake isn't infinite.
    return float(-np.log(np.clip(right, np.finfo(np.float64).eps, 1)).mean())


def mean_squared_error(targets: np.ndarray, values: np.ndarray) -> float:
    """The mean of squared differences."""
    return float(np.mean((targets - values) ** 2))


def _mean(found: OutOfFold) -> np.ndarray:
    return mean_probabilities([of_outputs(outputs, found) for outputs in found.outputs])
