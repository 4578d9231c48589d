"""The one loop that conducts a study: a policy says what next, an executor trains, results and observers see it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jreg.engine import Chunk, Executor
from jreg.report.progress import Meter, Progress
from jreg.results import Found, Results, Spec
from jreg.search.space import Setting
from jreg.store import Nowhere
from jreg.study import errors
from jreg.study.baseline import baseline
from jreg.study.design import Design, Trainings
from jreg.training import Status

# (setting, fold number, seed), which tells a training from all others.
Identity = tuple[int, int, int]
Observer = Callable[[Progress], None]


class Decision(NamedTuple):
    """What a policy wants next.

    Attributes:
      start: trainings to start.
      cancel: trainings to give up, running or not.
      done: whether the study is over.
      epochs: how many to train until the policy is asked again; default: until some trainings have ended.
      settings: new settings of the study, which `start` may already name.
      again: whether to ask again before anything trains.
      total: how many trainings there will be, for the progress; default: as many as have been started in this round.
      round, rounds: of a race.
    """

    start: Sequence[Trainings] = ()
    cancel: Sequence[Identity] = ()
    done: bool = False
    epochs: int | None = None
    settings: Sequence[Setting] = ()
    again: bool = False
    total: int | None = None
    round: int = 0
    rounds: int = 1


class View:
    """What a policy sees.

    Attributes:
      design: what is asked so far.
      results: what has been found.
      is_new: whether this is the first look.
      advanced: whether something has been trained since the last one.
      free: how many slots there are that no waiting training will take.
      busy: whether anything trains or waits.
    """

    def __init__(self, design: Design, results: Results, executor: Executor, ledger: Ledger, advanced: bool | None):
        self.design, self.results = design, results
        self.is_new, self.advanced = advanced is None, bool(advanced)
        self.free, self.busy = executor.free, executor.busy
        self._executor, self._ledger = executor, ledger

    @functools.cached_property
    def running(self) -> dict[Identity, np.ndarray]:
        """The histories so far, ``(epochs, columns)``, of the trainings that are under way."""
        found = self._executor.running()
        keys = (self._ledger.identities[number][:3] for number in found.id)
        return {key: history[:epochs] for key, epochs, history in zip(keys, found.epochs, found.history, strict=True)}

    def open(self, setting: int) -> list[Identity]:
        """The trainings of a setting that have been started and have not ended."""
        return [key for key in self._ledger.open if key[0] == setting]


class Policy(Protocol):
    """What decides which trainings run."""

    def next(self, view: View) -> Decision:
        """What is wanted, given what has been found."""
        ...


class Store(Protocol):
    """What lasts."""

    def open(self, spec: Spec) -> Results:
        """The results that an earlier run has left, or none."""
        ...

    def append(self, found: Sequence[Found]) -> None:
        """Takes what trainings have left."""
        ...

    def close(self, results: Results) -> None:
        """Writes what is to be written at the end, also at an interruption."""
        ...


class Ledger:
    """Short names for trainings, in this process, and which of them have been started and have not ended."""

    def __init__(self) -> None:
        self.identities: list[tuple[int, int, int, str]] = []
        self.open: dict[Identity, int] = {}

    def enter(self, design: Design, wanted: Trainings) -> np.ndarray:
        """Names for trainings, in the shape of their settings."""
        first = len(self.identities)
        rows = [design.fold_rows(place) for place in range(len(design.spec.folds) + 1)]
        stages = wanted.settings.shape[1]
        for settings, fold, seed in zip(wanted.settings.tolist(), wanted.folds, wanted.seeds.tolist(), strict=True):
            for setting in settings:
                key = (setting, rows[fold].number, seed)
                self.open[key] = len(self.identities)
                self.identities.append((*key, rows[fold].role))
        return np.arange(first, len(self.identities)).reshape(-1, stages)

    def ended(self, ids: Iterable[int]) -> list[tuple[int, int, int, str]]:
        """The identities of trainings that have ended."""
        found = [self.identities[number] for number in ids]
        for number, (setting, fold, seed, _) in zip(ids, found, strict=True):
            # A training that was given up may have been started again since.
            if self.open.get((setting, fold, seed)) == number:
                del self.open[setting, fold, seed]
        return found


def run(
    design: Design,
    policy: Policy,
    executor: Executor,
    store: Store | None = None,
    observers: Sequence[Observer] = (),
) -> tuple[Design, Results]:
    """Trains what a policy wants until it is done.

    Args:
      design: what is asked.
      policy: what decides; `jreg.study.policies` has some.
      executor: who trains.
      store: what lasts; default: nothing but the results that are returned.
      observers: are called with a `Progress` when something is compiled or has been trained.

    Returns:
      The design, with the settings that the policy has added, and the results.
    """
    store = store or Nowhere()
    results = store.open(design.spec)
    ledger, meter = Ledger(), Meter(results)

    def tell(compiling: int = 0) -> None:
        progress = meter.progress(compiling)
        for observe in observers:
            observe(progress)

    executor.watch(tell)
    advanced: bool | None = None
    added = False
    try:
        while True:
            decision = policy.next(View(design, results, executor, ledger, advanced))
            if advanced:
                # After the policy, so that it knows of everything even when an observer ends the study.
                tell()
            if decision.done:
                break
            meter.begin(decision)
            failed: list[Found] = []
            for setting in decision.settings:
                design, without = errors.appended(design, setting)
                results.grow(design.spec)
                added, failed = True, failed + without
            if failed:
                results.add(failed)
                store.append(failed)
                meter.given_up(len(failed))
            meter.given_up(_cancel(executor, results, ledger, decision.cancel))
            for wanted in decision.start:
                if design.failed.intersection(wanted.settings.flat):
                    continue
                meter.started(wanted.settings.size)
                for plan, jobs in design.jobs(wanted, ledger.enter(design, wanted)):
                    executor.submit(plan, jobs)
            # The policy hears of failed settings as of what has been trained.
            advanced = bool(failed)
            if not decision.again and executor.busy:
                found = _advance(executor, results, ledger, meter, decision.epochs)
                store.append(found)
                errors.check(design.spec, found)
                advanced = True
    finally:
        # Also when Ctrl-C ends the study: what has been finished is kept.
        meter.end()
        if added:
            design = dataclasses.replace(design, spec=design.spec.listed())
            results.grow(design.spec)
        try:
            results.baseline = baseline(design)
        finally:
            # The baseline calls the recipe again, and whatever that raises, results are kept.
            store.close(results)
    return design, results


def _cancel(executor: Executor, results: Results, ledger: Ledger, keys: Sequence[Identity]) -> int:
    """Gives trainings up; returns how many of them had been started and had not ended."""
    running = [ledger.open.pop(key) for key in keys if key in ledger.open]
    if running:
        executor.cancel(running)
    results.prune(keys)
    return len(running)


def _advance(executor: Executor, results: Results, ledger: Ledger, meter: Meter, epochs: int | None) -> list[Found]:
    chunk: Chunk = executor.advance(epochs)
    found: list[Found] = []
    for outcome in chunk.outcomes:
        found += rows_of_outcome(outcome, ledger.ended(outcome.id.tolist()))
    fresh = [row for row in found if _status_of(results, row) != Status.PRUNED]
    results.add(found)
    meter.add(chunk, fresh)
    return found


def _status_of(results: Results, row: Found) -> Any:
    before = results.get(row.setting, row.fold, row.seed)
    return before.status if before else None


def rows_of_outcome(outcome: Any, identities: Sequence[tuple[int, int, int, str]]) -> list[Found]:
    """What the trainings of an engine's outcome left, given the (setting, fold, seed, role) of each."""
    found = []
    for number, (setting, fold, seed, role) in enumerate(identities):
        epochs = int(outcome.epochs[number])
        kept = jax.tree.map(lambda leaf, number=number: leaf[number], outcome.kept)
        status, best = Status(int(outcome.status[number])), int(outcome.best_epoch[number])
        history = outcome.history[number, :epochs]
        found.append(Found(setting, fold, seed, role, status, epochs, best, history, kept))
    return found
