"""Finding faults before anything long begins: the plan of a training, made of settings that are tried on shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jreg._base import checks
from jreg._base.types import Array, PyTree
from jreg.data import Dataset
from jreg.models import as_model
from jreg.objective import Penalty
from jreg.recipe import Hyperparameters, Recipe, Steps, naming, takes_steps
from jreg.splits import Folds
from jreg.training import measure
from jreg.training.columns import Column, check_labels, find
from jreg.training.initial import initial
from jreg.training.inputs import augmented, examples, mixed
from jreg.training.objective import forward_of
from jreg.training.plan import Plan, block_size
from jreg.training.stopping import EarlyStopping


def make_plan(
    recipe: Callable[..., Recipe],
    samples: Sequence[tuple[Mapping[str, Any], Recipe]],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
    before: tuple[Column, ...] = (),
    keep: Sequence[Callable[..., Any]] = (),
    block: int | None = None,
) -> Plan:
    """The plan of trainings that share the static part of `samples`.

    Each sample, a setting and the recipe made from it with plain numbers, runs a step on shapes, to find faults
    before the long compilation.

    Args:
      before: columns that the history has in any case: those of settings planned earlier, which come first.
      block: examples evaluated at once; default: by `block_size`.

    Raises:
      ValueError: a number is out of range, stopping monitors what isn't measured, a label has no output unit, or
        these samples measure other metrics than those of `before`.
      TypeError: a number has the wrong type.
    """
    made = samples[0][1]
    # Never more than the data has; how many rows a fold has, or how far it is padded, plays no part.
    size = min(made.batch_size or checks.count(batch_size, "batch_size"), len(data))
    epochs = checks.count(epochs, "epochs")
    validated = folds.validation.shape[-1] > 0
    _check_weights(data, folds)
    holes = data.missing == "keep" and any(_has_nan(leaf) for leaf in jax.tree.leaves(data.x))
    measured: dict[tuple[str, str, str], Column] = {column.key: column for column in before}
    output_bytes = 0
    for setting, sample in samples:
        with naming(setting):
            if holes:
                _check_imputed(sample, data)
            numbers, output_bytes = _remembered(recipe, setting, sample, data)
            own = _columns(sample, data, validated, numbers)
        if before and {c.key for c in own if c.kind != "penalty"} != {c.key for c in before if c.kind != "penalty"}:
            raise ValueError("the recipe measures other metrics in some settings than in others: give all the same")
        measured |= {column.key: column for column in own if column.key not in measured}
    columns = tuple(measured.values())
    check_labels(columns)
    if stopping:
        stopping = stopping.towards(find(columns, stopping.monitor, "EarlyStopping monitors").maximize)
    block = block or block_size(np.asarray(folds.validation_count))
    return Plan(recipe, static, data.task, epochs, size, block, stopping, columns, output_bytes, tuple(keep))


def sample_steps(data: Dataset, folds: Folds, epochs: int, batch_size: int) -> Steps:
    """What a recipe with a second argument receives when it is tried with plain numbers."""
    steps = -(-int(np.max(folds.train_count)) // min(max(1, batch_size), len(data)))
    return Steps(np.int32(steps), np.int32(steps * epochs))


def _check_weights(data: Dataset, folds: Folds) -> None:
    """Raises ValueError where the rows of a fold count nothing, so that there is nothing to train or to score on."""
    if data.weights is None:
        return
    for number in range(len(folds.train)):
        for part, rows, count in (
            ("training", folds.train[number], folds.train_count[number]),
            ("validation", folds.validation[number], folds.validation_count[number]),
        ):
            if count and not np.any(data.weights[rows[:count]] > 0):
                raise ValueError(
                    f"the {part} rows of fold {number} all have weight 0 in {data.name}: give each fold rows that count"
                )


def _has_nan(leaf: Any) -> bool:
    return leaf.dtype.kind == "f" and bool(np.isnan(leaf).any())


def _columns(recipe: Recipe, data: Dataset, validated: bool, numbers: dict[tuple[str, str, str], Any]) -> list[Column]:
    """The columns of a recipe's history, of the numbers that a step of it measures."""
    known = recipe.metrics_for(data.task)

    def maximize(kind: str, name: str) -> bool:
        return kind != "loss" and known[name if name in known else name.split("/")[0]].maximize

    outputs = [key[1:] for key in numbers if key[0] == "train"]
    rest = [key[1:] for key in numbers if key[0] == ""]
    splits = ("train", "validation") if validated else ("train",)
    found = [Column(split, kind, name, maximize(kind, name)) for split in splits for kind, name in outputs]
    found.insert(len(outputs), Column("train", "penalty", ""))
    found += [Column("", kind, name, maximize(kind, name)) for kind, name in rest]
    return found + [Column("train", "penalty", name) for name in (recipe.penalty or Penalty()).names]


def _check_imputed(recipe: Recipe, data: Dataset) -> None:
    """Sends an example without a single value through preprocessing: training on NaN would only diverge."""

    def empty(leaf: Any) -> Array:
        if leaf.dtype.kind != "f":
            return jnp.zeros((2, *leaf.shape[1:]), leaf.dtype)
        return jnp.stack([jnp.zeros(leaf.shape[1:]), jnp.full(leaf.shape[1:], jnp.nan)])

    statistics, x = (), jax.tree.map(empty, data.x)
    if recipe.preprocess:
        statistics = recipe.preprocess.fit(x, jnp.ones(2))
    found = jax.tree.leaves(examples(recipe, (statistics,), x))
    if any(not isinstance(leaf, Tracer) and leaf.dtype.kind == "f" and jnp.isnan(leaf).any() for leaf in found):
        raise ValueError(
            f"{data.name} has missing values, and the recipe's preprocess leaves them NaN: put jreg.data.impute() "
            "first in its chain"
        )


def _remembered(
    function: Callable[..., Recipe], setting: Mapping[str, Any], recipe: Recipe, data: Dataset
) -> tuple[dict[tuple[str, str, str], Any], int]:
    """What a dry run finds; of the same setting with data of the same kind it isn't run again."""
    if takes_steps(function):
        # What a recipe makes of its steps is another thing with each number of epochs and rows.
        return _dry_run(recipe, data)
    leaves, structure = jax.tree.flatten((data.x, data.y))
    shapes = tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)
    classes = data.classes if data.task == "classification" else 0
    noted = setting if isinstance(setting, Hyperparameters) else Hyperparameters(setting)
    named = tuple((name, type(value), value) for name, value in noted.peek().items())
    try:
        found = _found(function, named, structure, shapes, data.task, classes)
    except TypeError:
        # Arrays among the hyperparameters have no hash.
        return _dry_run(recipe, data)
    if not found:
        # What the model or the loss reads is read here.
        found.append((_dry_run(recipe, data), frozenset(noted.read)))
    known, read = found[0]
    noted.read |= read
    return known


@functools.lru_cache(maxsize=256)
def _found(*_: Any) -> list[Any]:
    """A place for what a dry run found; the arguments say of what."""
    return []


def _dry_run(recipe: Recipe, data: Dataset) -> tuple[dict[tuple[str, str, str], Any], int]:
    """Runs a step on shapes: each plain number meets the check of the function that it is given to.

    Returns:
      What the step measures, as shapes, by split (train or none), kind and name; and the bytes of an example's outputs.
    """

    def step(x: PyTree, y: PyTree) -> Any:
        model, penalty, weights = as_model(recipe.model), recipe.penalty or Penalty(), jnp.ones(2)
        key = jax.random.key(0)
        params, state = initial(recipe, key, x)
        clean = x.reshape(2, -1) if recipe.reconstruct else y
        x, targets = mixed(recipe, model, key, augmented(recipe, key, x), clean, weights, params, state)
        forward, _ = forward_of(recipe, model, penalty, params, state, x, targets, weights, key)
        losses, parts = recipe.losses_and_parts(forward.outputs, targets)
        block = measure.Seen(forward.outputs, clean, losses, parts)
        states = measure.begin(recipe, data.task, parts, lambda: block, 2)
        states = measure.update(recipe, data.task, states, block, weights)
        added = penalty(forward._replace(loss=jnp.mean(losses), key=key))
        start = recipe.optimizer.init(params)
        try:
            moved = recipe.update(params, start, params, added, lambda params: added, lambda params, _: params)
        except AttributeError as error:
            raise TypeError(
                f"the recipe's optimizer doesn't take the model's parameters: {str(error).splitlines()[0]}; for the "
                "pairs of optax.lookahead there is no place, jreg.transforms.ema_params averages too"
            ) from error
        if jax.tree.structure(moved[1]) != jax.tree.structure(start):
            raise TypeError(
                "the recipe's optimizer has a state of another structure after an update than before, as that of "
                "optax.monitor has, which no compiled loop can keep: leave it out, or take optax.snapshot"
            )
        numbers = measure.compute(recipe, data.task, states, "train") | measure.of_params(recipe, data.task, params)
        return forward.outputs, list(numbers.items()), moved

    kept: list[tuple[str, str, str]] = []

    def shapes(x: PyTree, y: PyTree) -> Any:
        outputs, numbers, moved = step(x, y)
        kept[:] = [key for key, _ in numbers]
        return outputs, [value for _, value in numbers], moved

    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), _seen_dtype(recipe, leaf)), data.x)
    y = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), leaf.dtype), data.y)
    outputs, values, _ = jax.eval_shape(shapes, x, y)
    shape: tuple[int, ...] = getattr(outputs, "shape", ())
    several = data.task == "classification" and not recipe.reconstruct and isinstance(data.y, np.ndarray)
    if several and len(shape) == data.y.ndim + 1 and data.classes > max(shape[-1], 2):
        raise ValueError(
            f"{data.name} has label {data.classes - 1}, out of range: the model has {shape[-1]} outputs, one per class"
        )
    if several and recipe.link == "softmax" and shape[-1:] == (1,):
        raise ValueError(
            f"the model has one output, and a softmax over one class is always 1: give it {data.classes} outputs, or "
            "take losses.sigmoid_cross_entropy"
        )
    size = sum(leaf.size // 2 * leaf.dtype.itemsize for leaf in jax.tree.leaves(outputs))
    return dict(zip(kept, values, strict=True)), size


def _seen_dtype(recipe: Recipe, leaf: Any) -> Any:
    """The dtype in which the model is given a part of the examples."""
    floating = leaf.dtype.kind not in "iub" or leaf.dtype == np.uint8 or recipe.preprocess is not None
    return np.float32 if floating else leaf.dtype
