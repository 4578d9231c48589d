"""The host's side of a population: who waits, who trains, and when a program gets which work."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg.engine import layout as layouts
from jreg.engine import program
from jreg.engine.layout import AXIS, Layout
from jreg.engine.program import Member, Outcome, Slot, Work
from jreg.splits import Folds
from jreg.training import Plan, Rows

# How many trainings a device is handed at a call, and how long a call should take: long enough that the host's
# work is lost in it, short enough for progress and Ctrl-C.
_QUEUE = 256
_SECONDS = 0.5
# Calls get shorter, down to so many seconds, as the lines do, so that what is left can be shared out evenly again.
_LEAST_SECONDS = 0.02
# The share of a device's memory that a program may fill, and to what part slots shrink at the end.
_SHARE = 0.9
_SHRINK = 4
# Where slots never shrink: when they do depends on the clock, and on a CPU results are the same to the last bit.
_EXACT = ("cpu",)


class Chunk(NamedTuple):
    """What one call of the program did: outcomes and how long it took.

    Attributes:
      outcomes: of the trainings that ended, NumPy arrays with a leading axis.
      compile_seconds: tracing and compiling, where the program was new.
      run_seconds: of the call, until its outcomes are there.
      useful: member-epochs that trained something.
      executed: member-epochs that were paid for: of the busiest device, times the devices, since the others wait.
      running: members that are in slots now.
      queued: members that wait for one.
      layout: where they train.
    """

    outcomes: Outcome
    compile_seconds: float
    run_seconds: float
    useful: int
    executed: int
    running: int
    queued: int
    layout: Layout


class Running(NamedTuple):
    """The trainings in the slots, NumPy arrays with a leading axis: their numbers, epochs and histories."""

    number: np.ndarray
    epochs: np.ndarray
    history: np.ndarray


class Population:
    """The trainings of one compiled program.

    Args:
      plan: their static part.
      layout: the devices and slots; fewer slots where the device's memory doesn't hold so many.
      example: any member; members differ in their numbers alone.
      rows: the data; copied to each device once.
      folds: of the study, NumPy arrays.

    Raises:
      MemoryError: not even one training fits.
    """

    def __init__(self, plan: Plan, layout: Layout, example: Member, rows: Rows, folds: Folds):
        replicated = NamedSharding(layout.mesh, PartitionSpec())
        self.plan = plan
        self._rows, self._folds = jax.device_put((rows, folds), replicated)
        # Kept whole, so that a place in line is a number; the first stands where there is none.
        self._members = jax.tree.map(lambda leaf: np.asarray(leaf)[None], example)
        self._waiting: list[int] = []
        self._dropped: set[int] = set()
        self._in_slots = 0
        self._idle_seconds = 0.0
        self._epoch_seconds: float | None = None
        self._budget, self._ended, self._ended_epochs = 1, 0, 0
        slots = self._compile(layout, layouts.memory(layout.devices[0], len(layout.devices)))
        self._slots = self._put(slots)

    @property
    def lanes(self) -> int:
        """Members that train at once."""
        return self.layout.slots * len(self.layout.devices)

    @property
    def queued(self) -> int:
        """Members that no slot has taken."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Members in slots."""
        return self._in_slots

    def add(self, members: Member) -> None:
        """Puts members, arrays with a leading axis, at the end of the line."""
        there = len(self._members.fold)
        self._waiting += range(there, there + len(members.fold))
        self._members = jax.tree.map(lambda old, new: np.concatenate([old, new]), self._members, members)

    def drop(self, numbers: Iterable[int]) -> None:
        """Gives up trainings: those in slots end as pruned at the next call, those in line leave nothing."""
        self._dropped |= set(numbers)
        self._waiting = [place for place in self._waiting if self._members.number[place, 0] not in self._dropped]

    def advance(self, budget: int | None = None) -> Chunk:
        """Trains on: for `budget` epochs a slot, or for about half a second and less near the end."""
        if budget is None:
            self._shrink()
        lanes = len(self.layout.devices)
        turn, self._waiting = self._waiting[: lanes * _QUEUE], self._waiting[lanes * _QUEUE :]
        given = [turn[device::lanes] for device in range(lanes)]
        work = self._work(given, budget)
        self._dropped = set()
        began = time.perf_counter()
        self._slots, outcomes, counts = program.program(self.layout)(
            self._slots, work, self._rows, self._folds, plan=self.plan, layout=self.layout
        )
        counts = jax.tree.map(np.asarray, counts)
        # Everything above waits for the program, so this is its time.
        took = time.perf_counter() - began
        self._epoch_seconds = took / max(1, counts.executed.max() // self.layout.slots)
        self._waiting = sorted(sum((line[n:] for line, n in zip(given, counts.taken, strict=True)), self._waiting))
        self._in_slots = int(self._taken().sum())
        useful, executed = int(counts.useful.sum()), int(counts.executed.max()) * lanes
        self._idle_seconds = 0.0 if self._waiting else self._idle_seconds + took * (1 - useful / max(1, executed))
        finished = self._finished(outcomes, counts.ended)
        self._ended, self._ended_epochs = self._ended + len(finished.epochs), self._ended_epochs + finished.epochs.sum()
        compile_seconds, self._compile_seconds = self._compile_seconds, 0.0
        left = (self._in_slots, len(self._waiting), self.layout)
        return Chunk(finished, compile_seconds, took, useful, executed, *left)

    def _taken(self) -> np.ndarray:
        """Which slots have a member: it may be between two stages of its path when a call ends."""
        slots = self._slots
        return np.asarray(slots.busy) | (np.asarray(slots.stage) < slots.member.number.shape[-1])

    def snapshot(self) -> Running:
        """The trainings that are under way."""
        slots = self._slots
        busy = np.flatnonzero(np.asarray(slots.busy))
        stage = np.asarray(slots.stage)[busy]
        epochs = np.asarray(slots.state.epoch)[busy]
        history = _curves(np.asarray(slots.state.history)[busy], epochs)
        return Running(np.asarray(slots.member.number)[busy, stage], epochs, history)

    def _work(self, given: list[list[int]], budget: int | None) -> Work:
        lines = np.array([line + [0] * (_QUEUE - len(line)) for line in given])
        queue = jax.tree.map(lambda leaf: leaf[lines], self._members)
        lengths = np.array([len(line) for line in given], np.int32)
        budget = self._epochs(lengths.sum()) if budget is None else budget
        return Work(queue, lengths, self._to_drop(), np.bool_(bool(self._waiting)), np.int32(budget))

    def _epochs(self, given: int) -> int:
        """For how many epochs a slot to train, when so many members are handed out."""
        wanted = 4.0 * self._budget
        if self._epoch_seconds is not None:
            wanted = min(wanted, _SECONDS / self._epoch_seconds)
            if given and self._ended and not self._waiting:
                # Half of what the lines hold, going by the trainings so far: no device should wait for the others.
                held = given * self._members.number.shape[1] * self._ended_epochs / self._ended / self.lanes
                wanted = min(wanted, max(held / 2, _LEAST_SECONDS / self._epoch_seconds))
        self._budget = int(np.clip(wanted, 1, 100_000))
        return self._budget

    def _to_drop(self) -> np.ndarray:
        if not self._dropped:
            return np.zeros(self.lanes, bool)
        return np.isin(np.asarray(self._slots.member.number)[:, 0], list(self._dropped))

    def text(self) -> str:
        """The program before compilation, which says all that its speed depends on."""
        work = self._work([[] for _ in self.layout.devices], budget=0)
        return self._lower(self.layout, self._slots, work).as_text()

    def _lower(self, layout: Layout, slots: Slot, work: Work) -> Any:
        return program.program(layout).lower(slots, work, self._rows, self._folds, plan=self.plan, layout=layout)

    def _finished(self, outcomes: Outcome, ended: np.ndarray) -> Outcome:
        capacity = outcomes.number.shape[0] // len(ended)
        place = np.concatenate([np.arange(count) + device * capacity for device, count in enumerate(ended)])
        found = jax.tree.map(lambda leaf: np.asarray(leaf)[place], outcomes)
        return found._replace(history=_curves(found.history, found.epochs))

    def _shrink(self) -> None:
        """Moves the last trainings into fewer slots, once empty ones have cost as much as compiling does."""
        smaller = self.layout.with_slots(max(1, self.layout.slots // _SHRINK))
        lanes = len(self.layout.devices)
        fit = smaller.slots < self.layout.slots and self._in_slots <= smaller.slots * lanes
        # Slots that run one by one are left out when they are empty.
        worth = self.layout.batch > 1 and fit and not self._waiting and self._idle_seconds >= self._compiling
        if not worth or self.layout.devices[0].platform in _EXACT:
            return
        taken = self._taken()
        order = np.concatenate([np.flatnonzero(taken), np.flatnonzero(~taken)])
        order = order[: smaller.slots * lanes].reshape(-1, lanes).T.reshape(-1)
        chosen = jax.tree.map(lambda leaf: jax.device_get(leaf)[order], self._slots)
        # Fewer slots need no more memory than those that are there, whose own is still taken.
        self._compile(smaller, limit=None)
        self._slots = self._put(chosen)
        self._idle_seconds = 0.0

    def _put(self, slots: Slot) -> Slot:
        return jax.device_put(slots, NamedSharding(self.layout.mesh, PartitionSpec(AXIS)))

    def _compile(self, layout: Layout, limit: int | None) -> Slot:
        """Compiles the program, for fewer slots if so many don't fit into `limit` bytes; returns free slots."""
        began = time.perf_counter()
        example = jax.tree.map(lambda leaf: leaf[0], self._members)
        lanes = len(layout.devices)
        while True:
            slots = program.empty_slots(self.plan, layout, example, self._rows, self._folds)
            sharding = NamedSharding(layout.mesh, PartitionSpec(AXIS))
            # Nothing is put on the device before it is known to fit.
            shapes = jax.tree.map(
                lambda leaf, sharding=sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), slots
            )
            lines = np.zeros((lanes, _QUEUE), int)
            queue = jax.tree.map(lambda leaf, lines=lines: leaf[lines], self._members)
            work = Work(queue, np.zeros(lanes, np.int32), np.zeros(lanes * layout.slots, bool), np.False_, np.int32(0))
            # The calls in `advance` find what this compiles; apart, the two times can be told.
            needed = _bytes(self._lower(layout, shapes, work).compile())
            self._compile_seconds = self._compiling = time.perf_counter() - began
            if limit is None or needed is None or needed <= _SHARE * limit:
                self.layout = layout
                return slots
            layout = layout.with_slots(self._fitting(layout, needed, limit))

    def _fitting(self, layout: Layout, needed: int, limit: int) -> int:
        """How many slots fit, when those of the layout need more bytes than there are."""
        data = sum(leaf.nbytes for leaf in jax.tree.leaves((self._rows, self._folds)))
        fitting = int((_SHARE * limit - data) / ((needed - data) / layout.slots))
        if layout.slots == 1:
            raise MemoryError(
                f"one training needs {needed / 2**20:.0f} MiB with its data, but {layout.devices[0]} has "
                f"{limit / 2**20:.0f} MiB for it: use a smaller network, smaller batches or another device"
            )
        return int(np.clip(fitting, 1, layout.slots - 1))


def _curves(history: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Histories with NaN where not run."""
    return np.where((np.arange(history.shape[1]) < epochs[:, None])[..., None], history, np.float32(np.nan))


def _bytes(compiled: Any) -> int | None:
    """The memory a compiled program takes on each device, by its own account; None: it gives none."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    return (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
        + found.temp_size_in_bytes
        + found.generated_code_size_in_bytes
    )


def members_of(
    values: Mapping[str, np.ndarray], lines: Any, wanted: np.ndarray, seeds: Sequence[int], limit: int
) -> Member:
    """The wanted trainings of a study as members.

    Args:
      values: the traced hyperparameters of all its settings, ``(settings,)`` each.
      lines: ``(lines, stages)``, numbers of settings; those of a line are trained one after the other.
      wanted: ``(lines, folds, seeds)``, with which folds and seeds.
      seeds: the seeds' numbers.
      limit: the epochs to train to.

    >>> wanted = np.ones((2, 3, 1), bool)
    >>> members_of({"l2": np.array([0.1, 0.2])}, [[0], [1]], wanted, [0], 9).number.ravel().tolist()
    [0, 1, 2, 3, 4, 5]
    """
    folds, count = wanted.shape[1:]
    line, fold, seed = np.nonzero(wanted)
    settings = np.asarray(lines)[line]
    number = (settings * folds + fold[:, None]) * count + seed[:, None]
    hp = {name: np.asarray(column, np.float32)[settings] for name, column in values.items()}
    drawn = np.asarray(seeds, np.uint32)[seed]
    limits = np.full(len(line), limit, np.int32)
    return Member(number.astype(np.int32), hp, fold.astype(np.int32), drawn, limits)
