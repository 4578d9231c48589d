"""Bytes on a device: what a program is given, exactly and before it is compiled, and how many slots fit.

Temporaries (activations, gradients, rows of a batch) are known once a program is compiled, from XLA's own account.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jreg.engine.jobs import Outcome, Slot
from jreg.engine.layout import Layout
from jreg.splits import Folds
from jreg.training import Rows

# How many trainings a device is handed at a call.
QUEUE = 256
# The share of a device's memory that a program may fill, and the most that its outbox may take of that.
SHARE = 0.9
_OUTBOX_SHARE, _OUTBOX_BYTES = 0.05, 2**26
# For each slot a flag whether to give its training up; for a call the length of the queue, a flag and a budget.
_FLAG, _CALL = 1, 4 + 1 + 4


class Sizes(NamedTuple):
    """Bytes of what a program is given.

    Attributes:
      slot: ``job + parameters + running averages + optimizer state + preprocessing statistics + history + 13``, the
        last for epoch, status, stage and whether it is busy; with early stopping also
        ``parameters + running averages + 13``. A history takes ``4 * epochs * columns``.
      outcome: of one training in the outbox: ``history + kept + 20``.
      job: of one line of the queue: ``stages * (4 + 4 * hyperparameters) + keys + 12``; threefry's keys take 48.
      shared: the data and the folds, once per device.
      stages: how many outcomes a job leaves.
    """

    slot: int
    outcome: int
    job: int
    shared: int
    stages: int


def sizes_of(slot: Slot, outcome: Outcome, rows: Rows, folds: Folds) -> Sizes:
    """The bytes of a slot and an outcome, arrays or shapes as from `jreg.engine.program.shapes_of`, and of the data."""
    return Sizes(nbytes(slot), nbytes(outcome), nbytes(slot.job), nbytes((rows, folds)), slot.job.id.shape[-1])


def nbytes(tree: Any) -> int:
    """The bytes of a tree's arrays or shapes: ``sum(size * itemsize)``."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def arguments(sizes: Sizes, slots: int, limit: int | None = None) -> int:
    """The bytes of all arguments of a program on one device with `limit` bytes, where nothing is padded.

    ``slots * (slot + 1) + outbox * outcome + QUEUE * job + shared + 9``

    >>> sizes = Sizes(slot=419_282, outcome=12_260, job=68, shared=415_092, stages=1)
    >>> arguments(sizes, slots=1) == 419_283 + (256 + 1) * 12_260 + 256 * 68 + 415_092 + 9
    True
    """
    outbox = outbox_length(sizes, slots, limit)
    return slots * (sizes.slot + _FLAG) + outbox * sizes.outcome + QUEUE * sizes.job + sizes.shared + _CALL


def outbox_length(sizes: Sizes, slots: int, limit: int | None) -> int:
    """How many outcomes a device has room for until the host takes them.

    ``(QUEUE + slots) * stages``, because no more can end in a call, or as many as memory allows; at least one.
    """
    room = _OUTBOX_BYTES if limit is None else min(_OUTBOX_BYTES, _OUTBOX_SHARE * limit)
    return int(np.clip(room // sizes.outcome, 1, (QUEUE + slots) * sizes.stages))


def fitting(sizes: Sizes, layout: Layout, limit: int, needed: int | None = None) -> Layout:
    """The layout, or the largest one with fewer slots, whose program is expected to fit into `limit` bytes per device.

    Without `needed`, its arguments fit. With `needed`, the bytes by the account of the layout's own program, there is
    also room for what is no argument, ``needed - arguments``. That grows with the batch, and where there are several
    batches, the loop over them writes each slot beside the one it reads:

    ``temporaries = slots * slot + (old temporaries - old slots * slot) * batch / old batch``

    without the two ``slots * slot`` where there is one batch.

    Raises:
      MemoryError: not even one training fits.
    """
    beside = 0 if needed is None else needed - arguments(sizes, layout.slots, limit)
    copied = min(sizes.slot, beside / layout.slots) if layout.batch < layout.slots else 0

    def fits(found: Layout) -> bool:
        copies = copied * found.slots if found.batch < found.slots else 0
        by_batch = (beside - copied * layout.slots) * found.batch / layout.batch
        return arguments(sizes, found.slots, limit) + copies + by_batch <= SHARE * limit

    most = layout.slots if needed is None else layout.slots - 1
    for found in map(layout.with_slots, range(most, 0, -1)):
        if fits(found):
            return found
    if needed is None or layout.slots == 1:
        needed = arguments(sizes, 1, limit) if needed is None else needed
        # CPU devices are parts of one memory, and each holds the data.
        shares = layout.devices[0].platform == "cpu" and len(layout.devices) > 1
        other = "fewer devices (jreg.use_cpu_devices(1))" if shares else "another device"
        if not shares and layout.data < len(layout.devices) and arguments(sizes, 1, limit) <= SHARE * limit:
            other = f"more devices for each training (jreg.Layout(data={2 * layout.data}))"
        raise MemoryError(
            f"one training needs {needed / 2**20:.0f} MiB with its data, but {layout.devices[0]} has "
            f"{limit / 2**20:.0f} MiB for it: use a smaller network, smaller batches or {other}"
        )
    # Its program may need less than was estimated.
    return layout.with_slots(1)


def alone(sizes: Sizes, layout: Layout, needed: int | None, limit: int | None) -> int | None:
    """At most so many bytes a training takes on a device of its own, where its layout has several devices share it.

    ``arguments + data * (needed - arguments)``: what one device of a group needs beside its arguments, each of the
    others needs too. None where `needed` isn't known.
    """
    if needed is None:
        return None
    return arguments(sizes, 1, limit) + layout.data * max(0, needed - arguments(sizes, layout.slots, limit))


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
