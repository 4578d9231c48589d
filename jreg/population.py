"""Many trainings at once: slots that are refilled from a queue inside one compiled program.

Each device owns some slots and a queue. The program trains for a budget of epochs; a slot whose training has
ended writes its outcome down and takes the next one from the queue. What a queue doesn't get to is handed out
again at the next call, so devices stay evenly busy. The number of trainings is no part of any shape.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreg import training
from jreg._types import Array
from jreg.devices import AXIS, Layout
from jreg.splits import Folds
from jreg.stopping import StoppingState
from jreg.training import Plan, Rows, TrainState

# How many trainings a device is handed at a call, and how long a call should take: long enough that the host's
# work is lost in it, short enough for progress and Ctrl-C.
_QUEUE = 64
_SECONDS = 0.5


class Member(NamedTuple):
    """One training of a study; as arrays with a leading axis, many.

    Attributes:
      number: its place in the study, int32.
      hp: its traced hyperparameters, float32.
      fold: the number of its fold, int32.
      seed: uint32.
    """

    number: Any
    hp: dict[str, Any]
    fold: Any
    seed: Any


class Slot(NamedTuple):
    """A place for one training: who is in it, its state, and whether it is running."""

    member: Member
    state: TrainState
    busy: Any


class Outcome(NamedTuple):
    """What a finished training leaves.

    Attributes:
      number: its place in the study.
      history: ``(epochs, columns)``, NaN where not run.
      epochs: how many were run.
      best_epoch: the one that counts, from 0; -1 when no value was ever finite.
      status: index into `jreg.training.STATUS`.
    """

    number: Any
    history: Any
    epochs: Any
    best_epoch: Any
    status: Any


class Chunk(NamedTuple):
    """What one call of the program did: outcomes and how long it took.

    Attributes:
      outcomes: of the trainings that ended, NumPy arrays with a leading axis.
      compile_seconds: tracing and compiling, in the first chunk alone.
      run_seconds: everything else.
      useful: member-epochs that trained something.
      executed: member-epochs that were paid for.
    """

    outcomes: Outcome
    compile_seconds: float
    run_seconds: float
    useful: int
    executed: int


class Work(NamedTuple):
    """What a device gets for one call: members in line, how many, whether more wait behind them, and epochs."""

    queue: Any
    length: Any
    more: Any
    budget: Any


def _advance(slots: Slot, work: Work, rows: Rows, folds: Folds, *, plan: Plan, layout: Layout):
    """Trains every slot for a budget of epochs; returns the slots, outcomes and counts of each device."""
    own, all_ = PartitionSpec(AXIS), PartitionSpec()
    device = functools.partial(_device, plan=plan, layout=layout)
    return jax.shard_map(
        device,
        mesh=layout.mesh,
        in_specs=(own, Work(own, own, all_, all_), all_, all_),
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
    each = _map if layout.inner == "map" else jax.vmap
    longest = queue.number.shape[0]
    capacity = longest + layout.slots

    def context(member: Member):
        fold = jax.tree.map(lambda leaf: leaf[member.fold], folds)
        return training.member_key(member.seed, member.fold), member.hp, rows, fold

    def refill(taken: Array, slots: Slot):
        place = taken + jnp.cumsum((~slots.busy).astype(jnp.int32)) - 1
        fresh = ~slots.busy & (place < length)

        def one(fresh: Array, place: Array, slot: Slot) -> Slot:
            def begin() -> Slot:
                member = jax.tree.map(lambda leaf: leaf[place], queue)
                return Slot(member, training.start(plan, *context(member)), jnp.ones((), bool))

            return jax.lax.cond(fresh, begin, lambda: slot)

        # Under vmap the inner cond computes both sides; this one saves it while nothing is fresh.
        slots = jax.lax.cond(
            jnp.any(fresh), lambda: each(one)(fresh, jnp.minimum(place, longest - 1), slots), lambda: slots
        )
        return taken + jnp.sum(fresh.astype(jnp.int32)), slots

    def train(slot: Slot) -> Slot:
        def go() -> Slot:
            return slot._replace(state=training.epoch(plan, slot.state, *context(slot.member)))

        return jax.lax.cond(slot.busy, go, lambda: slot)

    def body(carry):
        taken, slots, outcomes, ended, useful, used = carry
        taken, slots = refill(taken, slots)
        useful = useful + jnp.sum(slots.busy.astype(jnp.int32))
        slots = each(train)(slots)
        done = slots.busy & (slots.state.status != training.RUNNING)
        place = jnp.where(done, ended + jnp.cumsum(done.astype(jnp.int32)) - 1, capacity)
        outcomes = jax.tree.map(lambda all_, new: all_.at[place].set(new, mode="drop"), outcomes, _outcome(slots))
        ended = ended + jnp.sum(done.astype(jnp.int32))
        return taken, slots._replace(busy=slots.busy & ~done), outcomes, ended, useful, used + 1

    def unfinished(carry):
        taken, slots, _, _, _, used = carry
        starved = jnp.any(~slots.busy) & (taken >= length)
        return (used < work.budget) & (jnp.any(slots.busy) | (taken < length)) & ~(starved & work.more)

    empty = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype), _outcome(slots))
    zero = jnp.zeros((), jnp.int32)
    taken, slots, outcomes, ended, useful, used = jax.lax.while_loop(
        unfinished, body, (zero, slots, empty, zero, zero, zero)
    )
    return slots, outcomes, jnp.stack([taken, ended, useful, used * layout.slots])[None]


def _map(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: jax.lax.map(lambda leaves: f(*leaves), arrays)


def _outcome(slots: Slot) -> Outcome:
    state = slots.state
    stopping = state.stopping
    best = stopping.best_epoch if isinstance(stopping, StoppingState) else state.epoch - 1
    return Outcome(slots.member.number, state.history, state.epoch, best, state.status)


def train(plan: Plan, layout: Layout, members: Member, rows: Rows, folds: Folds) -> Iterator[Chunk]:
    """Trains the members, a chunk of epochs at a time.

    Args:
      plan: their static part.
      layout: the devices and slots.
      members: NumPy arrays with a leading axis.
      rows: the data; copied to each device once.
      folds: of the study, NumPy arrays.

    Yields:
      A `Chunk` with the trainings that ended in it, in no particular order.
    """
    began = time.perf_counter()
    replicated = NamedSharding(layout.mesh, PartitionSpec())
    rows, folds = jax.device_put((rows, folds), replicated)
    slots = _empty_slots(plan, layout, members, rows, folds)
    waiting = list(range(len(members.number)))
    work, given, waiting = _hand_out(members, waiting, layout, budget=4)
    program = _advance_on_cpu if layout.devices[0].platform == "cpu" else _advance_elsewhere
    # The call below finds what this compiles; apart, the two times can be told.
    program.lower(slots, work, rows, folds, plan=plan, layout=layout).compile()
    compiled = time.perf_counter()
    compile_seconds, left = compiled - began, len(members.number)
    while left:
        slots, outcomes, counts = program(slots, work, rows, folds, plan=plan, layout=layout)
        counts = np.asarray(counts)
        now = time.perf_counter()
        finished = _finished(outcomes, counts[:, 1], layout)
        left -= len(finished.number)
        waiting = sorted(sum((line[taken:] for line, taken in zip(given, counts[:, 0], strict=True)), waiting))
        yield Chunk(finished, compile_seconds, now - compiled, int(counts[:, 2].sum()), int(counts[:, 3].sum()))
        per_epoch = (now - compiled) / max(1, counts[:, 3].max() // layout.slots)
        budget = int(np.clip(_SECONDS / per_epoch, 1, 100_000))
        compile_seconds, compiled = 0.0, time.perf_counter()
        work, given, waiting = _hand_out(members, waiting, layout, budget)


def _hand_out(members: Member, waiting: list[int], layout: Layout, budget: int) -> tuple[Work, list[list[int]], list]:
    """The work of one call, which trainings each device got, and who still waits."""
    devices = len(layout.devices)
    turn, waiting = waiting[: devices * _QUEUE], waiting[devices * _QUEUE :]
    given = [turn[device::devices] for device in range(devices)]
    lines = np.array([line + [0] * (_QUEUE - len(line)) for line in given])
    queue = jax.tree.map(lambda leaf: leaf[lines], members)
    lengths = np.array([len(line) for line in given], np.int32)
    return Work(queue, lengths, np.bool_(bool(waiting)), np.int32(budget)), given, waiting


def _finished(outcomes: Outcome, ended: np.ndarray, layout: Layout) -> Outcome:
    capacity = _QUEUE + layout.slots
    place = np.concatenate([np.arange(count) + device * capacity for device, count in enumerate(ended)])
    return jax.tree.map(lambda leaf: np.asarray(leaf)[place], outcomes)


def _empty_slots(plan: Plan, layout: Layout, members: Member, rows: Rows, folds: Folds) -> Slot:
    member = jax.tree.map(lambda leaf: leaf[0], members)
    fold = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), folds)
    state = jax.eval_shape(
        lambda member, rows, fold: training.start(plan, training.member_key(member.seed, 0), member.hp, rows, fold),
        member,
        rows,
        fold,
    )
    slot = Slot(member, state, np.zeros((), bool))
    count = layout.slots * len(layout.devices)
    empty = jax.tree.map(lambda leaf: np.zeros((count, *leaf.shape), leaf.dtype), slot)
    return jax.device_put(empty, NamedSharding(layout.mesh, PartitionSpec(AXIS)))


def members_of(settings: Mapping[str, np.ndarray], count: int, folds: int, seeds: np.ndarray) -> Member:
    """All combinations of `count` settings, folds and seeds, numbered in that order.

    >>> members_of({"l2": np.array([0.1, 0.2], np.float32)}, 2, 3, np.array([0, 1], np.uint32)).number.shape
    (12,)
    """
    setting, fold, seed = (
        axis.reshape(-1) for axis in np.meshgrid(np.arange(count), np.arange(folds), seeds, indexing="ij")
    )
    hp = {name: values[setting] for name, values in settings.items()}
    number = np.arange(len(setting), dtype=np.int32)
    return Member(number, hp, fold.astype(np.int32), seed.astype(np.uint32))
