"""Many trainings at once: slots that are refilled from a queue inside one compiled program.

Each device owns some slots and a queue. The program trains for a budget of epochs; a slot whose training has
ended writes its outcome down and takes the next one from the queue. What a queue doesn't get to is handed out
again at the next call (`jreg.engine.pool`), so devices stay evenly busy. The number of trainings is no part of any
shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jreg import training
from jreg._base.types import Array
from jreg.engine.layout import AXIS, Layout
from jreg.splits import Folds
from jreg.training import Plan, Rows, TrainState


class Member(NamedTuple):
    """One place in line of a study; as arrays with a leading axis, many.

    It is one training, or a path of several stages in which each training starts from the network that the one
    before it left.

    Attributes:
      number: ``(stages,)`` int32, the places of its trainings in the study.
      hp: its traced hyperparameters, ``(stages,)`` float32 each.
      fold: the number of its fold, int32.
      seed: uint32.
      limit: the epochs to which it is trained now, int32.
    """

    number: Any
    hp: dict[str, Any]
    fold: Any
    seed: Any
    limit: Any


class Slot(NamedTuple):
    """A place for one training.

    Attributes:
      member: who is in it.
      state: its state.
      stage: which of the member's trainings it is; as many as there are stages when the slot is free.
      busy: whether it is running.
    """

    member: Member
    state: TrainState
    stage: Any
    busy: Any


class Outcome(NamedTuple):
    """What a training leaves.

    Attributes:
      number: its place in the study.
      history: ``(epochs, columns)``; NaN where not run, on the device 0.
      epochs: how many were run.
      best_epoch: the one that counts, from 0; -1 when no value was ever finite.
      status: index into `jreg.training.STATUS`; running for one that was trained to its limit only.
    """

    number: Any
    history: Any
    epochs: Any
    best_epoch: Any
    status: Any


class Work(NamedTuple):
    """What a device gets for one call.

    Attributes:
      queue: members in line.
      length: how many they are.
      drop: a flag for each slot, whether its training is to be given up.
      more: whether more wait behind the queue.
      budget: epochs.
    """

    queue: Any
    length: Any
    drop: Any
    more: Any
    budget: Any


class Counts(NamedTuple):
    """What a device did in one call: members taken, outcomes, epochs that trained something, epochs paid for.

    Every slot of a batch pays for an epoch in which one of them trains.
    """

    taken: Any
    ended: Any
    useful: Any
    executed: Any


def program(layout: Layout) -> Any:
    """The jitted ``(slots, work, rows, folds, *, plan, layout) -> (slots, outcomes, Counts)`` for its devices."""
    return _advance_on_cpu if layout.devices[0].platform == "cpu" else _advance_elsewhere


def _advance(slots: Slot, work: Work, rows: Rows, folds: Folds, *, plan: Plan, layout: Layout):
    own, all_ = PartitionSpec(AXIS), PartitionSpec()
    device = functools.partial(_device, plan=plan, layout=layout)
    return jax.shard_map(
        device,
        mesh=layout.mesh,
        in_specs=(own, Work(own, own, own, all_, all_), all_, all_),
        out_specs=own,
        # Nothing is communicated, so there is no replication for JAX to check.
        check_vma=False,
    )(slots, work, rows, folds)


_compiled = functools.partial(jax.jit, _advance, static_argnames=("plan", "layout"), donate_argnames="slots")
# XLA uses half of AVX-512's width unless told otherwise; a CPU without it compiles to the same code as ever.
_advance_on_cpu = _compiled(compiler_options={"xla_cpu_prefer_vector_width": 512})
_advance_elsewhere = _compiled()


def _device(slots: Slot, work: Work, rows: Rows, folds: Folds, *, plan: Plan, layout: Layout):
    queue, length = jax.tree.map(lambda leaf: leaf[0], (work.queue, work.length))
    longest, stages = queue.number.shape
    # A member ends once for each of its stages.
    capacity = (longest + layout.slots) * stages

    def context(member: Member, stage: Array):
        fold = jax.tree.map(lambda leaf: leaf[member.fold], folds)
        hp = {name: values[stage] for name, values in member.hp.items()}
        return training.member_key(member.seed, member.fold), hp, rows, fold

    def waiting(carry: tuple[Array, Slot]) -> Array:
        taken, slots = carry
        return jnp.any(~slots.busy & ((slots.stage < stages) | (taken < length)))

    def refill(carry: tuple[Array, Slot]) -> tuple[Array, Slot]:
        # One slot at a time: under vmap all slots would pay for each start.
        taken, slots = carry
        onward = ~slots.busy & (slots.stage < stages)
        place = jnp.where(jnp.any(onward), jnp.argmax(onward), jnp.argmin(slots.busy))
        old, goes_on = jax.tree.map(lambda leaf: leaf[place], slots), onward[place]
        member = jax.tree.map(lambda leaf, own: jnp.where(goes_on, own, leaf[taken]), queue, old.member)
        stage = jnp.where(goes_on, old.stage, 0)
        warm = (goes_on & (old.state.status != training.DIVERGED), training.kept(old.state)) if stages > 1 else None
        state = training.start(plan, *context(member, stage), warm)
        # The host writes NaN where not run, so that jax_debug_nans meets none but those that were computed.
        state = state._replace(history=jnp.zeros_like(state.history))
        new = Slot(member, state, stage, jnp.ones((), bool))
        slots = jax.tree.map(lambda leaf, value: leaf.at[place].set(value), slots, new)
        return taken + jnp.where(goes_on, 0, 1), slots

    def train(slot: Slot) -> Slot:
        return slot._replace(state=training.epoch(plan, slot.state, *context(slot.member, slot.stage)))

    def body(carry):
        taken, slots, outcomes, ended, useful, executed, used = carry
        taken, slots = jax.lax.while_loop(waiting, refill, (taken, slots))
        running = slots.busy & (slots.state.status == training.RUNNING)
        slots = _each(layout, train)(running, slots)
        done = slots.busy & ((slots.state.status != training.RUNNING) | (slots.state.epoch >= slots.member.limit))
        place = jnp.where(done, ended + jnp.cumsum(done.astype(jnp.int32)) - 1, capacity)
        outcomes = jax.tree.map(lambda all_, new: all_.at[place].set(new, mode="drop"), outcomes, _outcome(slots))
        given_up = slots.state.status == training.PRUNED
        stage = jnp.where(done, jnp.where(given_up, stages, slots.stage + 1), slots.stage)
        slots = slots._replace(busy=slots.busy & ~done, stage=stage)
        batches = jnp.any(running.reshape(-1, layout.batch), axis=1)
        ends, trains, pays = (jnp.sum(flags.astype(jnp.int32)) for flags in (done, running, batches))
        executed += pays * layout.batch
        return taken, slots, outcomes, ended + ends, useful + trains, executed, used + 1

    def unfinished(carry):
        taken, slots, *_, used = carry
        free = ~slots.busy & (slots.stage >= stages)
        starved = jnp.any(free) & (taken >= length)
        return (used < work.budget) & (~jnp.all(free) | (taken < length)) & ~(starved & work.more)

    status = jnp.where(work.drop & slots.busy, training.PRUNED, slots.state.status)
    slots = slots._replace(state=slots.state._replace(status=status))
    empty = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype), _outcome(slots))
    zero = jnp.zeros((), jnp.int32)
    taken, slots, outcomes, ended, useful, executed, _ = jax.lax.while_loop(
        unfinished, body, (zero, slots, empty, zero, zero, zero, zero)
    )
    counts = Counts(taken, ended, useful, executed)
    return slots, outcomes, jax.tree.map(lambda leaf: leaf[None], counts)


def _each(layout: Layout, function: Callable[[Slot], Slot]) -> Callable[[Array, Slot], Slot]:
    """The function on each slot that is wanted, `layout.batch` slots at once; a batch that wants none is skipped."""

    def one(wanted: Array, slot: Slot) -> Slot:
        return jax.lax.cond(wanted, lambda: function(slot), lambda: slot)

    def some(wanted: Array, slots: Slot) -> Slot:
        return jax.lax.cond(jnp.any(wanted), lambda: jax.vmap(one)(wanted, slots), lambda: slots)

    def all_(wanted: Array, slots: Slot) -> Slot:
        if layout.batch == 1:
            return jax.lax.map(lambda pair: one(*pair), (wanted, slots))
        if layout.batch == layout.slots:
            return some(wanted, slots)
        split = jax.tree.map(lambda leaf: leaf.reshape(-1, layout.batch, *leaf.shape[1:]), (wanted, slots))
        done = jax.lax.map(lambda pair: some(*pair), split)
        return jax.tree.map(lambda leaf: leaf.reshape(layout.slots, *leaf.shape[2:]), done)

    return all_


def _outcome(slots: Slot) -> Outcome:
    state, member = slots.state, slots.member
    at = jnp.minimum(slots.stage, member.number.shape[-1] - 1)
    number = jnp.take_along_axis(member.number, at[:, None], axis=1)[:, 0]
    return Outcome(number, state.history, state.epoch, training.best_epoch(state), state.status)


def shapes_of(plan: Plan, member: Member, rows: Rows, folds: Folds) -> Slot:
    """A slot with a training of `member` in it, as shapes."""

    def begin(member: Member, rows: Rows, folds: Folds) -> Slot:
        fold = jax.tree.map(lambda leaf: leaf[0], folds)
        hp = {name: values[0] for name, values in member.hp.items()}
        state = training.start(plan, training.member_key(member.seed, member.fold), hp, rows, fold)
        return Slot(member, state, jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    return jax.eval_shape(begin, member, rows, folds)


def empty_slots(plan: Plan, layout: Layout, member: Member, rows: Rows, folds: Folds) -> Slot:
    """Free slots for the layout's devices, arrays of the shapes that a training of `member` has."""
    count = layout.slots * len(layout.devices)
    shapes = shapes_of(plan, member, rows, folds)

    def zeros(leaf: jax.ShapeDtypeStruct) -> Any:
        # NumPy has no random keys, which the state of an optimizer may hold.
        make = jax.lax.full if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended) else np.full
        return make((count, *leaf.shape), 0, leaf.dtype)

    empty = jax.tree.map(zeros, shapes)
    return empty._replace(stage=np.full(count, member.number.shape[-1], np.int32))
