"""A training as pure functions of its state: the start, and one epoch with its evaluation."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base.random import plain, unrolled
from jreg._base.types import Array, Key, PyTree
from jreg.models.model import as_model
from jreg.objective import Penalty
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training.batch import augmented, forward_of, mixed
from jreg.training.evaluation import examples, fit_preprocessing, measure, outputs_of, targets_of
from jreg.training.plan import Plan
from jreg.training.stopping import StoppingState
from jreg.transforms import evaluation_params

RUNNING, COMPLETED, STOPPED, DIVERGED, PRUNED = range(5)
STATUS = ("running", "completed", "stopped", "diverged", "pruned")
# What a key is for; two purposes never share a stream.
_INIT, _SHUFFLE, _NOISE, _AUGMENT, _MIX, _TERMS = range(6)


class Rows(NamedTuple):
    """All examples and targets, on the device once however many members train."""

    x: Any
    y: Any


class TrainState(NamedTuple):
    """What the next epoch needs.

    Attributes:
      params: the network's parameters.
      model_state: its running averages; {} for most networks.
      opt_state: the optimizer's state.
      statistics: what preprocessing learned from the training rows.
      stopping: the early-stopping state with the best (params, model_state), or ().
      epoch: how many have been run, int32.
      status: `RUNNING`, `COMPLETED`, `STOPPED`, `DIVERGED` or, when a study gave it up, `PRUNED`, int32.
      history: ``(epochs, columns)`` float32, NaN where not run.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    statistics: PyTree
    stopping: StoppingState | tuple[()]
    epoch: Array
    status: Array
    history: Array


def member_key(seed: Array | int, fold: Array | int) -> Key:
    """The key of one training of a study; settings share it, so that their comparison is paired."""
    return plain(jax.random.fold_in(unrolled(jax.random.key(seed)), fold))


def start(
    plan: Plan,
    key: Key,
    hp: Mapping[str, Array],
    rows: Rows,
    fold: Folds,
    warm: tuple[Array, tuple[PyTree, PyTree]] | None = None,
) -> TrainState:
    """The state before the first epoch; `fold` is one fold, without the leading axis.

    `warm` is a flag and, where that is true, the (params, model_state) to begin with instead of fresh ones.
    """
    recipe = plan.build(hp)
    statistics = fit_preprocessing(recipe, rows.x, rows.y, fold)
    return begin(plan, recipe, key, statistics, rows.x[:1], fold.validation.shape[-1] > 0, warm)


def begin(
    plan: Plan,
    recipe: Recipe,
    key: Key,
    statistics: PyTree,
    x: Array,
    validated: bool,
    warm: tuple[Array, tuple[PyTree, PyTree]] | None = None,
) -> TrainState:
    """The state before the first epoch, of preprocessing that is fitted; `x` is one example for its shape."""
    sample = examples(recipe, statistics, x)
    params, model_state = as_model(recipe.model).init(jax.random.fold_in(unrolled(key), _INIT), sample)
    if warm is not None:
        flag, before = warm
        params, model_state = jax.tree.map(functools.partial(jnp.where, flag), before, (params, model_state))
    columns = plan.columns(recipe, validated)
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=recipe.optimizer.init(params),
        statistics=statistics,
        stopping=plan.stopping.init((params, model_state)) if plan.stopping else (),
        epoch=jnp.zeros((), jnp.int32),
        status=jnp.full((), RUNNING, jnp.int32),
        history=jnp.full((plan.epochs, len(columns)), jnp.nan, jnp.float32),
    )


def kept(state: TrainState) -> tuple[PyTree, PyTree]:
    """The parameters and running averages that count: with early stopping those of the best epoch."""
    if isinstance(state.stopping, StoppingState):
        return state.stopping.best_params
    return evaluation_params(state.opt_state, state.params), state.model_state


def best_epoch(state: TrainState) -> Array:
    """The epoch whose parameters count, from 0; -1 when no value was ever finite."""
    return state.stopping.best_epoch if isinstance(state.stopping, StoppingState) else state.epoch - 1


def epoch(plan: Plan, state: TrainState, key: Key, hp: Mapping[str, Array], rows: Rows, fold: Folds) -> TrainState:
    """One pass over the training rows in random order, then the evaluation on the validation rows."""
    recipe = plan.build(hp)
    measured, carry = _train(plan, recipe, state, unrolled(key), rows, fold)
    params, model_state, opt_state = carry
    shown = evaluation_params(opt_state, params)
    if fold.validation.shape[-1] > 0:
        outputs = outputs_of(recipe, shown, model_state, state.statistics, rows.x, fold.validation)
        weights = (jnp.arange(fold.validation.shape[-1]) < fold.validation_count).astype(jnp.float32)
        targets = targets_of(recipe, state.statistics, rows.x[fold.validation], rows.y[fold.validation])
        losses = recipe.losses(outputs, targets)
        measured |= measure(recipe, plan.task, outputs, targets, losses, weights, "val_")
    return close(plan, recipe, state, carry, shown, measured, fold.validation.shape[-1] > 0)


def close(
    plan: Plan,
    recipe: Recipe,
    state: TrainState,
    carry: tuple[PyTree, PyTree, PyTree],
    shown: PyTree,
    measured: Mapping[str, Array],
    validated: bool,
) -> TrainState:
    """The state after an epoch that left `carry`, whose parameters to evaluate are `shown`, and was `measured`."""
    params, model_state, opt_state = carry
    columns = plan.columns(recipe, validated)
    stopping = state.stopping
    finished = jnp.where(state.epoch + 1 >= plan.epochs, COMPLETED, RUNNING)
    if plan.stopping and isinstance(stopping, StoppingState):
        value = measured[plan.stopping.monitor]
        stopping = plan.stopping.update(stopping, value, state.epoch, (shown, model_state))
        finished = jnp.where(stopping.stopped, STOPPED, finished)
    finite = jnp.isfinite(measured["train_loss"]) & jnp.isfinite(measured.get("val_loss", jnp.zeros(())))
    # Terms that other settings have and this one hasn't are not measured.
    row = [measured.get(name, jnp.full((), jnp.nan, jnp.float32)) for name in columns]
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        statistics=state.statistics,
        stopping=stopping,
        epoch=state.epoch + 1,
        status=jnp.where(finite, finished, DIVERGED).astype(jnp.int32),
        history=state.history.at[state.epoch].set(jnp.stack(row)),
    )


def _train(plan: Plan, recipe: Recipe, state: TrainState, key: Key, rows: Rows, fold: Folds):
    batches, weights = shuffled(plan, key, state.epoch, fold)
    full = jnp.any(weights > 0, axis=1).astype(jnp.float32)
    before = state.epoch * jnp.sum(full).astype(jnp.int32)
    streams = streams_of(recipe, key, state.epoch)

    def step(carry: tuple[PyTree, PyTree, PyTree], inputs: tuple[Array, Array, Array]):
        number, chosen, weight = inputs
        batch = (rows.x[chosen], rows.y[chosen], weight)
        new, seen = train_batch(recipe, state.statistics, streams, before, carry, number, *batch)
        if plan.ragged:
            new = jax.tree.map(functools.partial(jnp.where, jnp.sum(weight) > 0), new, carry)
        return new, seen

    steps = jnp.arange(batches.shape[0])
    carry = (state.params, state.model_state, state.opt_state)
    carry, (outputs, losses, added) = jax.lax.scan(step, carry, (steps, batches, weights))
    chosen = batches.reshape(-1)
    targets = targets_of(recipe, state.statistics, rows.x[chosen], rows.y[chosen])
    outputs, losses = outputs.reshape(-1, *outputs.shape[2:]), losses.reshape(-1)
    measured = measure(recipe, plan.task, outputs, targets, losses, weights.reshape(-1), "train_")
    return measured | mean_terms(added, full), carry


def streams_of(recipe: Recipe, key: Key, epoch: Array) -> dict[int, Key]:
    """The epoch's key of each use that the recipe has for one; every step folds its number in."""
    penalty = recipe.penalty or Penalty()
    wanted = {_NOISE: True, _AUGMENT: recipe.augment, _MIX: recipe.mixing, _TERMS: penalty.needs("key")}
    return {use: jax.random.fold_in(jax.random.fold_in(key, use), epoch) for use in wanted if wanted[use]}


def mean_terms(added: Mapping[str, Array], full: Array) -> dict[str, Array]:
    """The penalty and its terms, ``(steps,)`` each, as means over the steps that have rows."""
    share = full / jnp.sum(full)
    return {f"penalty_{name}" if name else "penalty": jnp.sum(share * value) for name, value in added.items()}


def train_batch(
    recipe: Recipe,
    statistics: PyTree,
    streams: Mapping[int, Key],
    before: Array,
    carry: tuple[PyTree, PyTree, PyTree],
    number: Array,
    x: Array,
    y: Array,
    weight: Array,
) -> tuple[tuple[PyTree, PyTree, PyTree], tuple[Array, Array, dict[str, Array]]]:
    """One step on rows of the data, the epoch's `number`-th after `before` in the epochs before it.

    `carry` is (params, model_state, opt_state). Beside the new one there are the outputs, the losses, and the
    penalty's terms with their sum under "".
    """
    model, penalty = as_model(recipe.model), recipe.penalty or Penalty()
    params, model_state, opt_state = carry
    keys = {use: jax.random.fold_in(stream, number) for use, stream in streams.items()}
    y = targets_of(recipe, statistics, x, y)
    x = augmented(recipe, keys.get(_AUGMENT), examples(recipe, statistics, x))
    x, y = mixed(recipe, model, keys.get(_MIX), x, y, weight, params, model_state)
    share = weight / jnp.maximum(jnp.sum(weight), 1)

    def objective(params: PyTree):
        forward, updated = forward_of(recipe, model, penalty, params, model_state, x, y, weight, keys[_NOISE])
        losses = recipe.losses(forward.outputs, y)
        loss = jnp.sum(share * losses)
        forward = forward._replace(loss=loss, step=before + number, key=keys.get(_TERMS))
        terms = penalty.values(forward)
        added = sum(terms.values(), start=jnp.zeros((), jnp.float32))
        return loss + added, (updated, (forward.outputs, losses, {"": added, **terms}))

    gradient = jax.grad(objective, has_aux=True)
    (value, (updated, seen)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
    updates, moved = recipe.update(gradients, opt_state, params, value, lambda params, _: gradient(params)[0])
    return (optax.apply_updates(params, updates), updated, moved), seen


def shuffled(plan: Plan, key: Key, epoch: Array, fold: Folds) -> tuple[Array, Array]:
    """The rows that each step of an epoch takes, and weights that are 0 for padding."""
    return _shuffle(jax.random.fold_in(key, _SHUFFLE), epoch, fold, plan.batch_size)


def _shuffle(key: Key, epoch: Array, fold: Folds, batch_size: int) -> tuple[Array, Array]:
    """Row numbers ``(steps, batch)`` in random order, and weights that are 0 for padding."""
    length = fold.train.shape[-1]
    size = min(batch_size, length)
    steps = -(-length // size)
    position = jnp.arange(length)
    # The first bits of a longer draw are those of a shorter one (JAX's partitionable threefry), so a fold's order
    # doesn't depend on how far its rows are padded; padding sorts to the end.
    bits = jax.random.bits(jax.random.fold_in(key, epoch), (length,), jnp.uint32)
    order = _argsort(jnp.where(position < fold.train_count, bits, jnp.uint32(2**32 - 1)))
    place = jnp.arange(steps * size)
    chosen = fold.train[order[place % length]]
    weights = (place < fold.train_count).astype(jnp.float32)
    return chosen.reshape(steps, size), weights.reshape(steps, size)


def _argsort(bits: Array) -> Array:
    """What ``jnp.argsort(bits, stable=True)`` gives, on CPU several times as fast."""
    length = bits.shape[0]
    if length > 2**16:
        return jnp.argsort(bits, stable=True)
    # A radix sort by two digits: XLA sorts plain numbers much faster than pairs, so each digit is sorted together
    # with the place that it came from.
    place, low = jnp.arange(length, dtype=jnp.uint32), jnp.uint32(0xFFFF)
    first = jnp.sort((bits << jnp.uint32(16)) | place) & low
    second = jnp.sort((bits[first] & ~low) | place) & low
    return first[second]
