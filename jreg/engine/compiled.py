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
from jreg.engine.memory import QUEUE, SHARE, alone, bytes_of, fitting, outbox_length, sizes_of
from jreg.splits import Folds
from jreg.training import Plan, Rows


class Compiled(NamedTuple):
    """A program that is ready to run.

    Attributes:
      layout: for which it is compiled.
      slots: all free, on the devices.
      outbox: empty, on the devices.
      rows: the data, on each device.
      folds: on each device.
      seconds: that tracing and compiling took.
      fits: whether a training that devices share is known to fit into the memory of one of them.
    """

    layout: Layout
    slots: Slot
    outbox: Outcome
    rows: Rows
    folds: Folds
    seconds: float
    fits: bool


def compile_program(plan: Plan, layout: Layout, example: Job, rows: Rows, folds: Folds, limit: int | None) -> Compiled:
    """Compiles the program, with fewer slots if those of the layout don't fit into `limit` bytes on each device.

    What the program is given is known before, so the first one compiled already has room for that, and nothing takes
    memory before it is known to fit.

    Raises:
      MemoryError: not even one training fits.
    """
    began = time.perf_counter()
    example = jax.tree.map(np.asarray, example)
    data = _shapes((rows, folds))
    slot, outcome = program.shapes_of(plan, example, *data)
    sizes = sizes_of(slot, outcome, *data)
    if limit is not None:
        layout = fitting(sizes, layout, limit)
    while True:
        outcomes = outbox_length(sizes, layout.slots, limit)
        first, *others = layout.programs
        needed = _needed(plan, first, (slot, outcome), outcomes, example, *data)
        if limit is None or needed is None or needed <= SHARE * limit:
            break
        layout = fitting(sizes, layout, limit, needed)
    for one in others:
        _needed(plan, one, (slot, outcome), outcomes, example, *data)
    most = alone(sizes, layout, needed, limit)
    fits = limit is not None and most is not None and most <= SHARE * limit
    counts = layout.lanes, outcomes * layout.groups
    own, all_ = _shardings(layout)
    slots, outbox = (program.empty(one, count) for one, count in zip((slot, outcome), counts, strict=True))
    slots = slots._replace(stage=np.full(counts[0], example.id.shape[-1], np.int32))
    there = (*jax.device_put((slots, outbox), own), *jax.device_put((rows, folds), all_))
    return Compiled(layout, *there, time.perf_counter() - began, fits)


def _shardings(layout: Layout) -> tuple[NamedSharding, NamedSharding]:
    """Of what each group of devices has for itself, and of what all have."""
    return NamedSharding(layout.mesh, PartitionSpec(AXIS)), NamedSharding(layout.mesh, PartitionSpec())


def _needed(
    plan: Plan, layout: Layout, state: tuple[Slot, Outcome], outcomes: int, example: Job, rows: Rows, folds: Folds
) -> int | None:
    """Compiles the program of a layout with room for so many outcomes on a device; the bytes that it takes there."""
    own, all_ = _shardings(layout)
    lanes, counts = layout.groups, (layout.lanes, outcomes * layout.groups)
    there = tuple(_shapes(one, own, (count,)) for one, count in zip(state, counts, strict=True))
    queue = _shapes(example, None, (lanes, QUEUE))
    work = Work(queue, *_shapes((np.zeros(lanes, np.int32), np.zeros(counts[0], bool), np.False_, np.int32(0))))
    leaves, structure = jax.tree.flatten((there, work, *_shapes((rows, folds), all_)))
    return _bytes_needed(plan, layout, structure, tuple(leaves))


def _shapes(tree: Any, sharding: Any = None, leading: tuple[int, ...] = ()) -> Any:
    """The arrays as the shapes that they have on a device, with leading axes and the sharding that they are to get."""

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        dtype = leaf.dtype if key else jax.dtypes.canonicalize_dtype(leaf.dtype)
        return jax.ShapeDtypeStruct((*leading, *leaf.shape), dtype, sharding=sharding)

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
