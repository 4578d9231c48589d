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
from jreg.engine.memory import QUEUE, SHARE, bytes_of, fitting, outbox_length, sizes_of
from jreg.splits import Folds
from jreg.training import Plan, Rows


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

    What the program is given is known before, so the first one compiled already has room for that.

    Raises:
      MemoryError: not even one training fits.
    """
    began = time.perf_counter()
    lanes = len(layout.devices)
    slot, outcome = program.shapes_of(plan, example, rows, folds)
    sizes = sizes_of(slot, outcome, rows, folds)
    if limit is not None:
        layout = fitting(sizes, layout, limit)
    while True:
        slots = program.empty(slot, layout.slots * lanes)
        slots = slots._replace(stage=np.full(layout.slots * lanes, example.id.shape[-1], np.int32))
        outbox = program.empty(outcome, outbox_length(sizes, layout.slots, limit) * lanes)
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
        layout = fitting(sizes, layout, limit, needed)


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
