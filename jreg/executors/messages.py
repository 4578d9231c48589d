"""What a driver and its workers tell each other, and what carries it."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from jreg.data import Dataset
from jreg.engine import Job, Outcome, Running
from jreg.splits import Folds
from jreg.training import Plan

# Slots and batch of a plan's program on each device.
Slots = tuple[int, int]


class Shared(NamedTuple):
    """What all workers of a study have, and receive once.

    Attributes:
      data: what is trained on.
      folds: NumPy arrays.
      trainings: how many each worker will have, about; the layout goes by it on accelerators.
      turns: whether trainings are followed epoch by epoch, as a search needs.
      together: trainings that are to be in slots at once.
    """

    data: Dataset
    folds: Folds
    trainings: int
    turns: bool = False
    together: int = 1


class Step(NamedTuple):
    """What a worker is asked to do next.

    Attributes:
      generation: a worker that meets a new one forgets the trainings that it has.
      blocks: jobs that it gets, each with the number of its plan.
      layouts: of plans in `blocks` that have trained before, here or elsewhere.
      drop: the ids of trainings that are given up.
      epochs: how many to train every slot; default: for about `seconds`.
      seconds: after which to answer.
    """

    generation: int
    blocks: tuple[tuple[int, Job], ...] = ()
    layouts: Mapping[int, Slots] = {}
    drop: tuple[int, ...] = ()
    epochs: int | None = None
    seconds: float = 0.5


class Raised(NamedTuple):
    """An error on a worker.

    Attributes:
      classes: the names of its class and of those above it.
      text: what it says.
      traceback: where it was raised.
      lacks_memory: whether the worker had too little memory.
    """

    classes: tuple[str, ...]
    text: str
    traceback: str
    lacks_memory: bool = False

    @classmethod
    def of(cls, error: Exception) -> Raised:
        """An error as text, which is read where its class isn't known."""
        classes = tuple(one.__name__ for one in type(error).__mro__)
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
            causes.append(cause)
        lacks_memory = any(isinstance(one, MemoryError) or "RESOURCE_EXHAUSTED" in str(one) for one in causes)
        return cls(classes, text, "".join(traceback.format_exception(error)), lacks_memory)

    def error(self) -> Exception:
        """The error, or the nearest one of Python's own; its cause shows the traceback of the worker."""
        found: Exception = RuntimeError(f"{self.classes[0]}: {self.text}")
        for name in self.classes:
            known = getattr(builtins, name, None)
            if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
                own = name == self.classes[0]
                try:
                    found = known(self.text if own else f"{self.classes[0]}: {self.text}")
                except TypeError:  # it takes more than a text
                    continue
                break
        found.__cause__ = OnWorker(f'\n"""\n{self.traceback}"""')
        return found


class OnWorker(Exception):  # noqa: N818  # it is never raised, and says where the traceback is from
    """The traceback of an error on a worker."""


class Answer(NamedTuple):
    """What a worker has done.

    Attributes:
      generation: of the step.
      outcomes: of the trainings that ended, NumPy arrays with a leading axis.
      running: the trainings that are under way.
      layouts: the slots of the programs that it has begun, by the numbers of their plans.
      devices: on which it trains, and of which kind.
      compile_seconds, run_seconds, useful, executed: as in `jreg.engine.Chunk`.
      seconds: that it took.
      raised: an error that ended it; the worker then has no trainings.
    """

    generation: int
    outcomes: tuple[Outcome, ...] = ()
    running: Running | None = None
    layouts: Mapping[int, Slots] = {}
    devices: tuple[int, str] = (1, "cpu")
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    useful: int = 0
    executed: int = 0
    seconds: float = 0.0
    raised: Raised | None = None


class Answered(NamedTuple):
    """A worker has answered the oldest step that it hadn't answered."""

    worker: int
    answer: Answer


class Lost(NamedTuple):
    """A worker has died, and what it had is lost; it is being started again."""

    worker: int
    why: str


class Ready(NamedTuple):
    """A worker that had died is there again."""

    worker: int


class Gone(NamedTuple):
    """A worker doesn't come back."""

    worker: int
    why: str


class Crew(Protocol):
    """Workers, and what carries messages to and from them.

    Attributes:
      count: how many workers there are.
    """

    count: int

    def send(self, worker: int, step: Step, plans: Mapping[int, Plan]) -> None:
        """Has a worker do a step after those that it was sent before; `plans` has those of the step's blocks."""
        ...

    def receive(self, seconds: float) -> Sequence[Answered | Lost | Ready | Gone]:
        """What has happened, as soon as something has, or nothing after so many seconds."""
        ...

    def restart(self, worker: int) -> None:
        """Ends a worker that doesn't answer; it is lost, and started again."""
        ...
