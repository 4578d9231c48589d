"""Whether a setting's probabilities can be believed, and by what number its logits are divided so that they can."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jreg import metrics
from jreg._base import checks
from jreg._base.types import Array
from jreg.network.predictions import check_one
from jreg.statistics import temperature
from jreg.study.out_of_fold import OutOfFold


class Calibration(NamedTuple):
    """How a setting's out-of-fold probabilities agree with what happened, and how they do at a temperature.

    Attributes:
      temperature: by which logits are divided, of all rows and seeds: the one to use.
      by_fold: ``(folds,)``, the temperature of all rows but those of the fold, with which these are judged.
      ece: `jreg.metrics.ece` as the networks are.
      ece_after: at the temperatures of the other folds.
      log_loss: `jreg.metrics.log_loss` as the networks are.
      log_loss_after: at the temperatures of the other folds.
    """

    temperature: float
    by_fold: np.ndarray
    ece: float
    ece_after: float
    log_loss: float
    log_loss_after: float


def calibration(found: OutOfFold, bins: int) -> Calibration:
    """The calibration of out-of-fold predictions, see `jreg.Study.calibration`."""
    if found.task == "regression" or found.link not in ("softmax", "sigmoid"):
        what = "a regression has" if found.task == "regression" else f"a loss with the link {found.link!r} has"
        raise ValueError(
            f"{what} no probabilities to calibrate: there are some of classes, with a loss of the link 'softmax' or "
            "'sigmoid', such as losses.softmax_cross_entropy"
        )
    checks.count(bins, "calibration's number of bins")
    check_one(found.outputs)
    folds = sorted(set(found.folds.tolist()))
    logits, temperatures = np.asarray(found.outputs, np.float64), []
    cooled = np.empty_like(logits)
    for fold in folds:
        judged = found.folds == fold
        # Also where repeated folds share rows, none is judged by a temperature that it has helped to choose.
        others = ~np.isin(found.rows, found.rows[judged])
        if not others.any():
            raise ValueError(
                f"fold {fold} leaves no rows for a temperature to be fitted on: calibration needs two folds or more "
                "whose validation rows differ"
            )
        temperatures.append(_of_rows(found, others))
        cooled[:, judged] = logits[:, judged] / temperatures[-1]
    before, after = (_judged(bins, np.float32(some), found.targets, found.weights) for some in (logits, cooled))
    every = _of_rows(found, np.full(len(found.rows), True))
    return Calibration(every, np.array(temperatures), *map(float, (before[0], after[0], before[1], after[1])))


@functools.partial(jax.jit, static_argnums=0)
def _judged(bins: int, outputs: Array, targets: Array, weights: Array | None) -> tuple[Array, ...]:
    """ECE and log loss, each the mean over seeds."""
    given = metrics.ece(bins), metrics.log_loss
    return tuple(jnp.mean(jax.vmap(functools.partial(_score, metric, targets, weights))(outputs)) for metric in given)


def _score(metric: metrics.Metric, targets: Array, weights: Array | None, outputs: Array) -> Array:
    return metric(outputs, targets, weights)


def _of_rows(found: OutOfFold, chosen: Any) -> float:
    """One temperature for the networks of all seeds."""
    seeds = len(found.outputs)
    outputs = found.outputs[:, chosen].reshape(-1, *found.outputs.shape[2:])
    targets = np.concatenate([found.targets[chosen]] * seeds)
    weights = None if found.weights is None else np.concatenate([found.weights[chosen]] * seeds)
    return temperature(outputs, targets, weights)
