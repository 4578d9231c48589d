"""Training on data that are read from the host a batch at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.random import unrolled
from jreg._base.types import Array, Key, PyTree
from jreg.data.blocks import HostRows
from jreg.recipe import Recipe, build
from jreg.splits import Folds, pack
from jreg.training._source import Reader
from jreg.training.evaluation import ROWS, measure, outputs_of, targets_of
from jreg.training.fit import Fit, divided, named_tracers
from jreg.training.plan import Plan, make_plan
from jreg.training.step import (
    RUNNING,
    TrainState,
    begin,
    best_epoch,
    close,
    kept,
    mean_terms,
    shuffled,
    streams_of,
    train_batch,
)
from jreg.training.stopping import EarlyStopping
from jreg.transforms import evaluation_params

_shuffled = jax.jit(shuffled, static_argnums=0)
_shown = jax.jit(evaluation_params)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _begin(plan: Plan, key: Key, hp: Mapping[str, Array], statistics: PyTree, x: Array, validated: bool) -> TrainState:
    return begin(plan, plan.build(hp), key, statistics, x, validated)


@functools.partial(jax.jit, static_argnums=0)
def _step(
    plan: Plan,
    key: Key,
    hp: Mapping[str, Array],
    statistics: PyTree,
    epoch: Array,
    steps: Array,
    carry: tuple[PyTree, PyTree, PyTree],
    number: Array,
    x: Array,
    y: Array,
    weight: Array,
):
    recipe = plan.build(hp)
    streams = streams_of(recipe, unrolled(key), epoch)
    batch = (carry, number, x, y, weight)
    carry, seen = train_batch(recipe, statistics, streams, epoch * steps, *batch)
    return carry, (*seen, targets_of(recipe, statistics, x, y))


@functools.partial(jax.jit, static_argnums=0)
def _evaluated(
    plan: Plan, hp: Mapping[str, Array], params: PyTree, model_state: PyTree, statistics: PyTree, x: Array, y: Array
):
    recipe = plan.build(hp)
    outputs = outputs_of(recipe, params, model_state, statistics, x, jnp.arange(x.shape[0]))
    return outputs, targets_of(recipe, statistics, x, y)


@functools.partial(jax.jit, static_argnums=0)
def _measured(plan: Plan, hp: Mapping[str, Array], train: tuple[Any, ...], validation: tuple[Any, ...] | None):
    recipe = plan.build(hp)
    outputs, losses, added, targets, weights = train
    measured = measure(recipe, plan.task, outputs, targets, losses, weights.reshape(-1), "train_")
    measured |= mean_terms(added, jnp.ones(weights.shape[0], jnp.float32))
    if validation is not None:
        outputs, targets = validation
        losses, weights = recipe.losses(outputs, targets), jnp.ones(outputs.shape[0], jnp.float32)
        measured |= measure(recipe, plan.task, outputs, targets, losses, weights, "val_")
    return measured


@functools.partial(jax.jit, static_argnums=(0, 5))
def _close(
    plan: Plan,
    hp: Mapping[str, Array],
    state: TrainState,
    carry: tuple[PyTree, PyTree, PyTree],
    measured: Mapping[str, Array],
    validated: bool,
) -> TrainState:
    return close(plan, plan.build(hp), state, carry, evaluation_params(carry[2], carry[0]), measured, validated)


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
) -> Fit:
    """Trains one network on data bigger than the device's memory: as `fit`, but rows are read when they are needed.

    Order, noise, augmentation and early stopping are those of `fit` with the same key, and so are the results, but for
    rounding. On the device there are only a few batches at a time, and blocks of validation rows. The host reads the
    next batches by grain, in threads, and keeps each epoch's outputs and targets for the metrics.

    Preprocessing is fitted on the training rows by blocks, which are read once or twice for each part that is fitted.

    Args:
      key, recipe, hp, epochs, batch_size, stopping, train, validation, static: as in `fit`.
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
    reader = Reader(source, missing, checks.count(workers, "workers"), checks.count(prefetch, "prefetch"))
    setting, traced, fixed = divided(hp, static)
    reader = Reader(source, missing, checks.count(workers, "workers"), checks.count(prefetch, "prefetch"))
    chosen = _rows(validation, reader.length, "validation")
    rows = np.setdiff1d(np.arange(reader.length), chosen) if train is None else _rows(train, reader.length, "train")
    if rows.size == 0:
        raise ValueError("fit_stream has no rows to train on: the source is empty, or all rows are for validation")
    head, folds = reader.head(int(rows[0])), pack([(rows, chosen)])
    samples = [(setting, build(recipe, setting))]
    plan, _ = make_plan(recipe, samples, fixed, head, folds, epochs, batch_size, stopping)
    with named_tracers(plan, traced, head, folds):
        return _run(plan, key, traced, reader, Folds(*(leaf[0] for leaf in folds)), statistics)


def _run(
    plan: Plan,
    key: Key,
    hp: Mapping[str, Array],
    reader: Reader,
    fold: Folds,
    statistics: tuple[PyTree, PyTree] | None,
) -> Fit:
    host = _host()
    if statistics is None:
        with jax.default_device(host):
            statistics = _fitted(plan.build(hp), reader, np.asarray(fold.train))
    statistics = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), statistics)
    x, y = reader.read(fold.train[:1])
    validated = fold.validation.size > 0
    state = _begin(plan, key, hp, statistics, x, validated)
    outputs, _ = jax.eval_shape(
        functools.partial(_evaluated, plan), hp, state.params, state.model_state, statistics, x, y
    )
    if plan.task == "classification" and outputs.ndim == 2 and not plan.build(hp).reconstruct:
        reader.labels = max(outputs.shape[-1], 2)
    # What grows with the data stays on the host's own device, and is given to it as numbers of no device.
    with jax.default_device(host):
        there = jax.device_put((key, hp), host) if host else (key, hp)
    while state.status == RUNNING:
        with jax.default_device(host):
            batches, weights = jax.device_get(_shuffled(plan, there[0], np.asarray(state.epoch), fold))
        carry, train = _epoch(plan, key, hp, state, reader, batches, weights)
        found = _validated(plan, hp, state, carry, reader, fold.validation) if validated else None
        with jax.default_device(host):
            measured = jax.device_get(_measured(plan, there[1], (*train, weights), found))
        state = _close(plan, hp, state, carry, measured, validated)
    params, model_state = kept(state)
    columns = plan.columns(plan.build(hp), validated)
    history = {name: state.history[:, column] for column, name in enumerate(columns)}
    return Fit(params, model_state, state.statistics, history, state.epoch, best_epoch(state), state.status)


def _epoch(
    plan: Plan,
    key: Key,
    hp: Mapping[str, Array],
    state: TrainState,
    reader: Reader,
    batches: np.ndarray,
    weights: np.ndarray,
) -> tuple[tuple[PyTree, PyTree, PyTree], tuple[Any, ...]]:
    """The carry after all steps, and what was seen in them, on the host."""
    carry, seen = (state.params, state.model_state, state.opt_state), []
    steps = np.int32(len(batches))
    with contextlib.closing(reader.batches(batches)) as read:
        for number, ((x, y), weight) in enumerate(zip(read, weights, strict=True)):
            place = (state.epoch, steps, carry, np.int32(number))
            carry, found = _step(plan, key, hp, state.statistics, *place, x, y, weight)
            seen.append(found)
            # The step before this one is fetched while this one runs, so that only two batches are on the device.
            if number:
                seen[-2] = jax.device_get(seen[-2])
    outputs, losses, added, targets = jax.tree.map(lambda *parts: np.stack(parts), *jax.device_get(seen))
    flat = [part.reshape(-1, *part.shape[2:]) for part in (outputs, losses, targets)]
    return carry, (flat[0], flat[1], added, flat[2])


def _validated(
    plan: Plan,
    hp: Mapping[str, Array],
    state: TrainState,
    carry: tuple[PyTree, PyTree, PyTree],
    reader: Reader,
    chosen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The outputs for the validation rows and their targets, on the host."""
    params, model_state, opt_state = carry
    shown = _shown(opt_state, params)
    blocks = [chosen[first : first + ROWS] for first in range(0, len(chosen), ROWS)]
    with contextlib.closing(reader.batches(blocks)) as read:
        found = [jax.device_get(_evaluated(plan, hp, shown, model_state, state.statistics, *rows)) for rows in read]
    outputs, targets = zip(*found, strict=True)
    return np.concatenate(outputs), np.concatenate(targets)


def _fitted(recipe: Recipe, reader: Reader, train: np.ndarray) -> tuple[PyTree, PyTree]:
    """Statistics of the examples and of the targets, from the training rows alone."""
    weights = np.bincount(train, minlength=reader.length).astype(np.float32)

    def of(part: int) -> Any:
        like = reader.like[part]

        def read(first: int, last: int) -> np.ndarray:
            rows = np.zeros((last - first, *like.shape), like.dtype)
            # Other rows have weight 0, so that they needn't be read.
            meant = np.flatnonzero(weights[first:last])
            blocks = [meant[place : place + ROWS] for place in range(0, len(meant), ROWS)]
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


def _host() -> Any:
    """The device whose memory is the host's; None where JAX was told to have no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _rows(rows: Any, length: int, name: str) -> np.ndarray:
    numbers = np.asarray([] if rows is None else rows)
    if numbers.size and (numbers.ndim != 1 or numbers.dtype.kind not in "iu"):
        raise TypeError(f"{name} is {numbers.dtype} of shape {numbers.shape}, but must be row numbers, (n,)")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < length:
        raise ValueError(f"{name} names a row outside 0 to {length - 1}")
    return numbers.astype(np.int32)
