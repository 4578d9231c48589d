"""Training on data that are read from the host a batch at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.types import Array, Key, PyTree
from jreg.data.blocks import HostRows
from jreg.recipe import Recipe
from jreg.splits import Folds, pack
from jreg.training import doors, keys, measure, recomputed
from jreg.training._source import Reader, batches_of, host_device
from jreg.training.check import make_plan, sample_steps, sampled
from jreg.training.class_weights import classes_in
from jreg.training.fit import Fit, divided, first_fold, fit_of, named_tracers
from jreg.training.inputs import Rows, targets_of
from jreg.training.objective import Carry, purposes_of, term_names, train_batch
from jreg.training.observing import Observer, epoch_of, observer
from jreg.training.plan import MOST_ROWS, Plan
from jreg.training.shuffle import shuffled
from jreg.training.status import Status
from jreg.training.step import Training, TrainState, begin, close, recipe_of
from jreg.training.stopping import EarlyStopping
from jreg.transforms import evaluation_params

_streams = jax.jit(keys.streams)
_shown = jax.jit(evaluation_params)


@functools.partial(jax.jit, static_argnums=3)
def _shuffled(streams: Key, epoch: Array, fold: Folds, batch_size: int) -> Array:
    return shuffled(keys.of_epoch(streams, epoch)[keys.SHUFFLE], fold, batch_size)


@functools.partial(jax.jit, static_argnums=0)
def _begin(plan: Plan, training: Training, statistics: PyTree, x: Array) -> TrainState:
    return begin(plan, recipe_of(plan, training), training.keys[keys.INIT], statistics, x)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _meters(
    plan: Plan, training: Training, network: tuple[PyTree, PyTree, PyTree], rows: Any, most: int, trains: bool
) -> measure.State:
    recipe = recipe_of(plan, training)
    terms = term_names(recipe) if trains else ()
    like = functools.partial(measure.block_shapes, recipe, *network, rows, 1)
    return measure.begin(recipe, plan.task, plan.parts, like, most, terms)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=4)
def _step(
    plan: Plan,
    training: Training,
    statistics: PyTree,
    epoch: Array,
    everything: Any,
    number: Array,
    x: Array,
    y: Array,
    weight: Array,
    classes: Array | None,
):
    recipe = recipe_of(plan, training)
    streams = keys.of_epoch(training.keys, epoch)
    own = {purpose: jax.random.fold_in(streams[purpose], number) for purpose in purposes_of(recipe)}
    carry, states = everything
    before = epoch * plan.steps(training.fold)
    batch = (x, y, weight, plan.full(training.fold), classes)
    carry, (seen, added) = train_batch(recipe, statistics, own, before, carry, number, *batch)
    # The last is there when the step is done, and isn't given away to the next one.
    return (carry, measure.update(recipe, plan.task, states, seen, weight, added)), jnp.sum(weight)


@functools.partial(jax.jit, static_argnums=0)
def _added(plan: Plan, training: Training, state: TrainState, shown: Any, sums: Any, number: Any, x: Any, weight: Any):
    recipe, streams = recipe_of(plan, training), keys.of_epoch(training.keys, state.epoch)
    own = {purpose: jax.random.fold_in(streams[purpose], number) for purpose in purposes_of(recipe)}
    return recomputed.added(recipe, state.statistics, own, *shown, sums, x, weight)


@functools.partial(jax.jit, static_argnums=0)
def _evaluated(
    plan: Plan, training: Training, network: tuple[PyTree, PyTree, PyTree], states: Any, x: Array, y: Array
) -> Any:
    recipe = recipe_of(plan, training)
    block = measure.seen(recipe, measure.forward(recipe, *network, x), targets_of(recipe, network[2], x, y))
    return measure.update(recipe, plan.task, states, block, jnp.ones(len(block.losses), jnp.float32))


@functools.partial(jax.jit, static_argnums=0)
def _close(
    plan: Plan, training: Training, state: TrainState, carry: Carry, shown: Any, train: Any, validation: Any, steps: Any
) -> TrainState:
    recipe = recipe_of(plan, training)
    measured = measure.compute(recipe, plan.task, train, "train", steps)
    if validation is not None:
        measured |= measure.compute(recipe, plan.task, validation, "validation")
    measured |= measure.of_params(recipe, plan.task, shown[0])
    return close(plan, state, carry, shown, measured, training.fold, training.epochs)


def fit_stream(
    key: Key,
    recipe: Callable[[Any], Recipe],
    source: Any,
    hp: Mapping[str, Any] | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    train: Any = None,
    validation: Any = None,
    static: Iterable[str] = (),
    missing: str = "reject",
    statistics: tuple[PyTree, PyTree] | None = None,
    workers: int = 2,
    prefetch: int = 4,
    progress: Observer | Sequence[Observer] = (),
) -> Fit:
    """Trains one network on data bigger than the device's memory: as `fit`, but rows are read when they are needed.

    Order, noise, augmentation and early stopping are those of `fit` with the same key, and so are the results, but for
    rounding. On the device there are only a few batches at a time, and blocks of validation rows. The host reads the
    next batches by grain, in threads. Metrics accumulate from batch to batch.

    Preprocessing is fitted on the training rows by blocks, which are read once or twice for each part that is fitted.

    Args:
      key, recipe, hp, epochs, batch_size, stopping, train, validation, static, progress: as in `fit`.
      source: has ``len(source)`` and ``source[i]``, a pair (x, y) of one example, in any thread; for example grain's
        data sources, a map-style data set of PyTorch's, or a class around memory-mapped arrays. Values are as in a
        `Dataset`; each row is checked when it is read.
      missing: ``"reject"``, or ``"keep"`` for examples with NaN that the recipe then has to `impute`.
      statistics: (of the examples, of the targets) for preprocessing that is fitted elsewhere, as `Fit.statistics`,
        with () for what isn't preprocessed. Only so can a median be imputed, which would need all rows at once.
      workers: threads that read.
      prefetch: batches that are read ahead.

    Returns:
      A `Fit`.

    Raises:
      ImportError: grain isn't installed.
      KeyError: the recipe reads a hyperparameter that is not in `hp`.
      ValueError: a number is out of range, a row of the source doesn't fit the first one or has NaN, or preprocessing
        needs all rows at once.
      TypeError: `source` has no length or can't be indexed, or an item is no pair.

    >>> import jax, optax
    >>> from jreg import Recipe, load_dataset, losses, nn
    >>> wine = load_dataset("wine")
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(0.1))
    >>> source = list(zip(wine.x, wine.y))
    >>> int(fit_stream(jax.random.key(0), recipe, source, epochs=2).epochs)
    2

    Source: grain's ``MapDataset``; Goodfellow, Bengio and Courville, Deep Learning (2016), algorithms 8.1 and 7.1.
    """
    doors.check_key(key)
    setting, traced, fixed = divided(hp, static)
    reader = Reader(source, missing, checks.count(workers, "workers"), checks.count(prefetch, "prefetch"))
    if not reader.length:
        raise ValueError("fit_stream has no rows to train on: the source is empty")
    rows, chosen = doors.rows_given(train, validation, reader.length)
    head, folds = reader.head(int(rows[0])), pack([(rows, chosen)])
    samples = sampled(recipe, [setting], sample_steps(head, folds, epochs, batch_size))
    plan = make_plan(recipe, samples, fixed, head, folds, epochs, batch_size, stopping)
    # Only one row of the data is here, which says nothing about how many there are.
    plan = dataclasses.replace(plan, batch_size=min(samples[0][1].batch_size or batch_size, reader.length))
    training = Training(_streams(key), traced, first_fold(folds), np.int32(epochs))
    with named_tracers(plan, traced, head, folds):
        return _run(plan, training, reader, statistics, observer(progress or ()))


def _run(
    plan: Plan, given: Training, reader: Reader, statistics: tuple[PyTree, PyTree] | None, observe: Observer
) -> Fit:
    host, fold = host_device(), given.fold
    # The row numbers stay here.
    training = given._replace(fold=fold._replace(train=fold.train[:0], validation=fold.validation[:0]))
    if statistics is None:
        with jax.default_device(host):
            statistics = _fitted(recipe_of(plan, training), reader, np.asarray(fold.train))
    statistics = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), statistics)
    x, y = reader.read(fold.train[:1])
    state = _begin(plan, training, statistics, x)
    recipe = recipe_of(plan, training)
    network = (state.params, state.model_state, state.statistics)
    outputs = measure.block_shapes(recipe, *network, Rows(x, y), 1).outputs
    if plan.task == "classification" and outputs.ndim == 2 and not recipe.reconstruct:
        reader.labels = max(outputs.shape[-1], 2)
    if recipe.class_weight is not None:
        reader.balance(np.asarray(fold.train), classes_in(outputs))
    while state.status == Status.RUNNING:
        # What grows with the data stays on the host's own device.
        with jax.default_device(host):
            there = jax.device_put(training.keys, host) if host else training.keys
            order = np.asarray(_shuffled(there, np.asarray(state.epoch), fold, plan.batch_size))
        carry, train = _epoch(plan, training, state, reader, order, len(fold.train), Rows(x, y))
        shown = _shown_network(plan, training, state, carry, reader, order, len(fold.train))
        validation = _validated(plan, training, state, shown, reader, fold.validation, Rows(x, y))
        state = _close(plan, training, state, carry, shown, train, validation, plan.steps(fold))
        observe(epoch_of(plan, state, training.epochs))
    return fit_of(plan, state)


def _epoch(
    plan: Plan, training: Training, state: TrainState, reader: Reader, order: np.ndarray, count: int, like: Rows
) -> tuple[Carry, measure.State]:
    """The carry after all steps, and what was measured in them."""
    batches, weights = batches_of(plan.batch_size, order, count)
    network = (state.params, state.model_state, state.statistics)
    states = _meters(plan, training, network, like, order.size, True)
    # Each step's state takes the place of the one before it; the epoch's own first one is still needed by `state`.
    everything = jax.tree.map(jnp.copy, ((state.params, state.model_state, state.opt_state), states))
    last: Any = None
    with contextlib.closing(reader.batches(batches)) as read:
        for number, ((x, y), weight) in enumerate(zip(read, weights, strict=True)):
            place = (state.statistics, state.epoch, everything, np.int32(number))
            everything, done = _step(plan, training, *place, x, y, weight, reader.classes)
            # Waits for the step before this one, so that only two batches are on the device.
            jax.block_until_ready(last)
            last = done
    return everything


def _shown_network(
    plan: Plan, training: Training, state: TrainState, carry: Carry, reader: Reader, order: np.ndarray, count: int
) -> tuple[PyTree, PyTree]:
    """The parameters and running averages to evaluate."""
    params, model_state, opt_state = carry
    shown = _shown(opt_state, params), model_state
    if not recomputed.separate(opt_state, model_state):
        return shown
    sums, (batches, weights) = recomputed.begun(model_state), batches_of(plan.batch_size, order, count)
    with contextlib.closing(reader.batches(batches)) as read:
        for number, ((x, _), weight) in enumerate(zip(read, weights, strict=True)):
            sums = jax.block_until_ready(_added(plan, training, state, shown, sums, np.int32(number), x, weight))
    return shown[0], recomputed.finished(model_state, sums)


def _validated(
    plan: Plan,
    training: Training,
    state: TrainState,
    shown: tuple[PyTree, PyTree],
    reader: Reader,
    chosen: np.ndarray,
    like: Rows,
) -> Any:
    """What was measured on the validation rows; None where there are none."""
    if not chosen.size:
        return None
    network = (*shown, state.statistics)
    states = _meters(plan, training, network, like, len(chosen), False)
    blocks = [chosen[first : first + plan.block] for first in range(0, len(chosen), plan.block)]
    with contextlib.closing(reader.batches(blocks)) as read:
        for x, y in read:
            states = _evaluated(plan, training, network, states, x, y)
    return states


def _fitted(recipe: Recipe, reader: Reader, train: np.ndarray) -> tuple[PyTree, PyTree]:
    """Statistics of the examples and of the targets, from the training rows alone."""
    weights = np.bincount(train, minlength=reader.length).astype(np.float32)

    def of(part: int) -> Any:
        like = reader.like[part]

        def read(first: int, last: int) -> np.ndarray:
            rows = np.zeros((last - first, *like.shape), like.dtype)
            # Other rows have weight 0, so that they needn't be read.
            meant = np.flatnonzero(weights[first:last])
            blocks = [meant[place : place + MOST_ROWS] for place in range(0, len(meant), MOST_ROWS)]
            with contextlib.closing(reader.batches([first + block for block in blocks])) as found:
                for block, pair in zip(blocks, found, strict=True):
                    rows[block] = pair[part]
            return rows

        return HostRows(read, (reader.length, *like.shape))

    try:
        return (
            recipe.preprocess.fit(of(0), jnp.asarray(weights)) if recipe.preprocess else (),
            recipe.targets.fit(of(1), jnp.asarray(weights)) if recipe.targets else (),
        )
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "the recipe's preprocessing needs all rows at once to be fitted, as impute('median') does: take the mean, "
            "or give fit_stream the statistics of a sample of the training rows"
        ) from error
