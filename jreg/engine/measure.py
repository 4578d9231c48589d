"""Which layout trains fastest: by rule for a short study, by measurement for a long one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from jreg._base.files import write_text
from jreg.engine.layout import Layout, choose_layout
from jreg.engine.pool import Chunk, Population
from jreg.engine.program import Member, shapes_of
from jreg.splits import Folds
from jreg.training import Plan, Rows

# Slots of a batch to try, in turn, until one is no faster than the one before by more than this factor.
_BATCHES = {"cpu": (1, 8, 32), "other": (16, 64, 256, 1024)}
_FASTER = 1.05
# A measurement takes some ten seconds, most of them compilation. It is made when the study would take more than so many
# seconds if all its trainings ran to the last epoch.
_WORTH = 300.0


def train(
    plan: Plan, layout: Layout | None, members: Member, rows: Rows, folds: Folds, trainings: int
) -> Iterator[Chunk]:
    """Trains the members, a chunk of epochs at a time, in no particular order.

    Without a layout it begins with the one that `choose_layout` gives by rule. When the first chunk shows that the
    study takes long, layouts with other batches are measured on its first trainings, and the study begins anew with
    the fastest. What was measured is remembered beside JAX's persistent compilation cache, where there is one.

    Args:
      plan: their static part.
      layout: devices and slots, or None.
      members: NumPy arrays with a leading axis.
      rows: the data; copied to each device once.
      folds: of the study, NumPy arrays.
      trainings: of the study, of which these may be a round's.
    """
    example = jax.tree.map(lambda leaf: leaf[0], members)
    population = Population(plan, layout or by_rule(plan, members, rows, folds, trainings), example, rows, folds)
    population.add(members)
    while population.running or population.queued:
        chunk = population.advance()
        if layout is None:
            layout = population.layout
            epochs = float(members.limit.sum()) * members.number.shape[1]
            if chunk.run_seconds / max(1, chunk.useful) * epochs > _WORTH:
                layout = fastest(population, members, rows, folds)
            if layout != population.layout:
                # Trainings of one study all run alike, so the first ones begin anew.
                population = Population(plan, layout, example, rows, folds)
                population.add(members)
                continue
        yield chunk


def by_rule(plan: Plan, members: Member, rows: Rows, folds: Folds, trainings: int) -> Layout:
    """The layout that `choose_layout` gives for so many trainings like these."""
    example = jax.tree.map(lambda leaf: leaf[0], members)
    state = shapes_of(plan, example, rows, folds).state
    layout = choose_layout(trainings, sum(leaf.size for leaf in jax.tree.leaves(state.params)))
    lines, stages = members.number.shape
    if stages == 1:
        return layout
    # Paths are few and long: slots without one would cost as much as the others to the end.
    fewer = 1 if layout.devices[0].platform == "cpu" else 2 ** (-(-lines // len(layout.devices)) - 1).bit_length()
    return layout.with_slots(min(layout.slots, fewer))


def fastest(population: Population, members: Member, rows: Rows, folds: Folds) -> Layout:
    """The layout with the highest throughput on the first of the members, measured or remembered.

    Args:
      population: one that has begun with the layout that is left when no other is faster.
      members, rows, folds: as in `train`.
    """
    layout, lanes = population.layout, len(population.layout.devices)
    notes = _Notes(population)
    if notes.slots is None:
        rates: dict[int, float] = {}
        share = -(-len(members.fold) // lanes)
        for slots in _BATCHES.get(layout.devices[0].platform, _BATCHES["other"]):
            rate = _throughput(population, Layout(layout.devices, slots, slots), members, rows, folds)
            if rate is None or (rates and rate < _FASTER * max(rates.values())):
                break
            rates[slots] = rate
            if slots >= share:
                break
        notes.write(max(rates, key=rates.__getitem__) if rates else layout.slots)
    slots = notes.slots or layout.slots
    return Layout(layout.devices, slots, slots)


def _throughput(population: Population, layout: Layout, members: Member, rows: Rows, folds: Folds) -> float | None:
    """Member-epochs a second; None when the layout doesn't fit into memory."""
    few = jax.tree.map(lambda leaf: leaf[: 4 * layout.slots * len(layout.devices)], members)
    trial = Population(population.plan, layout, jax.tree.map(lambda leaf: leaf[0], few), rows, folds)
    if trial.layout != layout:
        return None
    trial.add(few)
    # The first call also pays for what is done once.
    trial.advance(budget=1)
    chunk = trial.advance()
    return chunk.useful / chunk.run_seconds


class _Notes:
    """Slots that were measured before for the same program on the same devices, in a file beside the programs."""

    def __init__(self, population: Population):
        folder = jax.config.jax_compilation_cache_dir  # ty: ignore[missing-attribute]  # set at run time
        self._path = Path(folder) / "jreg-layouts.json" if folder else None
        device = population.layout.devices[0]
        described = f"{device.device_kind} {len(population.layout.devices)} {os.cpu_count()} {jax.__version__}"
        self._key = hashlib.sha256((described + population.text()).encode()).hexdigest()
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
        """Remembers a measurement."""
        self.slots = slots
        if self._path:
            # A cache that can't be written costs another measurement, and no study.
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_text(self._path, json.dumps({**self._read(), self._key: slots}))
