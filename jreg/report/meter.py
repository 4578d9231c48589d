"""Counting what a study does while it trains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from jreg.engine import Chunk, Layout
from jreg.report.progress import Progress
from jreg.results import Results, Stretch, Trained
from jreg.training import Status

# By status.
_HAS_SCORE, _IS_ERROR = (np.array([getattr(s, name) for s in Status]) for name in ("has_score", "is_error"))
# Settings that are named while a study trains.
_LEADERS = 5


class Meter:
    """Counts what a study does, at the same cost for each training however many there are.

    Args:
      results: of the study, whose timing it fills.
    """

    def __init__(self, results: Results):
        # An earlier run of the same study took its time.
        self._results, self._clock = results, time.perf_counter() - results.timing.run_seconds
        self._clock -= results.timing.compile_seconds
        # Of the scores of each setting, and how many they are.
        self._sums, self._counts = np.zeros(0), np.zeros(0, np.int64)
        # Mean and number of the best settings that are finished, the best first.
        self._leaders: list[tuple[float, int]] = []
        before = results.trained()
        # What an earlier run of the same study did counts, but not in its speed.
        self._before = self._done = self._total = int((before.status != Status.WAITING).sum())
        self._running = self._round = 0
        self._rounds, self._given = 1, False
        self._began = results.timing.run_seconds
        self._layout: Layout | None = None
        # Trainings given up since the last chunk, running or not.
        self._pruned = 0
        self._rank(before)

    def _seconds(self) -> float:
        return time.perf_counter() - self._clock - self._results.timing.compile_seconds

    def begin(self, decision: Any) -> None:
        """Begins a round of a race, where `decision` is of another one than before."""
        self._pruned += len(decision.cancel)
        if decision.total is not None:
            self._total, self._given = decision.total, True
        if decision.round != self._round:
            self._done = self._total = self._running = self._before = 0
            self._began = self._seconds()
        self._round, self._rounds = decision.round, decision.rounds

    def started(self, count: int) -> None:
        """Counts trainings that are to be done."""
        self._total += 0 if self._given else count

    def given_up(self, count: int) -> None:
        """Counts trainings that were started and are not wanted any more."""
        self._done += count

    def add(self, chunk: Chunk, found: Sequence[Trained]) -> None:
        """Counts what a chunk has done; `found` are trainings that have not been counted before."""
        self._done += sum(map(len, found))
        self._running = chunk.running
        # The one it began with: the last trainings may have been moved into fewer slots.
        self._layout = self._layout or chunk.layout
        timing = self._results.timing
        timing.compile_seconds += chunk.compile_seconds
        timing.device_seconds += chunk.run_seconds
        timing.useful += chunk.useful
        timing.executed += chunk.executed
        timing.layout, timing.devices = str(self._layout), len(self._layout.devices)
        timing.run_seconds = self._seconds()
        timing.add(self._stretch(chunk, found))
        for some in found:
            self._rank(some)

    def _stretch(self, chunk: Chunk, found: Sequence[Trained]) -> Stretch:
        """What has been done since the last chunk."""
        timing, counts = self._results.timing, np.zeros(len(Status), np.int64)
        for some in found:
            counts += np.bincount(some.status, minlength=len(Status))
        pruned, self._pruned = int(counts[Status.PRUNED]) + self._pruned, 0
        return Stretch(
            end=timing.run_seconds + timing.compile_seconds,
            compile_seconds=chunk.compile_seconds,
            device_seconds=chunk.run_seconds,
            useful=chunk.useful,
            executed=chunk.executed,
            running=chunk.running,
            slots=chunk.layout.lanes,
            completed=int(counts[Status.COMPLETED]),
            stopped=int(counts[Status.STOPPED]),
            pruned=pruned,
            failed=int(counts[Status.DIVERGED] + counts[Status.FAILED]),
        )

    def _rank(self, found: Trained) -> None:
        spec = self._results.spec
        validation = [fold.number for fold in spec.numbered()]
        counts = np.isin(found.fold, validation) & (found.status != Status.WAITING)
        found = found if counts.all() else found.take(counts)
        place, (settings, folds, seeds) = spec.columns.index(spec.score), self._results.shape
        if len(self._sums) < settings:
            more = max(settings, 2 * len(self._sums)) - len(self._sums)
            self._sums, self._counts = np.pad(self._sums, (0, more)), np.pad(self._counts, (0, more))
        scored = _HAS_SCORE[found.status] & (found.epochs > 0)
        scores = np.where(_IS_ERROR[found.status], spec.score_of_errors, np.nan)
        rows = np.flatnonzero(scored)
        scores[rows] = found.history[rows, np.maximum(found.best_epoch[rows], 0), place]
        np.add.at(self._sums, found.setting, scores)
        np.add.at(self._counts, found.setting, 1)
        ended = np.unique(found.setting)
        ended = ended[self._counts[ended] == folds * seeds]
        means = self._sums[ended] / (folds * seeds)
        ended, means = ended[np.isfinite(means)], means[np.isfinite(means)]
        newest = np.argsort(-means if spec.score.maximize else means, kind="stable")[:_LEADERS]
        leading = [*self._leaders, *zip(means[newest].tolist(), ended[newest].tolist(), strict=True)]
        self._leaders = sorted(leading, key=lambda one: one[0], reverse=spec.score.maximize)[:_LEADERS]

    def end(self) -> None:
        """Notes how long everything took."""
        self._results.timing.run_seconds = self._seconds()

    def progress(self, compiling: int = 0) -> Progress:
        """Where the study stands."""
        seconds = self._seconds() - self._began
        new = self._done - self._before
        left = seconds / new * (self._total - self._done) if new else None
        settings = self._results.spec.settings
        return Progress(
            done=self._done,
            total=self._total,
            best=self._leaders[0][0] if self._leaders else None,
            score=self._results.spec.score.label,
            seconds=self._seconds(),
            seconds_left=left,
            compiling=compiling,
            running=self._running,
            queued=max(0, self._total - self._done - self._running),
            per_second=new / seconds if new and seconds else None,
            round=self._round,
            rounds=self._rounds,
            layout=self._layout,
            leaders=tuple((settings[number], mean) for mean, number in self._leaders),
        )
