"""The compiled program of a layout: the largest one that fits into the devices' memory."""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg.engine import program
from jreg.engine.jobs import Job, Outcome, Slot, Work
from jreg.engine.layout import AXIS, Layout
from jreg.splits import Folds
from jreg.training import Plan, Rows

# How many trainings a device is handed at a call.
QUEUE = 256
# The share of a device's memory that a program may fill, and the most that its outbox may take of that.
SHARE = 0.9
_OUTBOX_SHARE, _OUTBOX_BYTES = 0.05, 2**26


class Compiled(NamedTuple):
    """A program that is ready to run.

    Attributes:
      layout: for which it is compiled.
      slots: all free, on the devices.
      outbox: empty, on the devices.
      seconds: that tracing and compiling took.
    """

    layout: Layout
    slots: Slot
    outbox: Outcome
    seconds: float


def compile_program(plan: Plan, layout: Layout, example: Job, rows: Rows, folds: Folds, limit: int | None) -> Compiled:
    """Compiles the program, with fewer slots if those of the layout don't fit into `limit` bytes on each device.

    Raises:
      MemoryError: not even one training fits.
    """
    began = time.perf_counter()
    lanes = len(layout.devices)
    slot, outcome = program.shapes_of(plan, example, rows, folds)
    while True:
        slots = program.empty(slot, layout.slots * lanes)
        slots = slots._replace(stage=np.full(layout.slots * lanes, example.id.shape[-1], np.int32))
        outbox = program.empty(outcome, outbox_length(outcome, layout, example, limit) * lanes)
        sharding = NamedSharding(layout.mesh, PartitionSpec(AXIS))
        queue = jax.tree.map(lambda leaf: np.zeros((lanes, QUEUE, *np.shape(leaf)), np.asarray(leaf).dtype), example)
        work = Work(queue, np.zeros(lanes, np.int32), np.zeros(lanes * layout.slots, bool), np.False_, np.int32(0))
        # Nothing is put on the device before it is known to fit.
        shapes = _shapes((slots, outbox), sharding), _shapes(work), _shapes(rows), _shapes(folds)
        leaves, structure = jax.tree.flatten(shapes)
        needed = _bytes_needed(plan, layout, structure, tuple(leaves))
        if limit is None or needed is None or needed <= SHARE * limit:
            slots, outbox = jax.device_put((slots, outbox), sharding)
            return Compiled(layout, slots, outbox, time.perf_counter() - began)
        layout = layout.with_slots(_fitting(layout, needed, limit, rows, folds))


def _shapes(tree: Any, sharding: Any = None) -> Any:
    """The arrays as shapes, with the sharding that they have or are to get."""

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        where = leaf.sharding if sharding is None and isinstance(leaf, jax.Array) else sharding
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    return jax.tree.map(shape, tree)


@functools.lru_cache(maxsize=256)
def _bytes_needed(plan: Plan, layout: Layout, structure: Any, leaves: tuple[jax.ShapeDtypeStruct, ...]) -> int | None:
    """Compiles the program, which the calls in `Pool.advance` find, and remembers what memory it takes.

    Tracing and lowering a program that is known takes longer than a small study trains.
    """
    state, work, rows, folds = jax.tree.unflatten(structure, leaves)
    return bytes_of(lower(plan, layout, state, work, rows, folds).compile())


def lower(plan: Plan, layout: Layout, state: tuple[Slot, Outcome], work: Work, rows: Rows, folds: Folds) -> Any:
    """The program before compilation."""
    return program.program(layout).lower(*state, work, rows, folds, plan=plan, layout=layout)


def outbox_length(outcome: Outcome, layout: Layout, example: Job, limit: int | None) -> int:
    """How many outcomes a device has room for until the host takes them: what memory allows, one at least.

    No more than a queue of trainings and those in the slots can end in a call.
    """
    most = (QUEUE + layout.slots) * example.id.shape[-1]
    each = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(outcome))
    room = _OUTBOX_BYTES if limit is None else min(_OUTBOX_BYTES, _OUTBOX_SHARE * limit)
    return int(np.clip(room // each, 1, most))


def _fitting(layout: Layout, needed: int, limit: int, rows: Rows, folds: Folds) -> int:
    """How many slots fit, when those of the layout need more bytes than there are."""
    data = sum(leaf.nbytes for leaf in jax.tree.leaves((rows, folds)))
    fitting = int((SHARE * limit - data) / ((needed - data) / layout.slots))
    if layout.slots == 1:
        raise MemoryError(
            f"one training needs {needed / 2**20:.0f} MiB with its data, but {layout.devices[0]} has "
            f"{limit / 2**20:.0f} MiB for it: use a smaller network, smaller batches or another device"
        )
    return int(np.clip(fitting, 1, layout.slots - 1))


def bytes_of(compiled: Any) -> int | None:
    """The memory a compiled program takes on each device, by its own account; None where it gives none."""
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
