"""The outcomes of a study while it runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jreg import training
from jreg.engine.layout import Layout
from jreg.engine.pool import Chunk
from jreg.report.progress import Progress
from jreg.search.racing import History, Race
from jreg.study.result import scores_of
from jreg.training import Plan
from jreg.training.stopping import higher_is_better


class Tally:
    """Arrays ``(settings, folds, seeds, ...)`` that are filled as trainings end.

    Args:
      shape: how many settings, folds and seeds there can be.
      columns: the history's columns.
      epochs: passes over the training rows at most.
      score: the column that ranks the settings.
    """

    def __init__(self, shape: tuple[int, int, int], columns: tuple[str, ...], epochs: int, score: str):
        self.shape = shape
        self._score, self._column = score, columns.index(score)
        self.history = np.full((*shape, epochs, len(columns)), np.nan, np.float32)
        self.epochs, self.best, self.status = (np.zeros(shape, np.int64) for _ in range(3))
        self.scores = np.full(shape, np.nan)
        # Scores as far as a training got, also of one that was not trained to its end.
        self.so_far = np.full(shape, np.nan)
        self.trained = np.zeros(shape, bool)
        self._told = np.zeros(shape[0], np.int64)
        self.layout: Layout | None = None
        self._plans: set[Plan] = set()
        self._clock, self._compile, self._device = time.perf_counter(), 0.0, 0.0
        self._useful = self._executed = 0
        self.begin(0)

    def widen(self, columns: int) -> None:
        """Makes room for columns that come after those there are."""
        more = np.full((*self.history.shape[:-1], columns - self.history.shape[-1]), np.nan, np.float32)
        self.history = np.concatenate([self.history, more], axis=-1)

    def begin(self, total: int, number: int = 0, rounds: int = 1) -> None:
        """Begins round `number` of so many, with `total` trainings."""
        self._done, self._total, self._began = 0, total, self._seconds()
        self.running = 0
        self._round, self._rounds = number, rounds

    def _seconds(self) -> float:
        return time.perf_counter() - self._clock - self._compile

    def is_first(self, plan: Plan) -> bool:
        """Whether this is the first time that the plan's program is needed."""
        new = plan not in self._plans
        self._plans.add(plan)
        return new

    def add(self, chunk: Chunk) -> None:
        """Notes what ended in a chunk."""
        found = chunk.outcomes
        place = np.unravel_index(found.number, self.shape)
        # A trial that was given up has been counted then.
        self._done += int((self.status[place] != training.PRUNED).sum())
        self.history[(*place, slice(None), slice(found.history.shape[-1]))] = found.history
        self.epochs[place], self.best[place], self.status[place] = found.epochs, found.best_epoch, found.status
        self.trained[place] = True
        values = found.history[..., self._column]
        self.scores[place] = scores_of(values, found.best_epoch, found.status)
        ended = np.where(found.status == training.RUNNING, training.COMPLETED, found.status)
        self.so_far[place] = scores_of(values, found.best_epoch, ended)
        self.running = chunk.running
        # The one it began with: the last trainings may have been moved into fewer slots.
        self.layout = self.layout or chunk.layout
        self._compile, self._device = self._compile + chunk.compile_seconds, self._device + chunk.run_seconds
        self._useful, self._executed = self._useful + chunk.useful, self._executed + chunk.executed

    def look(self, number: np.ndarray, epochs: np.ndarray, history: np.ndarray) -> None:
        """Notes the curves of trainings under way."""
        place = np.unravel_index(number, self.shape)
        self.history[(*place, slice(None), slice(history.shape[-1]))], self.epochs[place] = history, epochs

    def news(self, setting: int) -> list[tuple[int, float]]:
        """The (epoch from 1, mean score) that all trainings of a setting have reached since the last call.

        A training that has ended counts with its score in the epochs that it no longer ran.
        """
        ended = self.status[setting] != training.RUNNING
        reached = np.where(ended, self.history.shape[-2], self.epochs[setting]).min()
        longest = self.epochs[setting].max()
        begin, self._told[setting] = self._told[setting], max(self._told[setting], min(reached, longest))
        curves = self.history[setting, ..., self._column].astype(np.float64)
        later = np.arange(curves.shape[-1]) >= self.epochs[setting][..., None]
        filled = np.where(later & ended[..., None], self.scores[setting][..., None], curves)
        return [(epoch + 1, float(filled[..., epoch].mean())) for epoch in range(begin, self._told[setting])]

    def unended(self, number: np.ndarray) -> int:
        """How many of these trainings have not ended."""
        return int((self.status.reshape(-1)[number] == training.RUNNING).sum())

    @property
    def any_done(self) -> bool:
        """Whether some training has ended, so that there is something to write."""
        return bool(self.trained.any())

    def unfinished(self, epochs: int) -> np.ndarray:
        """Which trainings could still be trained to so many epochs."""
        return (self.status == training.RUNNING) & (self.epochs < epochs)

    def keep(self, race: Race, kept: np.ndarray, number: int, epochs: int, test_share: float) -> np.ndarray:
        """What the race's pruner says after round `number`.

        Raises:
          ValueError: it doesn't answer with one flag for each setting.
        """
        curves = self.history[..., self._column]
        maximize = higher_is_better(self._score)
        history = History(
            self.so_far.copy(), curves.copy(), self.trained.copy(), kept.copy(), number, epochs, maximize, test_share
        )
        keep = np.asarray(race.pruner(history))
        if keep.shape != kept.shape or keep.dtype != bool:
            raise ValueError(
                f"the race's pruner returned {keep.dtype} of shape {keep.shape}, but must return a flag for each of "
                f"the {len(kept)} settings"
            )
        return keep

    def drop(self, settings: np.ndarray | int) -> np.ndarray:
        """Marks the trainings of settings, flags or a number, that have not ended; returns their numbers."""
        chosen = np.zeros(self.shape, bool)
        chosen[settings] = self.status[settings] == training.RUNNING
        self.status[chosen] = training.PRUNED
        return np.flatnonzero(chosen)

    def give_up(self, setting: int) -> np.ndarray:
        """The same for a trial whose trainings are part of what is to be done."""
        dropped = self.drop(setting)
        self._done += len(dropped)
        return dropped

    def progress(self, compiling: int = 0) -> Progress:
        """Where the study stands."""
        seconds = self._seconds() - self._began
        left = seconds / self._done * (self._total - self._done) if self._done else None
        return Progress(
            done=self._done,
            total=self._total,
            best=self._best_mean(),
            score=self._score,
            seconds=self._seconds(),
            seconds_left=left,
            compiling=compiling,
            running=self.running,
            queued=self._total - self._done - self.running,
            per_second=self._done / seconds if self._done and seconds else None,
            round=self._round,
            rounds=self._rounds,
            layout=self.layout,
        )

    def _best_mean(self) -> float | None:
        means = self.scores.mean(axis=(1, 2))
        means = means[np.isfinite(means)]
        if not means.size:
            return None
        return float(means.max() if higher_is_better(self._score) else means.min())

    def findings(self, settings: int | None = None) -> dict[str, Any]:
        """The part of a `Study` that was measured, of the first so many settings or of all."""
        return {
            "history": self.history[:settings],
            "epochs_run": self.epochs[:settings],
            "best_epochs": self.best[:settings],
            "status": self.status[:settings],
            "compile_seconds": self._compile,
            "run_seconds": self._seconds(),
            "device_seconds": self._device,
            "occupancy": self._useful / max(1, self._executed),
            "layout": self.layout,
        }
