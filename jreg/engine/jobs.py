"""What goes into the compiled program and what comes out of it, as pytrees."""

from __future__ import annotations

from typing import Any, NamedTuple

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.training import TrainState


class Job(NamedTuple):
    """One training to do; as arrays with a leading axis, many.

    It may be a path of several stages, in which each training starts from the network that the one before it left.

    Attributes:
      id: ``(stages,)`` int32, this process's short names for its trainings.
      hp: the traced hyperparameters, ``(stages,)`` float32 each.
      fold: which of the engine's folds, int32.
      keys: `jreg.training.streams_on_host` of its seed and fold, ``(6, words)`` uint32.
      epochs: how many each of its trainings has, int32.
      limit: the epochs to which they are trained now, int32; below `epochs` for a rung of a race.
    """

    id: Any
    hp: dict[str, Any]
    fold: Any
    keys: Any
    epochs: Any
    limit: Any


class Slot(NamedTuple):
    """A place for one training.

    Attributes:
      job: what is in it.
      state: its state.
      stage: which of the job's trainings it is; as many as there are stages when the slot is free.
      busy: whether it is in training or its outcome is still to be collected.
    """

    job: Job
    state: TrainState
    stage: Any
    busy: Any


class Outcome(NamedTuple):
    """What a training leaves.

    Attributes:
      id: its job's.
      status: a `Status`; WAITING for one that was trained to its limit only.
      limit: the epochs to which it was to be trained.
      epochs: how many were run.
      best_epoch: the zero-based one whose parameters and score count; -1 when no value was ever finite.
      history: ``(epochs, columns)``; NaN where not run, on the device 0.
      kept: what the keep functions returned.
    """

    id: Any
    status: Any
    limit: Any
    epochs: Any
    best_epoch: Any
    history: Any
    kept: dict[str, PyTree]

    __repr__ = brief


class Work(NamedTuple):
    """What a device gets for one call.

    Attributes:
      queue: jobs that wait, in order.
      length: how many they are.
      drop: a flag for each slot, whether its training is to be given up.
      more: whether more wait behind the queue.
      budget: of epochs.
    """

    queue: Any
    length: Any
    drop: Any
    more: Any
    budget: Any


class Counts(NamedTuple):
    """A device's call: jobs taken, outcomes, epochs that trained something, and epochs that were paid for."""

    taken: Any
    ended: Any
    useful: Any
    executed: Any
