"""The executor of one process: a pool of slots per compiled program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

from jreg._base import interrupt
from jreg._base.types import PyTree
from jreg.data import Dataset
from jreg.engine import measure
from jreg.engine import saved as states
from jreg.engine.jobs import Job
from jreg.engine.layout import Layout
from jreg.engine.pool import Chunk, Pool, Running
from jreg.engine.saved import Saved
from jreg.splits import Folds
from jreg.training import Plan, named_tracers, rows_of


class Local:
    """Trains on this process's devices; see `jreg.engine.executor.Executor`.

    Each plan has a program and slots of its own. The programs train one after the other, so that only one of them has
    slots in memory; or they take turns.

    Args:
      data: what is trained on.
      folds: NumPy arrays.
      layout: devices and slots; default: by rule, and by a measurement where the first chunk shows that it pays.
      trainings: how many the study has, by which the rule goes on accelerators.
      turns: whether programs take turns, as a search needs that follows trainings by their epochs. Then there are
        slots for `together` trainings at least, and no layout is measured.
      together: trainings that are to be in slots at once.
      layouts: the devices and slots of plans whose study goes on; no layout is measured for them.
      measures: whether a layout may be measured at all; shards of a study don't, so that all have batches of one size.

    Attributes:
      layouts: the devices and slots that each plan's program began with.
    """

    def __init__(
        self,
        data: Dataset,
        folds: Folds,
        layout: Layout | None = None,
        *,
        trainings: int,
        turns: bool = False,
        together: int = 1,
        layouts: Mapping[Plan, Layout] | None = None,
        measures: bool = True,
    ):
        self._data, self._rows, self._folds, self._given = data, rows_of(data), folds, layout
        self._trainings, self._turns, self._together = trainings, turns, together
        self._measures = measures
        self._compiling: Callable[[int], None] = lambda trainings: None
        self._known: set[Plan] = set()
        self._waiting: dict[Plan, list[Job]] = {}
        self._pools: dict[Plan, Pool] = {}
        # A later round of a race trains as the first one did.
        self.layouts: dict[Plan, Layout] = dict(layouts or {})
        self._ended: dict[Plan, Pool] = {}

    @property
    def free(self) -> int:
        """How many slots there are that no waiting job will take; at least one where nothing trains."""
        if not self._pools and not self._waiting:
            return 1
        waiting = sum(pool.queued for pool in self._pools.values()) + sum(map(_count, self._waiting.values()))
        return max((pool.free for pool in self._pools.values()), default=0) - waiting

    @property
    def busy(self) -> bool:
        """Whether anything trains or waits."""
        return bool(self._waiting or self._pools)

    def watch(self, compiling: Callable[[int], None]) -> None:
        """Has `compiling` called before a program is compiled, with the number of jobs that wait for it."""
        self._compiling = compiling

    def submit(self, plan: Plan, jobs: Job) -> None:
        """Queues jobs for the plan's program, which is compiled when it is their turn."""
        if plan in self._pools:
            self._pools[plan].submit(jobs)
        elif self._turns:
            self._begin(plan, jobs).submit(jobs)
        else:
            self._waiting.setdefault(plan, []).append(jobs)

    def restore(
        self,
        plan: Plan,
        jobs: Job,
        stage: np.ndarray,
        state: Mapping[str, np.ndarray],
        place: np.ndarray | None = None,
    ) -> None:
        """Has trainings go on from states that `saved` gave, possibly in another process.

        The plan's program is compiled at once. Trainings that find no slot start afresh, before all that wait; of a
        path, its earlier trainings come again then.

        Args:
          plan: the program's.
          jobs: what `submit` gets: the same trainings as before, under numbers and with a limit of their own.
          stage: which of its job's trainings each one is, ``(n,)``.
          state: NumPy arrays with a leading axis, by their paths.
          place: the slots that they had, ``(n, 2)``, as `Saved` has them; default: any.

        Raises:
          ValueError: the states don't fit the program, which is known before anything trains.
          MemoryError: not even one training fits.
        """
        if not len(jobs.fold):
            return
        with self._named_tracers(plan, jobs):
            found = states.fitted(plan, jobs, np.asarray(stage), state, self._rows, self._folds)
        if (pool := self._pools.get(plan)) is None:
            blocks = self._waiting.pop(plan, [])
            pool = self._begin(plan, _joined([jobs, *blocks]))
            for block in blocks:
                pool.submit(block)
        place = np.full((len(jobs.fold), 2), -1) if place is None else np.asarray(place)
        pool.restore(jobs, np.asarray(stage, np.int32), found, place)

    def saved(self) -> list[Saved]:
        """Copies of the trainings that are under way, by program; one whose call was interrupted is left out."""
        return [found for pool in self._pools.values() if (found := pool.saved()) is not None]

    def cancel(self, ids: Iterable[int]) -> None:
        """Gives up trainings; those that had begun come back as pruned, the others leave nothing."""
        wanted = list(ids)
        for pool in self._pools.values():
            pool.cancel(wanted)
        for plan, blocks in list(self._waiting.items()):
            kept = [jax.tree.map(lambda leaf, b=b: leaf[~np.isin(b.id[:, 0], wanted)], b) for b in blocks]
            self._waiting[plan] = [block for block in kept if len(block.fold)]
            if not self._waiting[plan]:
                del self._waiting[plan]

    def advance(self, epochs: int | None = None) -> Chunk:
        """Trains until some trainings may have ended."""
        self._ended = {}
        if self._turns:
            return _together([self._advance(plan, epochs) for plan in list(self._pools)])
        if not self._pools:
            plan, blocks = next(iter(self._waiting.items()))
            del self._waiting[plan]
            jobs = _joined(blocks)
            self._begin(plan, jobs).submit(jobs)
            if self._measures and plan not in self.layouts:
                return self._first(plan, jobs, epochs)
        return self._advance(next(iter(self._pools)), epochs)

    def _advance(self, plan: Plan, epochs: int | None) -> Chunk:
        pool = self._pools[plan]
        chunk = pool.advance(epochs)
        self.layouts.setdefault(plan, pool.layout)
        if not pool.running and not pool.queued:
            # Its slots take memory; compiled it stays. Until the next call its networks can still be read.
            self._ended[plan] = self._pools.pop(plan)
        return chunk

    def _begin(self, plan: Plan, jobs: Job) -> Pool:
        """Free slots for jobs like these."""
        if new := plan not in self._known:
            self._compiling(jobs.id.size)
            self._known.add(plan)
        layout = self._given or self.layouts.get(plan)
        # Compiling may take minutes, and leaves nothing to be stored.
        with interrupt.allowed(), self._named_tracers(plan, jobs):
            if layout is None:
                layout = measure.by_rule(plan, jobs, self._rows, self._folds, self._trainings)
                each = -(-self._together // len(layout.devices))
                layout = layout.with_slots(max(layout.slots, -(-each // layout.batch) * layout.batch))
            pool = Pool(plan, layout, jax.tree.map(lambda leaf: leaf[0], jobs), self._rows, self._folds)
        if new and pool.layout.data > 1:
            pool.warn_of_sharing(len(jobs.fold))
        self._pools[plan] = pool
        return pool

    def _named_tracers(self, plan: Plan, jobs: Job) -> contextlib.AbstractContextManager[None]:
        hp = {name: column[0, 0] for name, column in jobs.hp.items()}
        return named_tracers(plan, hp, self._data, self._folds)

    def _first(self, plan: Plan, jobs: Job, epochs: int | None) -> Chunk:
        """The first chunks of a program, or one of trainings that start again in a layout measured to be faster."""
        pool = self._pools[plan]
        chunk = self._advance(plan, epochs)
        if self._given is not None or plan not in self._pools or not measure.is_long(chunk, jobs):
            return chunk
        # The first one is short and pays for what is done once: on that alone studies of seconds would be measured.
        second = self._advance(plan, epochs)
        chunk = _together([chunk._replace(running=0, queued=0), second])
        if not measure.is_long(second, jobs):
            return chunk
        layout = measure.fastest(pool, jobs, self._rows, self._folds)
        if layout == pool.layout:
            return chunk
        # Trainings of one study all run alike, so the first ones start again.
        self.layouts[plan] = layout
        self._begin(plan, jobs).submit(jobs)
        return self._advance(plan, epochs)

    def running(self) -> Running:
        """The trainings that are under way."""
        return joined([pool.snapshot() for pool in self._pools.values()])

    def network(self, wanted: int) -> tuple[PyTree, PyTree, PyTree]:
        """The (parameters, running averages, preprocessing statistics) of a training that ended in the last chunk.

        Raises:
          KeyError: another training has taken its slot.
        """
        for pool in (*self._pools.values(), *self._ended.values()):
            try:
                return pool.network(wanted)
            except KeyError:
                continue
        raise KeyError(f"no slot holds the network of training {wanted} any more")


def joined(found: Sequence[Running]) -> Running:
    """The trainings of several programs or processes; their histories may have different numbers of columns."""
    empty = Running(np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 0, 0), np.float32))
    widest = max((running.history.shape[-1] for running in found), default=0)
    wide = [r._replace(history=_widened(r.history, widest)) for r in found]
    return Running(*(np.concatenate(parts) for parts in zip(*wide, strict=True))) if wide else empty


def _joined(blocks: list[Job]) -> Job:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)


def _count(blocks: list[Job]) -> int:
    return sum(len(block.fold) for block in blocks)


def _widened(history: np.ndarray, columns: int) -> np.ndarray:
    more = ((0, 0), (0, 0), (0, columns - history.shape[-1]))
    return np.pad(history, more, constant_values=np.nan)


def _together(chunks: list[Chunk]) -> Chunk:
    """The chunks of programs that took turns as one."""
    return chunks[0]._replace(
        outcomes=tuple(outcome for chunk in chunks for outcome in chunk.outcomes),
        compile_seconds=sum(chunk.compile_seconds for chunk in chunks),
        run_seconds=sum(chunk.run_seconds for chunk in chunks),
        useful=sum(chunk.useful for chunk in chunks),
        executed=sum(chunk.executed for chunk in chunks),
        running=sum(chunk.running for chunk in chunks),
        queued=sum(chunk.queued for chunk in chunks),
    )
