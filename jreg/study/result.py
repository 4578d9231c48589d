"""What a study found: scores by setting, fold and seed, and their summaries."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jreg import statistics, training
from jreg.data import Dataset
from jreg.engine.layout import Layout
from jreg.recipe import Recipe, describe
from jreg.report import figures, text
from jreg.search.space import Setting, Space
from jreg.splits import Folds
from jreg.store import files
from jreg.training.stopping import EarlyStopping, higher_is_better


def scores_of(values: np.ndarray, best_epochs: np.ndarray, status: np.ndarray) -> np.ndarray:
    """The value ``(...)`` at each training's best epoch out of ``(..., epochs)``; NaN unless it ended well."""
    at = np.maximum(best_epochs, 0)[..., None]
    found = np.take_along_axis(values.astype(np.float64), at, axis=-1)[..., 0]
    return np.where((status == training.COMPLETED) | (status == training.STOPPED), found, np.nan)


@dataclasses.dataclass(frozen=True)
class SettingResult:
    """What a study found out about one setting.

    Attributes:
      number: its place in the space.
      hyperparameters: by name.
      mean: of the score, over folds and seeds.
      standard_error: of that mean.
      scores: ``(folds, seeds)``; NaN for a training that diverged.
      epochs: ``(folds, seeds)``, how many were run.
      best_epochs: ``(folds, seeds)``, which one counts, from 0.
    """

    number: int
    hyperparameters: Setting
    mean: float
    standard_error: float
    scores: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A finished cross-validation; see `cross_validate`.

    Attributes:
      recipe: the function of the hyperparameters.
      data: what it trained on.
      space: the settings.
      folds: row numbers of each fold.
      seeds: the seeds' numbers.
      epochs: passes over the training rows at most.
      batch_size: examples a step, unless the recipe says otherwise.
      stopping: early stopping, or None.
      score, columns: the column of the history that ranks the settings, and all of them.
      scores: ``(settings, folds, seeds)``: the score of each training, at its best epoch under early stopping,
        else at its last; NaN where it diverged.
      history: ``(settings, folds, seeds, epochs, columns)`` float32, NaN where not run.
      epochs_run: ``(settings, folds, seeds)``, how many epochs were run.
      best_epochs: ``(settings, folds, seeds)``, which one counts, from 0.
      status: ``(settings, folds, seeds)``, as in `training.STATUS`; 0 for a training that had not ended when the
        study was interrupted.
      compile_seconds, run_seconds: of tracing and compiling, and of everything else once the settings are checked.
      device_seconds: of those, the ones in the compiled program; the rest is the host's work.
      occupancy: the share of the executed member-epochs that trained something.
      layout: the devices and slots it ran on; None when nothing had ended.
      warm: the strength of a warm path, or None.
    """

    recipe: Callable[[Any], Recipe]
    data: Dataset
    space: Space
    folds: Folds
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    stopping: EarlyStopping | None
    score: str
    columns: tuple[str, ...]
    history: np.ndarray
    epochs_run: np.ndarray
    best_epochs: np.ndarray
    status: np.ndarray
    compile_seconds: float
    run_seconds: float
    device_seconds: float
    occupancy: float
    layout: Layout | None
    warm: str | None = None

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """``(settings, folds, seeds)``; NaN for a training that diverged or was not finished."""
        return scores_of(self.history[..., self.columns.index(self.score)], self.best_epochs, self.status)

    def __repr__(self) -> str:
        settings, folds, seeds = self.status.shape
        best = f", best {self.score} {self.best.mean:.4f}" if self.finished else ""
        return f"Study({self.data.name}: {settings} settings x {folds} folds x {seeds} seeds{best})"

    @property
    def trainings_per_second(self) -> float:
        """Trainings that ended, over the seconds they ran, compilation left out."""
        return float((self.epochs_run > 0).sum() / self.run_seconds) if self.run_seconds else 0.0

    @property
    def maximize(self) -> bool:
        """Whether higher scores are better."""
        return higher_is_better(self.score)

    @functools.cached_property
    def results(self) -> tuple[SettingResult, ...]:
        """One `SettingResult` a setting, in the space's order."""
        means, errors = statistics.mean_and_standard_error(self.scores)
        return tuple(
            SettingResult(
                number,
                setting,
                float(means[number]),
                float(errors[number]),
                self.scores[number],
                self.epochs_run[number],
                self.best_epochs[number],
            )
            for number, setting in enumerate(self.space.settings)
        )

    @property
    def finished(self) -> bool:
        """Whether some setting has all its scores, so that there is a best."""
        return bool(np.isfinite(self._means()).any())

    def _check_finished(self) -> None:
        diverged = (self.status == training.DIVERGED).any(axis=(1, 2))
        if not self.finished and not diverged.all():
            counts = np.bincount(self.status.ravel(), minlength=len(training.STATUS))
            found = ", ".join(f"{count} {name}" for name, count in zip(training.STATUS, counts, strict=True) if count)
            raise ValueError(f"no setting has all its scores, so there is no best: the trainings are {found}")

    @property
    def best(self) -> SettingResult:
        """The setting with the best mean score; ValueError when none has all its scores."""
        self._check_finished()
        return self.results[statistics.best_of(self._means(), self.maximize)]

    @property
    def one_standard_error(self) -> SettingResult:
        """The most regularized setting within one standard error of the best, see `statistics.one_standard_error`."""
        self._check_finished()
        errors = np.array([result.standard_error for result in self.results])
        strengths = [statistics.regularization(self.space.axes, setting) for setting in self.space.settings]
        chosen = statistics.one_standard_error(self._means(), errors, np.array(strengths), self.maximize)
        return self.results[chosen]

    @property
    def ranking(self) -> list[SettingResult]:
        """The settings from the best mean score to the worst; those without one last, the longest trained first."""
        sign = -1 if self.maximize else 1
        return sorted(
            self.results, key=lambda r: (not np.isfinite(r.mean), sign * np.nan_to_num(r.mean), -r.epochs.sum())
        )

    def table(self, most: int | None = None) -> str:
        """The ranking as text, a line a setting; `most` shortens it."""
        return text.settings_table(self.rows()[:most], self.score)

    def rows(self) -> list[dict[str, Any]]:
        """The ranking as dicts: hyperparameters, mean, standard_error, epochs and note."""
        notes = {}
        if self.finished:
            best, simple = self.best.number, self.one_standard_error.number
            notes = {best: "best", simple: "1-SE rule"} if best != simple else {best: "best, 1-SE rule"}
        return [
            {
                **result.hyperparameters,
                "mean": result.mean,
                "standard_error": result.standard_error,
                "epochs": float(result.epochs.mean()),
                "note": notes.get(result.number, self._fault(result.number)),
            }
            for result in self.ranking
        ]

    def _fault(self, number: int) -> str:
        statuses = self.status[number]
        if (statuses == training.DIVERGED).any():
            return "diverged"
        if (statuses == training.PRUNED).any():
            ended = int((statuses != training.PRUNED).sum())
            count, unit = (ended, "training") if ended else (int(self.epochs_run[number].max()), "epoch")
            return f"dropped after {count} {unit}{'' if count == 1 else 's'}"
        return "not finished" if (statuses == training.RUNNING).any() else ""

    def plot(self) -> Any:
        """A matplotlib figure of the score against the strengths, with error bars."""
        best, simple = self.best.number, self.one_standard_error.number
        means, errors = self._means(), np.array([result.standard_error for result in self.results])
        return figures.scores(self.space, means, errors, self.score, best, simple, self.data.name)

    def plot_curves(self) -> Any:
        """A matplotlib figure of the learning curves of the best and the worst setting."""
        finite = [result for result in self.ranking if np.isfinite(result.mean)]
        chosen = {"best": self.best, "worst": finite[-1]}
        loss, score = ("train_loss", "val_loss"), ("train_" + self.score[4:], self.score)
        panels = [loss] if score == loss else [loss, score]
        curves = {
            f"{label}: {describe(result.hyperparameters)}": {
                column: self.history[result.number, ..., self.columns.index(column)].reshape(-1, self.epochs)
                for pair in panels
                for column in pair
            }
            for label, result in chosen.items()
        }
        return figures.curves(curves, panels, self.data.name)

    def to_pandas(self) -> Any:
        """One row a training as a pandas DataFrame (pandas is not a dependency of jreg)."""
        import pandas  # ty: ignore[import-not-found]  # not a dependency

        return pandas.DataFrame(self.trainings())

    def trainings(self) -> list[dict[str, Any]]:
        """One dict a training: hyperparameters, fold, seed, score, epochs, best_epoch and status."""
        places = np.ndindex(self.status.shape)
        return [
            {
                **self.space.settings[setting],
                "fold": fold,
                "seed": self.seeds[seed],
                "score": float(self.scores[setting, fold, seed]),
                "epochs": int(self.epochs_run[setting, fold, seed]),
                "best_epoch": int(self.best_epochs[setting, fold, seed]),
                "status": training.STATUS[self.status[setting, fold, seed]],
            }
            for setting, fold, seed in places
        ]

    def to_json(self) -> dict[str, Any]:
        """The findings as a dict of plain values, NaN as None."""
        found: dict[str, Any] = {
            "data": self.data.name,
            "score": self.score,
            "trainings": int(self.status.size),
            "compile_seconds": self.compile_seconds,
            "run_seconds": self.run_seconds,
            "device_seconds": self.device_seconds,
            "occupancy": self.occupancy,
            "devices": len(self.layout.devices) if self.layout else 0,
            "layout": str(self.layout),
            "trainings_per_second": self.trainings_per_second,
            "settings": [
                {
                    "hyperparameters": result.hyperparameters,
                    "scores": result.scores.tolist(),
                    "mean": result.mean,
                    "standard_error": result.standard_error,
                    "epochs": result.epochs.tolist(),
                }
                for result in self.results
            ],
        }
        if self.finished:
            found |= {
                "best": self.best.hyperparameters,
                "best_mean": self.best.mean,
                "best_standard_error": self.best.standard_error,
                "one_standard_error": self.one_standard_error.hyperparameters,
            }
        return files.plain(found)

    def save(self, folder: str | Path) -> Path:
        """Writes results.json, settings.csv, trainings.csv and curves.csv into `folder`."""
        return files.write(folder, self.to_json(), self.rows(), self.trainings(), self._curve_rows())

    def _curve_rows(self) -> Iterable[dict[str, Any]]:
        for setting, fold, seed in np.ndindex(self.status.shape):
            for epoch in range(self.epochs_run[setting, fold, seed]):
                values = self.history[setting, fold, seed, epoch]
                yield {
                    "setting": setting,
                    "fold": fold,
                    "seed": self.seeds[seed],
                    "epoch": epoch,
                    **dict(zip(self.columns, map(float, values), strict=True)),
                }

    def _means(self) -> np.ndarray:
        return np.array([result.mean for result in self.results])
