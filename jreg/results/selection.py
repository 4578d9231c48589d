"""Settings ranked and chosen by the scores of their trainings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from jreg import statistics
from jreg.recipe import describe
from jreg.search.space import Setting
from jreg.training import Status

if TYPE_CHECKING:
    from jreg.results.results import Results


@dataclasses.dataclass(frozen=True, repr=False)
class SettingResult:
    """What a study found out about one setting.

    Attributes:
      number: its place in the space.
      hyperparameters: by name.
      mean: of the score, over folds and seeds.
      standard_error: of that mean.
      scores: ``(folds, seeds)``; NaN for a training that diverged or was not finished.
      epochs: ``(folds, seeds)``, how many were run.
      best_epochs: ``(folds, seeds)``, the zero-based epoch whose score is reported.
    """

    number: int
    hyperparameters: Setting
    mean: float
    standard_error: float
    scores: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray

    def __repr__(self) -> str:
        folds, seeds = self.scores.shape
        mean = f"{self.mean:.4g} +- {self.standard_error:.2g} over {folds} folds x {seeds} seeds"
        return f"SettingResult({self.number}: {describe(self.hyperparameters)}, mean {mean})"


def setting_results(results: Results) -> tuple[SettingResult, ...]:
    """One `SettingResult` per setting, in the space's order."""
    means, errors = statistics.mean_and_standard_error(results.scores)
    parts = zip(results.spec.settings, means, errors, results.scores, results.epochs, results.best_epochs, strict=True)
    return tuple(
        SettingResult(number, setting, float(mean), float(error), *arrays)
        for number, (setting, mean, error, *arrays) in enumerate(parts)
    )


def best(results: Results) -> SettingResult:
    """The setting with the best mean score.

    Raises:
      ValueError: none has all its scores.
    """
    return results.settings[statistics.best_of(_means(results), results.maximize)]


def one_standard_error(results: Results) -> SettingResult:
    """The most regularized setting within one standard error of the best, see `jreg.statistics.one_standard_error`.

    Raises:
      ValueError: no setting has all its scores.
    """
    means, errors = _means(results), np.array([result.standard_error for result in results.settings])
    axes = results.spec.space.axes
    strengths = np.array([statistics.regularization(axes, setting) for setting in results.spec.settings])
    return results.settings[statistics.one_standard_error(means, errors, strengths, results.maximize)]


def ranking(results: Results) -> list[SettingResult]:
    """The settings from the best mean score to the worst; those without one last, the longest trained first."""
    sign = -1 if results.maximize else 1
    return sorted(
        results.settings, key=lambda r: (not np.isfinite(r.mean), sign * np.nan_to_num(r.mean), -r.epochs.sum())
    )


def check_finished(results: Results) -> None:
    """Raises ValueError where no setting has all its scores although not all have diverged."""
    diverged = (results.status == Status.DIVERGED).any(axis=(1, 2))
    if not np.isfinite(_means(results)).any() and not diverged.all():
        counts = np.bincount(results.status.ravel(), minlength=len(Status))
        score, ended = results.spec.score.label, np.isin(results.status, (Status.COMPLETED, Status.STOPPED))
        if ended.all():
            # r2 of one row, say, or a metric of classes that a fold lacks.
            undefined = int(np.isnan(results.scores).sum())
            raise ValueError(
                f"no setting has all its scores, so there is no best: {score} is NaN in {undefined} of {ended.size} "
                "trainings that came to their end, as where a fold's validation rows are one or all alike; take "
                "another score, such as score='val_loss'"
            )
        found = ", ".join(f"{count} {status.word}" for status, count in zip(Status, counts, strict=True) if count)
        raise ValueError(f"no setting has all its scores, so there is no best: the trainings are {found}")


def note(results: Results, number: int) -> str:
    """Why a setting has no score, in a few words; empty where it has one."""
    statuses = results.status[number]
    if (statuses == Status.DIVERGED).any():
        return "diverged"
    if (statuses == Status.FAILED).any():
        return "failed"
    if (statuses == Status.PRUNED).any():
        ended = int((statuses != Status.PRUNED).sum())
        count, unit = (ended, "training") if ended else (int(results.epochs[number].max()), "epoch")
        return f"dropped after {count} {unit}{'' if count == 1 else 's'}"
    return "" if np.isin(statuses, (Status.COMPLETED, Status.STOPPED)).all() else "not finished"


def _means(results: Results) -> np.ndarray:
    check = [result.mean for result in results.settings]
    return np.array(check)
