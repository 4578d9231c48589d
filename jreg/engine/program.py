"""Many trainings at once: slots that are refilled from a queue inside one compiled program.

Each device, or with `Layout.data` each group of devices that share their trainings, owns some slots and a queue. The
program trains for a budget of epochs; a slot whose training has ended puts its outcome into the outbox and takes the
next one from the queue. What a queue doesn't get to is handed out again at the next call (`jreg.engine.pool`), so
devices stay evenly busy. The number of trainings is no part of any shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg import training
from jreg._base.random import unrolled
from jreg._base.types import Array, PyTree
from jreg.engine.jobs import Counts, Job, Outcome, Slot, Work
from jreg.engine.layout import AXIS, Layout
from jreg.splits import Folds
from jreg.training import Plan, Rows, Status, Training

# The name of the axis along which a batch is vmapped.
AXIS_OF_BATCH = "batch"


def program(layout: Layout) -> Any:
    """The jitted ``(slots, outbox, work, rows, folds, *, plan, layout) -> (slots, outbox, Counts)``.

    `layout` is one of `Layout.programs`.
    """
    return _advance_on_cpu if layout.devices[0].platform == "cpu" else _advance_elsewhere


def _advance(slots: Slot, outbox: Outcome, work: Work, rows: Rows, folds: Folds, *, plan: Plan, layout: Layout):
    own, all_ = PartitionSpec(AXIS), PartitionSpec()
    device = functools.partial(_device, plan=plan, layout=layout)
    found = jax.shard_map(
        device,
        mesh=layout.mesh,
        in_specs=(own, own, Work(own, own, own, all_, all_), all_, all_),
        out_specs=own,
        # How a group's devices share its trainings is the compiler's business.
        axis_names={AXIS},
        # Between groups nothing is communicated, so there is no replication for JAX to check.
        check_vma=False,
    )(slots, outbox, work, rows, folds)
    # The compiler might split what comes out, too.
    return found if layout.data == 1 else jax.lax.with_sharding_constraint(found, NamedSharding(layout.mesh, own))


_compiled = functools.partial(
    jax.jit, _advance, static_argnames=("plan", "layout"), donate_argnames=("slots", "outbox")
)
# XLA uses half of AVX-512's width by default; a CPU without it compiles to the same code.
_advance_on_cpu = _compiled(compiler_options={"xla_cpu_prefer_vector_width": 512})
_advance_elsewhere = _compiled()


def training_of(job: Job, stage: Array | int, folds: Folds) -> Training:
    """What the training of a job's stage is given."""
    fold = jax.tree.map(lambda leaf: jnp.asarray(leaf)[job.fold], folds)
    hp = {name: values[stage] for name, values in job.hp.items()}
    return Training(unrolled(jax.random.wrap_key_data(job.keys)), hp, fold, job.epochs)


def _device(slots: Slot, outbox: Outcome, work: Work, rows: Rows, folds: Folds, *, plan: Plan, layout: Layout):
    queue, length = jax.tree.map(lambda leaf: leaf[0], (work.queue, work.length))
    stages, capacity = queue.id.shape[1], outbox.id.shape[0]

    def waiting(carry: tuple[Array, Slot]) -> Array:
        taken, slots = carry
        return jnp.any(~slots.busy & ((slots.stage < stages) | (taken < length)))

    def refill(carry: tuple[Array, Slot]) -> tuple[Array, Slot]:
        # One slot at a time: under vmap all slots would pay for each start.
        taken, slots = carry
        job, stage, warm, goes_on = jax.tree.map(lambda leaf: leaf[taken], queue), jnp.int32(0), None, jnp.bool_(False)
        place = jnp.argmin(slots.busy)
        if stages > 1:
            onward = ~slots.busy & (slots.stage < stages)
            place = jnp.where(jnp.any(onward), jnp.argmax(onward), place)
            old, goes_on = jax.tree.map(lambda leaf: leaf[place], slots), onward[place]
            job = jax.tree.map(functools.partial(jnp.where, goes_on), old.job, job)
            stage = jnp.where(goes_on, old.stage, 0)
            well = goes_on & (old.state.status != Status.DIVERGED)
            warm = well, training.final_network(old.state)
        state = training.start(plan, training_of(job, stage, folds), rows, warm)
        # The host writes NaN where not run, so that jax_debug_nans meets none but those that were computed.
        state = state._replace(history=jnp.zeros_like(state.history))
        new = Slot(job, state, stage, jnp.ones((), bool))
        return taken + jnp.where(goes_on, 0, 1), _put(slots, new, place)

    def train(wanted: Array, slot: Slot) -> Slot:
        axis = AXIS_OF_BATCH if layout.batch > 1 else None
        given = training_of(slot.job, slot.stage, folds)
        return slot._replace(state=training.epoch(plan, slot.state, given, rows, wanted, axis))

    def body(carry):
        taken, slots, outbox, ended, useful, executed, used = carry
        taken, slots = jax.lax.while_loop(waiting, refill, (taken, slots))
        running = slots.busy & ~_done(slots)
        slots = _each(layout, train)(running, slots)
        ended, outbox, busy, stage = _collect(plan, slots, outbox, ended, rows, folds)
        slots = slots._replace(busy=busy, stage=stage)
        batches = jnp.any(running.reshape(-1, layout.batch), axis=1)
        trains, pays = (jnp.sum(flags, dtype=jnp.int32) for flags in (running, batches))
        return taken, slots, outbox, ended, useful + trains, executed + pays * layout.batch, used + 1

    def unfinished(carry):
        taken, slots, _, ended, *_, used = carry
        free = ~slots.busy & (slots.stage >= stages)
        starved = jnp.any(free) & (taken >= length)
        todo = ~jnp.all(free) | (taken < length)
        return (used < work.budget) & todo & ~(starved & work.more) & (ended < capacity)

    status = jnp.where(work.drop & slots.busy, jnp.int32(Status.PRUNED), slots.state.status)
    slots = slots._replace(state=slots.state._replace(status=status))
    zero = jnp.zeros((), jnp.int32)
    taken, slots, outbox, ended, useful, executed, _ = jax.lax.while_loop(
        unfinished, body, (zero, slots, outbox, zero, zero, zero, zero)
    )
    counts = Counts(taken, ended, useful, executed)
    return slots, outbox, jax.tree.map(lambda leaf: leaf[None], counts)


def _done(slots: Slot) -> Array:
    """Which slots' trainings have ended; a slot stays busy until its outcome is in the outbox."""
    return slots.busy & ((slots.state.status != Status.RUNNING) | (slots.state.epoch >= slots.job.limit))


def _collect(
    plan: Plan, slots: Slot, outbox: Outcome, ended: Array, rows: Rows, folds: Folds
) -> tuple[Array, Outcome, Array, Array]:
    """Puts the outcomes of trainings that have ended into the outbox, one at a time and as many as there is room for.

    Returns how many there are now, the outbox, and the slots' new `busy` and `stage`.
    """
    done, (capacity, stages) = _done(slots), (outbox.id.shape[0], slots.job.id.shape[1])

    def some(carry: Any) -> Array:
        ended, _, busy, _ = carry
        return jnp.any(done & busy) & (ended < capacity)

    def one(carry: Any) -> Any:
        ended, outbox, busy, stage = carry
        place = jnp.argmax(done & busy)
        slot = jax.tree.map(lambda leaf: leaf[place], slots)
        found = outcome_of(plan, slot, rows, folds)
        outbox = _put(outbox, found, ended)
        following = jnp.where(found.status == Status.PRUNED, stages, slot.stage + 1)
        return ended + 1, outbox, busy.at[place].set(False), stage.at[place].set(following)

    there = (ended, outbox, slots.busy, slots.stage)
    # With one slot what is kept doesn't change from one round of the loop to the next, so XLA would compute it before
    # the loop, in each epoch: the condition keeps it to those in which a training ends.
    return jax.lax.cond(some(there), lambda: jax.lax.while_loop(some, one, there), lambda: there)


def _put(many: Any, one: Any, place: Array) -> Any:
    """Puts a slot or an outcome among others, in place; an indexed update checks bounds, and so copies all of them."""
    return jax.tree.map(lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, place, 0), many, one)


def outcome_of(plan: Plan, slot: Slot, rows: Rows, folds: Folds) -> Outcome:
    """What the training in a slot leaves."""
    state, job = slot.state, slot.job
    stage = jnp.minimum(slot.stage, job.id.shape[-1] - 1)
    kept: dict[str, PyTree] = {}
    if plan.keep:
        given = training_of(job, stage, folds)
        network, recipe = training.final_network(state), training.recipe_of(plan, given)
        finished = training.Finished(*network, state.statistics, recipe, rows, given.fold, plan.block, plan.task)
        kept = training.collect(plan.keep, finished)
    status = jnp.where(state.status == Status.RUNNING, jnp.int32(Status.WAITING), state.status)
    return Outcome(job.id[stage], status, job.limit, state.epoch, training.best_epoch(state), state.history, kept)


def _each(layout: Layout, function: Callable[[Array, Slot], Slot]) -> Callable[[Array, Slot], Slot]:
    """The function on each slot that is wanted, `layout.batch` slots at once; a batch that wants none is skipped."""

    def one(wanted: Array, slot: Slot) -> Slot:
        return jax.lax.cond(wanted, lambda: function(wanted, slot), lambda: slot)

    def among(wanted: Array, slot: Slot) -> Slot:
        new = function(wanted, slot)
        return jax.tree.map(functools.partial(jnp.where, wanted), new, slot)

    def some(wanted: Array, slots: Slot) -> Slot:
        together = jax.vmap(among, axis_name=AXIS_OF_BATCH)
        return jax.lax.cond(jnp.any(wanted), lambda: together(wanted, slots), lambda: slots)

    def all_(wanted: Array, slots: Slot) -> Slot:
        if layout.batch == 1:
            return jax.lax.map(lambda pair: one(*pair), (wanted, slots))
        if layout.batch == layout.slots:
            return some(wanted, slots)
        split = jax.tree.map(lambda leaf: leaf.reshape(-1, layout.batch, *leaf.shape[1:]), (wanted, slots))
        done = jax.lax.map(lambda pair: some(*pair), split)
        return jax.tree.map(lambda leaf: leaf.reshape(layout.slots, *leaf.shape[2:]), done)

    return all_


@functools.partial(jax.jit, static_argnums=0)
def _begun(plan: Plan, job: Job, rows: Rows, folds: Folds) -> tuple[Slot, Outcome]:
    state = training.start(plan, training_of(job, 0, folds), rows)
    slot = Slot(job, state, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    return slot, outcome_of(plan, slot, rows, folds)


def shapes_of(plan: Plan, job: Job, rows: Rows, folds: Folds) -> tuple[Slot, Outcome]:
    """A slot with a training of `job` in it and the outcome of that, as shapes; traced once for each plan."""
    # As shapes alone: where the arrays lie is all the same.
    given = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            np.shape(leaf), leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        ),
        (job, rows, folds),
    )
    return _begun.eval_shape(plan, *given)


def empty(shapes: Any, count: int) -> Any:
    """Arrays of zeros with a leading axis, for things of these shapes."""

    def zeros(leaf: jax.ShapeDtypeStruct) -> Any:
        # NumPy has no random keys, which the state of an optimizer may hold; its zeros take memory once they are
        # written to, so that a device's copy is the only one.
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended):
            return jax.lax.full((count, *leaf.shape), 0, leaf.dtype)
        return np.zeros((count, *leaf.shape), leaf.dtype)

    return jax.tree.map(zeros, shapes)
