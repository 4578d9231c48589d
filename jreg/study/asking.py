"""The policy of a search: settings are asked for while slots are free, and the search receives results as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base.names import cut
from jreg.results import Found, Spec, canonical
from jreg.search.asking import Asker, Ending, SharedAsker
from jreg.search.space import Setting
from jreg.study import errors
from jreg.study.design import Design, Trainings
from jreg.study.ledger import Identity
from jreg.study.policy import Decision, Entry, View


class Asking:
    """Asks for settings, and tells how they do.

    Args:
      asker: what is asked.
      trials: how many settings to ask for.
      every: epochs that are trained before the asker receives their scores.
      first: the first trial, whose setting the design has.
      owner: of an asker that is shared, what its trials know this process by.
    """

    def __init__(self, asker: Asker, trials: int, every: int, first: Any, owner: Mapping[str, str] | None = None):
        self._asker, self._trials, self._every = asker, trials, every
        self._shared = asker if isinstance(asker, SharedAsker) and asker.shared else None
        self.owner = owner or {}
        self._open: dict[int, Any] = {0: first}
        self._asked = 0
        self._told: dict[int, int] = {}
        self._log: list[Entry] = []
        # Whether trials of an earlier process are to be gone on with, and whether what they left is to be told.
        self._goes_on = self._follows = False

    def log(self) -> list[Entry]:
        """What was asked, reported and told."""
        found, self._log = self._log, []
        return found

    def replay(self, entries: Sequence[Entry], design: Design, stored: Spec) -> Design:
        """Asks, reports and tells once more, so that the asker knows what it knew; returns the design with all trials.

        Raises:
          ValueError: it answers otherwise than it did.
        """
        for entry in entries:
            if "ask" in entry:
                number = entry["ask"]
                setting = stored.settings[number] if self._shared is not None else design.spec.settings[0]
                if self._shared is not None:
                    self._open[number] = self._shared.recall(entry["trial"])
                elif number:
                    [setting] = self._ask()
                if canonical(setting) != canonical(stored.settings[number]):
                    raise ValueError(
                        f"the search asked for {cut(str(stored.settings[number]))} as trial {number}, but asks for "
                        f"{cut(str(setting))} now: give its sampler the same seed, or begin a new study"
                    )
                design = errors.appended(design, setting)[0] if number else design
                self._asked = number + 1
            elif "report" in entry:
                number, epoch, mean, went_on = entry["report"]
                if self._shared is None and self._report(number, epoch, _float(mean)) != went_on:
                    raise ValueError(f"the search decides otherwise about trial {number} than it did: give it its seed")
                self._told[number] = epoch
            else:
                number, ending, mean = entry["tell"]
                if self._shared is not None:
                    # It has remembered.
                    del self._open[number]
                    self._told.pop(number, None)
                else:
                    self._end(number, ending, None if ending != "complete" else _float(mean))
        if self._shared is not None:
            self._shared.forget(self.owner, {entry["trial"] for entry in entries if "ask" in entry})
        self._log, self._goes_on = [], bool(entries)
        return design

    def next(self, view: View) -> Decision:
        """Tells what is new about the open trials, and asks for one where a slot is free."""
        cancel: list[Identity] = []
        if self._goes_on:
            # An asker that goes on first has its trials in slots again, and then hears what they have left so far.
            self._goes_on, self._follows = False, True
            start = [view.missing(self._start(view, number)) for number in self._open if number < self._asked]
            return Decision(start=start, again=True, epochs=self._every, total=self._total(view))
        if view.advanced or self._follows:
            for number in list(self._open):
                cancel += self._follow(view, number)
        self._follows = False
        wanted: dict[str, Any] = {"cancel": cancel, "epochs": self._every, "total": self._total(view)}
        # What is given up frees a slot, or leaves the line.
        free = view.is_new or view.free + len(cancel) > 0
        if free and (self._shared is not None or self._asked < self._trials):
            settings = self._ask() if self._asked else ()
            if settings or not self._asked:
                number, self._asked = self._asked, self._asked + 1
                self._log.append({"ask": number} | self._named(number))
                return Decision(start=[self._start(view, number)], settings=settings, again=True, **wanted)
        return Decision(done=not self._open and not view.busy, **wanted)

    def _total(self, view: View) -> int | None:
        """How many trainings there will be; which of a search with others, only its end shows."""
        _, folds, seeds = view.results.shape
        return None if self._shared is not None else self._trials * folds * seeds

    def _ask(self) -> tuple[Setting, ...]:
        """The setting of the next trial; none where the processes that share a search have asked for all."""
        asked = self._asker.ask() if self._shared is None else self._shared.ask_within(self._trials, self.owner)
        if asked is None:
            return ()
        self._open[self._asked], setting = asked
        return (dict(setting) if isinstance(setting, Mapping) else setting,)

    def _named(self, number: int) -> Entry:
        return {} if self._shared is None else {"trial": self._shared.name(self._open[number])}

    def _start(self, view: View, number: int) -> Trainings:
        spec = view.design.spec
        folds = np.repeat(np.arange(len(spec.folds)), len(spec.seeds))
        seeds = np.tile(np.asarray(spec.seeds, np.int64), len(spec.folds))
        return Trainings(np.full((len(folds), 1), number), folds, seeds, spec.epochs, spec.epochs)

    def _follow(self, view: View, number: int) -> list[Identity]:
        """Tells what is new about a trial; returns the trainings to give up."""
        spec = view.results.spec
        keys = [(number, fold.number, seed) for fold in spec.numbered() for seed in spec.seeds]
        rows = [view.results.get(*key) for key in keys]
        instead = spec.score_of_errors
        if np.isnan(instead) and any(row is not None and row.status.is_error for row in rows):
            self._end(number, "failed")
            return view.open(number)
        place = spec.columns.index(spec.score)
        curves = [
            (_before_error(row) if row is not None else view.running.get(key, np.empty((0, place + 1))))[:, place]
            for key, row in zip(keys, rows, strict=True)
        ]
        finals = [
            None
            if row is None
            else instead
            if row.status.is_error
            else float(row.history[max(row.best_epoch, 0), place])
            for row in rows
        ]
        for epoch, mean in self._news(number, curves, finals):
            goes_on = self._report(number, epoch, mean)
            # Nothing is left to give up where all trainings have ended.
            if not goes_on and (left := view.open(number)):
                self._end(number, "pruned")
                return left
        if all(row is not None for row in rows):
            mean = float(np.mean([final for final in finals if final is not None]))
            self._end(number, "complete" if np.isfinite(mean) else "failed", mean)
        return []

    def _news(self, number: int, curves: list[np.ndarray], finals: list[float | None]) -> list[tuple[int, float]]:
        """The (epoch from 1, mean score) that all trainings of a trial have reached since the last call.

        A training that has ended counts with its score in the epochs that it no longer ran.
        """
        longest = max(map(len, curves))
        reached = min((len(c) for c, final in zip(curves, finals, strict=True) if final is None), default=longest)
        begin = self._told.get(number, 0)
        self._told[number] = end = max(begin, min(reached, longest))
        found = []
        for epoch in range(begin, end):
            values = [float(c[epoch]) if epoch < len(c) else f for c, f in zip(curves, finals, strict=True)]
            found.append((epoch + 1, float(np.mean(np.array(values, np.float64)))))
        return found

    def _report(self, number: int, epoch: int, mean: float) -> bool:
        goes_on = self._asker.report(self._open[number], epoch, mean)
        if not isinstance(goes_on, bool | np.bool_):
            raise TypeError(f"the asker's report returned {goes_on!r}, but must say whether the trial goes on")
        self._log.append({"report": [number, epoch, mean, bool(goes_on)]})
        return bool(goes_on)

    def _end(self, number: int, ending: Ending, score: float | None = None) -> None:
        self._told.pop(number, None)
        self._asker.tell(self._open.pop(number), score if ending == "complete" else None, ending)
        self._log.append({"tell": [number, ending, score]})

    def close(self, lasts: bool = False) -> None:
        """Tells trials that have not ended as failed; of a shared search that `lasts` they wait for who goes on."""
        for number in [] if lasts and self._shared is not None else list(self._open):
            if self._shared is None:
                self._end(number, "failed")
            else:
                self._shared.drop(self._open.pop(number))


def _float(value: Any) -> float:
    """A number of the log, whose NaN is None and whose infinities are text."""
    return float("nan") if value is None else float(value)


def _before_error(row: Found) -> np.ndarray:
    """The history of a training, without the epoch in which it diverged."""
    return row.history[:-1] if row.status.is_error else row.history
