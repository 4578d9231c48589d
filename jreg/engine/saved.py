"""The states of trainings that are under way: out of a program's slots and, in this process or another, back in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg._base import tensors
from jreg._base.brief import brief
from jreg.engine import program
from jreg.engine.jobs import Job, Slot
from jreg.engine.layout import AXIS, Layout
from jreg.splits import Folds
from jreg.training import Plan, Rows, Status, TrainState


class Saved(NamedTuple):
    """The trainings of one program that are under way, as copies: NumPy arrays with a leading axis.

    The training of a path that is next but hasn't begun has run 0 epochs, and its state is the one that the training
    before it ended with.

    Attributes:
      plan: the program's.
      layout: the devices and slots that it has now.
      jobs: what they train, as a `Job` of arrays.
      stage: which of its job's trainings each one is, ``(n,)`` int32.
      state: how they stand, the arrays of a `TrainState` by their paths, random keys as their data; the history is 0
        where not run.
      place: the numbers of their slots, and how many slots there are, ``(n, 2)`` int32.
    """

    plan: Plan
    layout: Layout
    jobs: Job
    stage: np.ndarray
    state: dict[str, np.ndarray]
    place: np.ndarray

    __repr__ = brief


def taken(slots: Slot) -> np.ndarray:
    """Which slots have a job: one may be between two stages of its path when a call ends."""
    return np.asarray(slots.busy) | (np.asarray(slots.stage) < slots.job.id.shape[-1])


def saved(plan: Plan, layout: Layout, slots: Slot) -> Saved | None:
    """The trainings in a program's slots; None where there are none, or a call that was interrupted took the slots."""
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(slots)) or not taken(slots).any():
        return None
    places = np.flatnonzero(taken(slots))
    # Indexed by numbers, since on a CPU the arrays are the devices' own memory, which the next call writes over.
    found = jax.tree.map(lambda leaf: leaf[places], tensors.plain_arrays(slots))
    state = found.state._replace(epoch=np.where(found.busy, found.state.epoch, np.int32(0)))
    place = np.stack([places, np.full(len(places), len(slots.busy))], axis=1).astype(np.int32)
    return Saved(plan, layout, found.job, found.stage, tensors.named(state), place)


def fitted(
    plan: Plan, jobs: Job, stage: np.ndarray, state: Mapping[str, np.ndarray], rows: Rows, folds: Folds
) -> TrainState:
    """The states as a tree of NumPy arrays, random keys as their data, once they are known to fit the program.

    Raises:
      ValueError: they don't, or no training can have them.
    """
    count, stages = jobs.id.shape
    shapes = program.shapes_of(plan, jax.tree.map(lambda leaf: leaf[0], jobs), rows, folds)[0].state
    plain = jax.eval_shape(lambda tree: jax.tree.map(_data_of, tree), shapes)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), plain)
    try:
        found = tensors.restored(state, like)
        if stage.shape != (count,):
            raise ValueError(f"there are {count} trainings, but their stages have the shape {stage.shape}")
        _check("stage", stage, stages - 1)
        _check("epoch", found.epoch, plan.epochs)
        _check("status", found.status, max(Status))
    except ValueError as error:
        raise ValueError(
            f"the saved trainings don't fit their program, so train them from the start: {error}"
        ) from None
    return found


def put_back(
    layout: Layout, slots: Slot, jobs: Job, stage: np.ndarray, state: TrainState, place: np.ndarray
) -> tuple[Slot, np.ndarray]:
    """The slots, which are given up, with trainings in free ones, and the places of the jobs that start afresh.

    These find no slot or hadn't begun when they were saved.
    """
    free = np.flatnonzero(~taken(slots))
    # To the devices in turn; the slots of each follow each other.
    free = free[np.lexsort((free // layout.slots, free % layout.slots))]
    going = np.flatnonzero((state.epoch > 0) | (stage > 0))[: len(free)]
    free = _own(free, place[going], len(slots.busy))
    chosen = Slot(*jax.tree.map(lambda leaf: leaf[going], (jobs, state, stage, state.epoch > 0)))

    def put(old: Any, new: np.ndarray) -> np.ndarray:
        there = np.array(old)
        there[free[: len(going)]] = new
        return there

    def keyed(old: Any, data: np.ndarray) -> Any:
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(old)) if _is_key(old) else data

    filled = jax.tree.map(keyed, slots, jax.tree.map(put, tensors.plain_arrays(slots), chosen))
    # The devices may have no room for the slots twice.
    for leaf in jax.tree.leaves(slots):
        leaf.delete()
    there = jax.device_put(filled, NamedSharding(layout.mesh, PartitionSpec(AXIS)))
    return there, np.setdiff1d(np.arange(len(stage)), going)


def _own(free: np.ndarray, place: np.ndarray, lanes: int) -> np.ndarray:
    """Free slots for trainings, where there are as many slots as there were the ones that they had.

    Which device has free ones decides what waits, and a search goes by what has been trained.
    """
    own, first = np.unique(np.where(place[:, 1] == lanes, place[:, 0], -1), return_index=True)
    first, own = first[np.isin(own, free)], own[np.isin(own, free)]
    found = np.full(len(place), -1)
    found[first] = own
    found[found < 0] = np.setdiff1d(free, own, assume_unique=True)[: (found < 0).sum()]
    return found


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data_of(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _check(name: str, values: np.ndarray, most: int) -> None:
    wrong = values[(values < 0) | (values > most)]
    if wrong.size:
        raise ValueError(f"a training has the {name} {wrong[0]}, but it must be from 0 to {int(most)}")
