"""A training as pure functions of its state: the start, and one epoch with its evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.tree import all_finite
from jreg._base.types import Array, Key, PyTree
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training import class_weights, keys, measure, recomputed
from jreg.training.initial import initial
from jreg.training.inputs import Rows, counted, examples, fit_preprocessing, take
from jreg.training.objective import Carry, purposes_of, term_names, train_batch
from jreg.training.plan import Plan
from jreg.training.shuffle import shuffled
from jreg.training.spreading import whole
from jreg.training.status import Status
from jreg.training.stopping import StoppingState
from jreg.transforms import evaluation_params


class Training(NamedTuple):
    """What one training is given and keeps to its end.

    Attributes:
      keys: ``(6,)``, the `jreg.training.keys.streams` from which all its randomness is derived.
      hp: its traced hyperparameters.
      fold: its rows, one fold without the leading axis.
      epochs: how many it has, int32; at most those of the plan.
    """

    keys: Key
    hp: Mapping[str, Array]
    fold: Folds
    epochs: Any


class TrainState(NamedTuple):
    """What the next epoch needs.

    Attributes:
      params: the network's parameters.
      model_state: its running averages; {} for most networks.
      opt_state: the optimizer's state.
      statistics: what preprocessing learned from the training rows.
      stopping: the early-stopping state with the best (params, model_state), or ().
      epoch: how many have been run, int32.
      status: a `Status`, int32.
      history: ``(epochs, columns)`` float32, NaN where not run.
      shown: the model's state to evaluate with where the optimizer averages parameters that have batch statistics;
        () elsewhere.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    statistics: PyTree
    stopping: StoppingState | tuple[()]
    epoch: Array
    status: Array
    history: Array
    shown: PyTree = ()


def recipe_of(plan: Plan, training: Training) -> Recipe:
    """The recipe of a training."""
    return plan.build(training.hp, training.fold, training.epochs)


def start(
    plan: Plan, training: Training, rows: Rows, warm: tuple[Array, tuple[PyTree, PyTree]] | None = None
) -> TrainState:
    """The state before the first epoch.

    `warm` is a flag and, where that is true, the (params, model_state) to begin with instead of fresh ones.
    """
    recipe = recipe_of(plan, training)
    statistics = fit_preprocessing(recipe, rows, training.fold)
    return begin(plan, recipe, training.keys[keys.INIT], statistics, jax.tree.map(lambda leaf: leaf[:1], rows.x), warm)


def begin(
    plan: Plan,
    recipe: Recipe,
    key: Key,
    statistics: PyTree,
    x: PyTree,
    warm: tuple[Array, tuple[PyTree, PyTree]] | None = None,
) -> TrainState:
    """The state before the first epoch, of preprocessing that is fitted.

    `key` is for the initial parameters, `x` one example for its shape.
    """
    sample = examples(recipe, statistics, x)
    params, model_state = initial(recipe, key, sample)
    if warm is not None:
        flag, before = warm
        params, model_state = jax.tree.map(functools.partial(jnp.where, flag), before, (params, model_state))
    opt_state = recipe.optimizer.init(params)
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        statistics=statistics,
        stopping=plan.stopping.init((params, model_state)) if plan.stopping else (),
        epoch=jnp.zeros((), jnp.int32),
        status=jnp.full((), Status.RUNNING, jnp.int32),
        history=jnp.full((plan.epochs, len(plan.columns)), jnp.nan, jnp.float32),
        shown=model_state if recomputed.separate(opt_state, model_state) else (),
    )


def final_network(state: TrainState) -> tuple[PyTree, PyTree]:
    """The parameters and running averages that a training ends with: with early stopping those of the best epoch."""
    if isinstance(state.stopping, StoppingState):
        return state.stopping.best_params
    separate = recomputed.separate(state.opt_state, state.model_state)
    return evaluation_params(state.opt_state, state.params), state.shown if separate else state.model_state


def best_epoch(state: TrainState) -> Array:
    """The zero-based epoch whose parameters count; -1 when no value was ever finite."""
    return state.stopping.best_epoch if isinstance(state.stopping, StoppingState) else state.epoch - 1


def epoch(
    plan: Plan,
    state: TrainState,
    training: Training,
    rows: Rows,
    wanted: Array | bool = True,
    axis: str | None = None,
) -> TrainState:
    """One pass over the training rows in random order, then the evaluation on those to stop and to score on.

    Args:
      plan: the static part.
      state: before the epoch.
      training: what it was given at its start.
      rows: the data.
      wanted: under `jax.vmap`, whether this training is to advance; one that isn't holds up no other.
      axis: the name of the vmapped axis, along which trainings take their steps together; default: no such axis.
    """
    recipe = recipe_of(plan, training)
    measured, carry, batch = _train(plan, recipe, state, training, rows, wanted, axis)
    params, model_state, opt_state = carry
    shown = evaluation_params(opt_state, params), model_state
    if recomputed.separate(opt_state, model_state):
        steps = plan.steps(training.fold)

        def add(number: Array, sums: recomputed.Sums) -> recomputed.Sums:
            own, x, _, weight = batch(number)
            after = recomputed.added(recipe, state.statistics, own, *shown, sums, x, weight)
            return jax.tree.map(functools.partial(jnp.where, number < steps), after, sums)

        count = measure.repeats(steps, wanted, axis)
        sums = jax.lax.fori_loop(0, count, add, recomputed.begun(model_state))
        shown = shown[0], recomputed.finished(model_state, sums)
    network = (*shown, state.statistics)
    for split in plan.evaluated:
        given = network, rows, training.fold, split, plan.parts, wanted, axis
        measured |= measure.evaluate_rows(recipe, plan.task, plan.block, *given)
    measured |= measure.of_params(recipe, plan.task, shown[0])
    return close(plan, state, carry, shown, measured, training.fold, training.epochs)


def close(
    plan: Plan,
    state: TrainState,
    carry: Carry,
    shown: tuple[PyTree, PyTree],
    measured: Mapping[measure.Key, Array],
    fold: Folds,
    epochs: Array | int,
) -> TrainState:
    """The state after an epoch that left `carry` and was `measured` with the (params, model_state) that are `shown`."""
    params, model_state, opt_state = carry
    stopping, there = state.stopping, {split: fold.part(split)[1] > 0 for split in plan.evaluated}
    # Parameters too: ReLU hides those that are minus infinity from the losses, and no training loss has seen the last
    # update. What an optimizer keeps may be infinite by design, as the best value so far is at the start.
    finite = jnp.isfinite(measured["train", "loss", "loss"]) & all_finite((params, shown[0]))
    for split in plan.evaluated:
        finite &= jnp.isfinite(measured[split, "loss", "loss"]) | ~there[split]
    finished = jnp.where(state.epoch + 1 >= epochs, Status.COMPLETED, Status.RUNNING)
    if plan.stopping and plan.monitored and isinstance(stopping, StoppingState):
        # NaN is no improvement, so the best parameters are those of an earlier epoch.
        value = jnp.where(finite, jnp.asarray(measured[plan.monitored.key], jnp.float32), jnp.nan)
        by_rule = plan.stopping.update(stopping, value, state.epoch, shown)
        newest = stopping._replace(best_epoch=state.epoch, best_params=shown)
        # A final training has nothing to stop on, unless some of its rows were set aside for that, and an outer one of
        # nested folds mustn't stop on what scores it.
        stops = fold.number < jnp.uint32(keys.FINAL)
        if plan.monitored.split == "validation":
            stops &= there["validation"]
        elif plan.monitored.split == "stopping":
            stops = there["stopping"]
        stopping = jax.tree.map(functools.partial(jnp.where, stops), by_rule, newest)
        finished = jnp.where(stopping.stopped, Status.STOPPED, finished)
    # Terms that other settings have and this one hasn't are not measured.
    row = [measured.get(column.key, jnp.full((), jnp.nan, jnp.float32)) for column in plan.columns]
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        statistics=state.statistics,
        stopping=stopping,
        epoch=state.epoch + 1,
        status=jnp.where(finite, finished, Status.DIVERGED).astype(jnp.int32),
        history=state.history.at[state.epoch].set(jnp.stack(row)),
        shown=shown[1] if recomputed.separate(opt_state, model_state) else (),
    )


def _train(
    plan: Plan,
    recipe: Recipe,
    state: TrainState,
    training: Training,
    rows: Rows,
    wanted: Array | bool,
    axis: str | None,
) -> tuple[dict[measure.Key, Array], Carry, Callable[[Array], Any]]:
    """What an epoch measures while it trains, what it leaves, and its batches by their number."""
    fold, size = training.fold, plan.batch_size
    steps = plan.steps(fold)
    streams = keys.of_epoch(training.keys, state.epoch)
    order = shuffled(streams[keys.SHUFFLE], fold, size)
    # All steps' keys at once: a derivation in each step costs as much as a small layer.
    drawn = {purpose: keys.of_steps(streams[purpose], order.shape[0] // size) for purpose in purposes_of(recipe)}
    before = state.epoch * steps

    def batch(number: Array) -> tuple[dict[int, Key], PyTree, PyTree, Array]:
        chosen = jax.lax.dynamic_slice_in_dim(order, number * size, size)
        weight = counted(rows, chosen, number * size + jnp.arange(size, dtype=jnp.int32) < fold.train_count)
        own = {purpose: key_of(number) for purpose, key_of in drawn.items()}
        return own, take(rows.x, chosen), take(rows.y, chosen), weight

    full, classes = plan.full(fold), None

    def step(number: Array, everything: Any) -> Any:
        carry, states = everything
        own, x, y, weight = batch(number)
        given = (own, before, carry, number, x, y, weight, full, classes)
        new, (seen, added) = train_batch(recipe, state.statistics, *given)
        after = (whole(new), measure.update(recipe, plan.task, states, seen, weight, added))
        if axis is not None:
            # Trainings with fewer steps wait for the others.
            after = jax.tree.map(functools.partial(jnp.where, number < steps), after, everything)
        return after

    carry = (state.params, state.model_state, state.opt_state)
    like = functools.partial(measure.block_shapes, recipe, *carry[:2], state.statistics, rows, size)
    if recipe.class_weight is not None:
        classes = class_weights.of_fold(rows, fold, class_weights.classes_in(like().outputs))
    states = measure.begin(recipe, plan.task, plan.parts, like, order.shape[0], term_names(recipe))
    count = measure.repeats(steps, wanted, axis)
    carry, states = jax.lax.fori_loop(0, count, step, (carry, states))
    return measure.compute(recipe, plan.task, states, "train", steps), carry, batch
