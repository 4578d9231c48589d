"""What decides which trainings run: what it sees and what it answers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jreg.engine import Executor
from jreg.results import Results, Spec
from jreg.search.space import Setting
from jreg.study.design import Design, Trainings
from jreg.study.ledger import Identity, Ledger
from jreg.training import Status

# What a policy did, as plain values that a file can hold.
Entry = dict[str, Any]


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
        keys = [(s, f, k) for s, f, k in self._ledger.identities(np.asarray(found.id, np.int64)).tolist()]
        return {key: history[:epochs] for key, epochs, history in zip(keys, found.epochs, found.history, strict=True)}

    def open(self, setting: int) -> list[Identity]:
        """The trainings of a setting that have been started and have not ended."""
        return self._ledger.open(setting)

    def missing(self, wanted: Trainings) -> Trainings:
        """Those of `wanted` that have not ended; of a path all, when one of it has not."""
        spec = self.design.spec
        numbers = np.array([fold.number for fold in spec.folds], np.int64)[wanted.folds]
        left = np.zeros(len(numbers), bool)
        for settings in wanted.settings.T:
            left |= self.results.statuses(settings, numbers, wanted.seeds) == Status.WAITING
        return wanted.take(left)


class Policy(Protocol):
    """What decides which trainings run."""

    def next(self, view: View) -> Decision:
        """What is wanted, given what has been found."""
        ...


@runtime_checkable
class Replayed(Protocol):
    """A policy whose decisions depend on more than the results, so that a study that goes on needs its log."""

    def log(self) -> list[Entry]:
        """What it has decided since the last call."""
        ...

    def replay(self, entries: Sequence[Entry], design: Design, stored: Spec) -> Design:
        """Brings it to where it was after these decisions; returns the design with the settings that it has added.

        Raises:
          ValueError: it would decide otherwise now.
        """
        ...
