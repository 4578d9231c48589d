"""Which layout trains fastest: by rule for a short study, by measurement for a long one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import jax

from jreg._base.files import write_text
from jreg.engine.jobs import Job
from jreg.engine.layout import Layout, choose_layout
from jreg.engine.pool import Chunk, Pool
from jreg.engine.program import shapes_of
from jreg.splits import Folds
from jreg.training import Plan, Rows

# Slots of a batch to try, in turn, until one is no faster than the one before by more than this factor.
_BATCHES = {"cpu": (1, 8, 32), "other": (16, 64, 256, 1024)}
_FASTER = 1.05
# A measurement takes some ten seconds, most of them compilation. It is made when the study would take longer than this
# many seconds if all its trainings ran to the last epoch.
_WORTH = 300.0


def by_rule(plan: Plan, jobs: Job, rows: Rows, folds: Folds, trainings: int) -> Layout:
    """The layout that `choose_layout` gives for this number of trainings like these."""
    example = jax.tree.map(lambda leaf: leaf[0], jobs)
    state = shapes_of(plan, example, rows, folds)[0].state
    layout = choose_layout(trainings, sum(leaf.size for leaf in jax.tree.leaves(state.params)))
    lines, stages = jobs.id.shape
    if stages == 1:
        return layout
    # Paths are few and long: slots without one would cost as much as the others to the end.
    fewer = 1 if layout.devices[0].platform == "cpu" else 2 ** (-(-lines // len(layout.devices)) - 1).bit_length()
    return layout.with_slots(min(layout.slots, fewer))


def is_long(chunk: Chunk, jobs: Job) -> bool:
    """Whether training these jobs to their end, going by a first chunk, takes so long that measuring pays."""
    epochs = float(jobs.limit.sum()) * jobs.id.shape[1]
    return chunk.run_seconds / max(1, chunk.useful) * epochs > _WORTH


def fastest(pool: Pool, jobs: Job, rows: Rows, folds: Folds) -> Layout:
    """The layout with the highest throughput on the first of the jobs, measured or remembered.

    Args:
      pool: one that has begun with the layout that is left when no other is faster.
      jobs: those that are to train, NumPy arrays with a leading axis.
      rows, folds: the data.
    """
    layout, lanes = pool.layout, pool.layout.groups
    notes = _Notes(pool)
    if notes.slots is None:
        rates: dict[int, float] = {}
        share = -(-len(jobs.fold) // lanes)
        for slots in _BATCHES.get(layout.devices[0].platform, _BATCHES["other"]):
            rate = _throughput(pool, dataclasses.replace(layout, slots=slots, batch=slots), jobs, rows, folds)
            if rate is None or (rates and rate < _FASTER * max(rates.values())):
                break
            rates[slots] = rate
            if slots >= share:
                break
        notes.write(max(rates, key=rates.__getitem__) if rates else layout.slots)
    slots = notes.slots or layout.slots
    return dataclasses.replace(layout, slots=slots, batch=slots)


def _throughput(pool: Pool, layout: Layout, jobs: Job, rows: Rows, folds: Folds) -> float | None:
    """Job-epochs a second; None when the layout doesn't fit into memory."""
    few = jax.tree.map(lambda leaf: leaf[: 4 * layout.lanes], jobs)
    trial = Pool(pool.plan, layout, jax.tree.map(lambda leaf: leaf[0], few), rows, folds)
    if trial.layout != layout:
        return None
    trial.submit(few)
    # The first call also pays for what is done once.
    trial.advance(budget=1)
    chunk = trial.advance()
    return chunk.useful / chunk.run_seconds


class _Notes:
    """Slots that were measured before for the same program on the same devices, in a file beside the programs."""

    def __init__(self, pool: Pool):
        folder = jax.config.jax_compilation_cache_dir  # ty: ignore[missing-attribute]  # set at run time
        self._path = Path(folder) / "jreg-layouts.json" if folder else None
        device = pool.layout.devices[0]
        described = f"{device.device_kind} {len(pool.layout.devices)} {os.cpu_count()} {jax.__version__}"
        self._key = hashlib.sha256((described + pool.text()).encode()).hexdigest()
        self.slots = self._read().get(self._key)

    def _read(self) -> dict[str, int]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: slots for key, slots in found.items() if type(slots) is int and 0 < slots <= 65536}

    def write(self, slots: int) -> None:
        """Rejobs a measurement."""
        self.slots = slots
        if self._path:
            # A cache that can't be written costs another measurement, and no study.
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_text(self._path, json.dumps({**self._read(), self._key: slots}))
