"""The host's side of a compiled program: who waits, who trains, and when the program gets which work."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg import training
from jreg._base.types import PyTree
from jreg.engine import compiled, groups
from jreg.engine import layout as layouts
from jreg.engine import saved as states
from jreg.engine.jobs import Job, Outcome, Work
from jreg.engine.layout import AXIS, Layout
from jreg.engine.memory import QUEUE
from jreg.engine.saved import Saved
from jreg.engine.waiting import Run, Waiting, chosen
from jreg.splits import Folds
from jreg.training import Plan, Rows, TrainState

# How long a call should take: long enough that the host's work is lost in it, short enough for progress and Ctrl-C.
_SECONDS = 0.5
# Calls get shorter as the queues do, down to this, so that what is left can be shared out evenly again.
_LEAST_SECONDS = 0.02
# To what part slots shrink at the end.
_SHRINK = 4
# Where slots never shrink: when they do depends on the clock, and on a CPU results are the same to the last bit.
_EXACT = ("cpu",)


class Chunk(NamedTuple):
    """What one call of a program did: outcomes and how long it took.

    Attributes:
      outcomes: of the trainings that ended, NumPy arrays with a leading axis; one block per program.
      compile_seconds: tracing and compiling, where the program was new.
      run_seconds: of the call, until its outcomes are there.
      useful: training-epochs that trained something.
      executed: training-epochs that were paid for: of the busiest device, times the devices, since the others wait.
      running: trainings that are in slots now.
      queued: jobs that wait for a slot.
      layout: where they train.
    """

    outcomes: tuple[Outcome, ...]
    compile_seconds: float
    run_seconds: float
    useful: int
    executed: int
    running: int
    queued: int
    layout: Layout


class Running(NamedTuple):
    """The trainings in slots, NumPy arrays with a leading axis: their ids, epochs and histories."""

    id: np.ndarray
    epochs: np.ndarray
    history: np.ndarray


class Pool:
    """The trainings of one compiled program.

    Args:
      plan: their static part.
      layout: the devices and slots; fewer slots where the device's memory holds no more.
      example: any job; jobs differ in their numbers alone.
      rows: the data; copied to each device once.
      folds: NumPy arrays.

    Raises:
      MemoryError: not even one training fits.
    """

    def __init__(self, plan: Plan, layout: Layout, example: Job, rows: Rows, folds: Folds):
        self.plan, self._example = plan, jax.tree.map(np.asarray, example)
        # Before the data lies there, which the program's account has, too.
        limit = layouts.memory(layout.devices[0], len(layout.devices))
        self._rows, self._folds = rows, folds
        self._waiting = Waiting()
        self._dropped: set[int] = set()
        self._in_slots = self._leaving = 0
        self._idle_seconds = 0.0
        self._epoch_seconds: float | None = None
        self._budget, self._ended, self._ended_epochs = 1, 0, 0
        self._compile(layout, limit)

    @property
    def lanes(self) -> int:
        """Trainings that run at once."""
        return self.layout.lanes

    @property
    def queued(self) -> int:
        """Jobs that no slot has taken."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Trainings in slots."""
        return self._in_slots

    @property
    def free(self) -> int:
        """Slots without a training, or with one that has been given up."""
        return self.lanes - self._in_slots + self._leaving

    def warn_of_sharing(self, trainings: int) -> None:
        """Says so where devices share trainings of which each could have one for itself, at no time lost."""
        layout, devices = self.layout, len(self.layout.devices)
        # In rounds of one training per device or group, where sharing costs nothing and makes each as much shorter.
        if not self._fits or -(-trainings // devices) * layout.data > -(-trainings // layout.groups):
            return
        warnings.warn(
            f"data={layout.data} has {layout.data} devices share each training, which wait for each other in every "
            f"step, but a training fits into the memory of one device, and {trainings} trainings keep {devices} "
            "devices busy: a layout without data trains them at least as fast",
            UserWarning,
            stacklevel=2,
        )

    def submit(self, jobs: Job) -> None:
        """Puts jobs, arrays with a leading axis, at the end of the queue."""
        self._waiting.append(Run(jobs, np.arange(len(jobs.fold))))

    def restore(self, jobs: Job, stage: np.ndarray, state: TrainState, place: np.ndarray) -> None:
        """Puts trainings into free slots with states that fit.

        Those that find none, and those that hadn't begun, start afresh, before all that wait.
        """
        self._slots, afresh = states.put_back(self.layout, self._slots, jobs, stage, state, place)
        self._in_slots = int(states.taken(self._slots).sum())
        self._waiting.put_back([Run(jobs, np.asarray(afresh))])

    def saved(self) -> Saved | None:
        """Copies of the trainings under way; None where there are none, or an interrupted call took their slots."""
        return states.saved(self.plan, self.layout, self._slots)

    def cancel(self, ids: Iterable[int]) -> None:
        """Gives up trainings: those in slots end as pruned at the next call, those that wait leave nothing."""
        dropped = set(ids)
        self._dropped |= dropped
        if dropped:
            self._waiting.drop(dropped)
            self._leaving = int((self._to_drop() & np.asarray(self._slots.busy)).sum())

    def advance(self, budget: int | None = None) -> Chunk:
        """Trains on: for `budget` epochs per slot, or for about half a second and less near the end."""
        if budget is None:
            self._shrink()
        lanes = self.layout.groups
        turn = self._waiting.take(lanes * QUEUE)
        work = self._work(turn, budget)
        self._dropped, self._leaving = set(), 0
        began = time.perf_counter()
        state = (self._slots, self._outbox)
        with self._alone():
            self._slots, self._outbox, counts = groups.advance(
                self.plan, self.layout, *state, work, self._rows, self._folds
            )
            counts = jax.tree.map(np.asarray, counts)
        # Everything above waits for the program, so this is its time.
        took = time.perf_counter() - began
        self._epoch_seconds = took / max(1, counts.executed.max() // self.layout.slots)
        # Jobs were dealt to the devices in turn.
        place = np.arange(_count(turn))
        self._waiting.put_back(chosen(turn, place // lanes >= counts.taken[place % lanes]))
        self._in_slots = int(states.taken(self._slots).sum())
        useful, executed = int(counts.useful.sum()), int(counts.executed.max()) * lanes
        self._idle_seconds = 0.0 if self._waiting else self._idle_seconds + took * (1 - useful / max(1, executed))
        finished = self._finished(counts.ended)
        self._ended, self._ended_epochs = self._ended + len(finished.epochs), self._ended_epochs + finished.epochs.sum()
        compile_seconds, self._compile_seconds = self._compile_seconds, 0.0
        there = (self._in_slots, len(self._waiting), self.layout)
        return Chunk((finished,), compile_seconds, took, useful, executed, *there)

    def snapshot(self) -> Running:
        """The trainings that are under way."""
        slots = self._slots
        busy = np.flatnonzero(np.asarray(slots.busy))
        stage = np.asarray(slots.stage)[busy]
        epochs = np.asarray(slots.state.epoch)[busy]
        history = _curves(np.asarray(slots.state.history)[busy], epochs)
        return Running(np.asarray(slots.job.id)[busy, stage], epochs, history)

    def network(self, wanted: int) -> tuple[PyTree, PyTree, PyTree]:
        """The (parameters, running averages, preprocessing statistics) that a training ended with.

        They are there as long as no other training has taken its slot.

        Raises:
          KeyError: another one has.
        """
        ids, stages = np.asarray(self._slots.job.id), np.asarray(self._slots.stage)
        # A slot whose job is done stands one stage further.
        last = np.clip(stages - 1, 0, ids.shape[1] - 1)
        free = ~np.asarray(self._slots.busy) & (np.asarray(self._slots.state.epoch) > 0)
        places = np.flatnonzero(free & (np.take_along_axis(ids, last[:, None], axis=1)[:, 0] == wanted))
        if not places.size:
            raise KeyError(f"no slot holds the network of training {wanted} any more")
        state = jax.tree.map(lambda leaf: jax.device_get(leaf)[int(places[0])], self._slots.state)
        return (*training.final_network(state), state.statistics)

    def _work(self, turn: Sequence[Run], budget: int | None) -> Work:
        lanes, count = self.layout.groups, _count(turn)
        blocks = [jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], jobs) for jobs, rows in turn]

        def queue(example: np.ndarray, *leaves: np.ndarray) -> np.ndarray:
            # One row per job, dealt to the devices in turn.
            room = np.zeros((QUEUE * lanes, *example.shape), example.dtype)
            if leaves:
                room[:count] = np.concatenate(leaves)
            return np.moveaxis(room.reshape(QUEUE, lanes, *example.shape), 0, 1)

        lengths = np.array([len(range(device, count, lanes)) for device in range(lanes)], np.int32)
        budget = self._epochs(count) if budget is None else budget
        more = np.bool_(len(self._waiting) > 0)
        return Work(jax.tree.map(queue, self._example, *blocks), lengths, self._to_drop(), more, np.int32(budget))

    def _epochs(self, given: int) -> int:
        """For how many epochs a slot is to train, when `given` jobs are handed out."""
        wanted = 4.0 * self._budget
        if self._epoch_seconds is not None:
            wanted = min(wanted, _SECONDS / self._epoch_seconds)
            if given and self._ended and not self._waiting:
                # Half of what the queues hold, going by the trainings so far: no device should wait for the others.
                held = given * self._example.id.shape[-1] * self._ended_epochs / self._ended / self.lanes
                wanted = min(wanted, max(held / 2, _LEAST_SECONDS / self._epoch_seconds))
        self._budget = int(np.clip(wanted, 1, 100_000))
        return self._budget

    def _to_drop(self) -> np.ndarray:
        if not self._dropped:
            return np.zeros(self.lanes, bool)
        return np.isin(np.asarray(self._slots.job.id)[:, 0], list(self._dropped))

    def text(self) -> str:
        """The program before compilation, which says all that its speed depends on."""
        work = self._work([], budget=0)
        state = (self._slots, self._outbox)
        slots, outbox, *given = groups.of_programs(self.layout, *state, work, self._rows, self._folds)[0]
        return compiled.lower(self.plan, self.layout.programs[0], (slots, outbox), *given).as_text()

    def _finished(self, ended: np.ndarray) -> Outcome:
        """A copy of the outcomes in the outboxes, which the next call writes over."""

        def gathered(leaf: Any) -> np.ndarray:
            if not ended.any():
                return np.empty((0, *leaf.shape[1:]), leaf.dtype)
            # Devices that share trainings have the same outcomes.
            shards = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
            shards.sort(key=lambda shard: shard.index[0].start or 0)
            return np.concatenate([np.asarray(s.data)[:count] for s, count in zip(shards, ended, strict=True)])

        found = jax.tree.map(gathered, self._outbox)
        return found._replace(history=_curves(found.history, found.epochs))

    def _shrink(self) -> None:
        """Moves the last trainings into fewer slots, once empty ones have cost as much as compiling does."""
        smaller = self.layout.with_slots(max(1, self.layout.slots // _SHRINK))
        lanes = self.layout.groups
        fit = smaller.slots < self.layout.slots and self._in_slots <= smaller.slots * lanes
        # Slots that run one by one are left out when they are empty.
        worth = self.layout.batch > 1 and fit and not self._waiting and self._idle_seconds >= self._compiling
        if not worth or self.layout.devices[0].platform in _EXACT:
            return
        taken = states.taken(self._slots)
        order = np.concatenate([np.flatnonzero(taken), np.flatnonzero(~taken)])
        order = order[: smaller.slots * lanes].reshape(-1, lanes).T.reshape(-1)
        chosen = jax.tree.map(lambda leaf: jax.device_get(leaf)[order], self._slots)
        # Fewer slots need no more memory than those that are there, whose own is still taken.
        self._compile(smaller, limit=None)
        self._slots = jax.device_put(chosen, NamedSharding(self.layout.mesh, PartitionSpec(AXIS)))
        self._idle_seconds = 0.0

    def _compile(self, layout: Layout, limit: int | None) -> None:
        found = compiled.compile_program(self.plan, layout, self._example, self._rows, self._folds, limit)
        self.layout, self._slots, self._outbox, self._rows, self._folds, seconds, self._fits = found
        self._compile_seconds = self._compiling = seconds
        self._alone = layouts.one_thread_per_device(self.layout)


def _count(turn: Sequence[Run]) -> int:
    return sum(len(run.rows) for run in turn)


def _curves(history: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Histories with NaN where not run."""
    return np.where((np.arange(history.shape[1]) < epochs[:, None])[..., None], history, np.float32(np.nan))
