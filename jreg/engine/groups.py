"""Groups of devices that share their trainings: each group has a program of its own, and all run at once.

In one program for all of them a group would wait for the others, or for ever: they take different numbers of steps, and
some exchanges within a group (XLA's collective-permute) are known to a program as exchanges of all its devices.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from jreg.engine import program
from jreg.engine.jobs import Counts, Outcome, Slot, Work
from jreg.engine.layout import AXIS, Layout
from jreg.splits import Folds
from jreg.training import Plan, Rows

_OWN, _ALL = PartitionSpec(AXIS), PartitionSpec()


def advance(
    plan: Plan, layout: Layout, slots: Slot, outbox: Outcome, work: Work, rows: Rows, folds: Folds
) -> tuple[Slot, Outcome, Counts]:
    """Calls the programs of a layout, which take the slots and the outbox; what comes back may still be computed."""
    given = of_programs(layout, slots, outbox, work, rows, folds)
    found = [
        program.program(one)(*some, plan=plan, layout=one) for one, some in zip(layout.programs, given, strict=True)
    ]
    return found[0] if len(found) == 1 else jax.tree.map(lambda *parts: _joined(layout, parts), *found)


def of_programs(layout: Layout, slots: Slot, outbox: Outcome, work: Work, rows: Rows, folds: Folds) -> list[Any]:
    """What each of the programs is given; nothing is copied."""
    if len(layout.programs) == 1:
        return [(slots, outbox, work, rows, folds)]
    found = []
    for number, one in enumerate(layout.programs):
        state = jax.tree.map(lambda leaf, one=one: _part(one, leaf, _OWN), (slots, outbox))
        data = jax.tree.map(lambda leaf, one=one: _part(one, leaf, _ALL), (rows, folds))
        queue, length = jax.tree.map(lambda leaf, at=number: leaf[at : at + 1], (work.queue, work.length))
        drop = work.drop[number * layout.slots : (number + 1) * layout.slots]
        found.append((*state, work._replace(queue=queue, length=length, drop=drop), *data))
    return found


def _part(one: Layout, leaf: Any, spec: PartitionSpec) -> Any:
    """A group's own part of an array that lies on all devices."""
    there = {shard.device: shard.data for shard in leaf.addressable_shards}
    parts = [there[device] for device in one.devices]
    sharding = NamedSharding(one.mesh, spec)
    return jax.make_array_from_single_device_arrays(parts[0].shape, sharding, parts)


def _joined(layout: Layout, parts: Any) -> Any:
    """The array of which the groups have parts."""
    there = [shard.data for part in parts for shard in part.addressable_shards]
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    return jax.make_array_from_single_device_arrays(shape, NamedSharding(layout.mesh, _OWN), there)
