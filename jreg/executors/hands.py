"""What a driver knows of each worker: the trainings in its hands, and how fast it is."""

from __future__ import annotations

import dataclasses
import enum
import math
import time
from collections import deque
from collections.abc import Iterable

import jax
import numpy as np

from jreg.engine import Job, Outcome, Running
from jreg.executors.messages import Answer


class State(enum.Enum):
    """How a worker stands."""

    READY = "takes trainings"
    LATE = "hasn't answered in time, and its trainings have been given to others"
    AWAY = "has died, and is being started again"
    GONE = "doesn't come back"


@dataclasses.dataclass
class Held:
    """A job in a worker's hands.

    Attributes:
      plan: the number of its plan.
      jobs: the block that it is one of.
      row: which one.
      left: the ids of its trainings that have not ended; a path has several.
    """

    plan: int
    jobs: Job
    row: int
    left: set[int]

    @property
    def first(self) -> int:
        """The id of its first training, by which it is known."""
        return int(self.jobs.id[self.row, 0])


@dataclasses.dataclass
class Call:
    """A step that hasn't been answered.

    Attributes:
      generation: of the worker, when it was sent.
      drop: what it gives up.
      compiles: whether it has jobs of a plan that the worker hasn't trained yet.
    """

    generation: int
    drop: tuple[int, ...]
    compiles: bool


@dataclasses.dataclass
class Hand:
    """A worker, as the driver knows it.

    Attributes:
      together: slots to expect before it has said how many it has.
      state: how it stands.
      generation: grows when what it has is taken from it.
      held: its jobs, by their first id.
      calls: that it hasn't answered, the oldest first.
      since: when the oldest call can have begun.
      known: numbers of the plans that it has trained.
      cancelled: ids that it is to give up and hasn't been told to.
      devices: how many it has, and of which kind; None before it has said.
      slots: on all devices.
      running: what it has in slots.
      ended, worked: trainings that ended, and seconds that it trained.
    """

    together: int
    state: State = State.READY
    generation: int = 0
    held: dict[int, Held] = dataclasses.field(default_factory=dict)
    calls: deque[Call] = dataclasses.field(default_factory=deque)
    since: float = 0.0
    known: set[int] = dataclasses.field(default_factory=set)
    cancelled: set[int] = dataclasses.field(default_factory=set)
    devices: tuple[int, str] | None = None
    slots: int | None = None
    running: Running | None = None
    ended: int = 0
    worked: float = 0.0

    @property
    def lanes(self) -> int:
        """Trainings that it has in slots at once."""
        return self.together if self.slots is None else self.slots

    @property
    def free(self) -> int:
        """Slots that nothing in its hands will take; those of what is given up count."""
        if self.state is not State.READY:
            return 0
        return self.lanes - len(self.held) + len(self.cancelled & set(self.held))

    def ahead(self, seconds: float) -> int:
        """How many trainings it ends in this time, going by those so far; 0 where none has."""
        return math.ceil(seconds * self.ended / self.worked) if self.ended and self.worked else 0

    def forget(self) -> list[Held]:
        """Takes everything from it that hasn't been given up; what it still answers isn't wanted any more."""
        found = [held for first, held in self.held.items() if first not in self.cancelled]
        self.held, self.cancelled, self.running = {}, set(), None
        self.generation += 1
        return found

    def silent(self) -> float:
        """For how many seconds it has owed an answer."""
        return time.monotonic() - self.since if self.calls else 0.0

    def heard(self, answer: Answer) -> None:
        """Notes what it says of itself."""
        self.devices, self.running = answer.devices, answer.running
        self.worked += max(0.0, answer.seconds - answer.compile_seconds)
        slots = [slots for slots, _ in answer.layouts.values()]
        if slots:
            self.slots = answer.devices[0] * slots[-1]

    def wanted(self, outcome: Outcome) -> Outcome | None:
        """The part of an outcome that is of trainings in its hands, which have ended now."""
        mask = np.array([self._ends(number) for number in np.asarray(outcome.id).tolist()], bool)
        if mask.all():
            return outcome if len(mask) else None
        return _taken(outcome, mask) if mask.any() else None

    def _ends(self, number: int) -> bool:
        for first, held in self.held.items() if number not in self.held else [(number, self.held[number])]:
            if number in held.left:
                held.left.discard(number)
                if not held.left:
                    del self.held[first]
                return True
        return False

    def dropped(self, ids: Iterable[int]) -> None:
        """Forgets jobs that it has given up."""
        for number in ids:
            self.held.pop(number, None)
            self.cancelled.discard(number)


def _taken(outcome: Outcome, mask: np.ndarray) -> Outcome:
    return jax.tree.map(lambda leaf: leaf[mask], outcome)
