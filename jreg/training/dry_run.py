"""A step of a recipe run on shapes: what it measures, and which of its parts can't be traced."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array, PyTree
from jreg.data import Dataset
from jreg.data.arrays import structure
from jreg.models import as_model
from jreg.objective import Penalty
from jreg.recipe import Hyperparameters, Recipe, takes_steps
from jreg.training import blame, measure
from jreg.training.initial import initial
from jreg.training.inputs import augmented, mixed
from jreg.training.objective import forward_of
from jreg.training.probe import check_loss

# What to do about a metric that can't be traced.
_OF_METRIC = (
    "take one of jreg.metrics, write it with jax.numpy, or score the study when it is done, "
    "study.score(sklearn.metrics.f1_score)"
)


def remembered(
    function: Callable[..., Recipe], setting: Mapping[str, Any], recipe: Recipe, data: Dataset
) -> tuple[dict[tuple[str, str, str], Any], int]:
    """What a dry run finds; of the same setting with data of the same kind it isn't run again."""
    if takes_steps(function):
        # What a recipe makes of its steps is another thing with each number of epochs and rows.
        return dry_run(recipe, data)
    leaves, form = jax.tree.flatten((data.x, data.y))
    shapes = tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)
    classes = data.classes if data.task == "classification" else 0
    noted = setting if isinstance(setting, Hyperparameters) else Hyperparameters(setting)
    named = tuple((name, type(value), value) for name, value in noted.peek().items())
    try:
        found = _found(function, named, form, shapes, data.task, classes)
    except TypeError:
        # Arrays among the hyperparameters have no hash.
        return dry_run(recipe, data)
    if not found:
        # What the model or the loss reads is read here.
        found.append((dry_run(recipe, data), frozenset(noted.read)))
    known, read = found[0]
    noted.read |= read
    return known


@functools.lru_cache(maxsize=256)
def _found(*_: Any) -> list[Any]:
    """A place for what a dry run found; the arguments say of what."""
    return []


def dry_run(recipe: Recipe, data: Dataset) -> tuple[dict[tuple[str, str, str], Any], int]:
    """Runs a step on shapes: each plain number meets the check of the function that it is given to.

    Returns:
      What the step measures, as shapes, by split (train or none), kind and name; and the bytes of an example's outputs.
    """

    def step(x: PyTree, y: PyTree) -> Any:
        model, penalty, weights = as_model(recipe.model), recipe.penalty or Penalty(), jnp.ones(2, jnp.float32)
        key = jax.random.key(0)
        with blame.part("the recipe's model"):
            params, state = initial(recipe, key, x)
        clean = x.reshape(2, -1) if recipe.reconstruct else y
        with blame.part("the recipe's augment"):
            x = augmented(recipe, key, x)
        with blame.part("the recipe's mixing"):
            x, targets = mixed(recipe, model, key, x, clean, weights, params, state)
        with blame.part("the recipe's model"):
            forward, _ = forward_of(recipe, model, penalty, params, state, x, targets, weights, key)
        if forward.outputs is None:
            raise TypeError("the recipe's model returns None: does its __call__ say return?")
        several = "" if hasattr(forward.outputs, "shape") else f", which the model gives {structure(forward.outputs)},"
        with blame.part(f"the recipe's loss{several}"):
            losses, parts = recipe.losses_and_parts(forward.outputs, targets)
            check_loss(recipe, forward.outputs, targets)
        block = measure.Seen(forward.outputs, clean, losses, parts)
        numbers = _measured(recipe, data.task, block, weights, params)
        with blame.part("the recipe's penalty"):
            added = penalty(forward._replace(loss=jnp.mean(losses), key=key))
        with blame.part("the recipe's optimizer"):
            moved = _moved(recipe, params, added)
        return forward.outputs, list(numbers.items()), moved

    kept: list[tuple[str, str, str]] = []

    def shapes(x: PyTree, y: PyTree) -> Any:
        outputs, numbers, moved = step(x, y)
        kept[:] = [key for key, _ in numbers]
        return outputs, [value for _, value in numbers], moved

    x = two_examples(recipe, data)
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


def _moved(recipe: Recipe, params: PyTree, loss: Array) -> Any:
    """What the optimizer makes of parameters, and its state."""
    start = recipe.optimizer.init(params)
    try:
        moved = recipe.update(params, start, params, loss, lambda params: loss, lambda params, _: params)
    except AttributeError as error:
        raise TypeError(
            f"the recipe's optimizer doesn't take the model's parameters: {str(error).splitlines()[0]}; for the pairs "
            "of optax.lookahead there is no place, jreg.transforms.ema_params averages too"
        ) from error
    if jax.tree.structure(moved[1]) != jax.tree.structure(start):
        raise TypeError(
            "the recipe's optimizer has a state of another structure after an update than before, as that of "
            "optax.monitor has, which no compiled loop can keep: leave it out, or take optax.snapshot"
        )
    return moved


def two_examples(recipe: Recipe, data: Dataset) -> PyTree:
    """Two examples as shapes, as the model receives them."""
    preprocess = recipe.preprocess
    if preprocess is not None and not hasattr(data.x, "shape"):
        # Which parts stay integers is known to the preprocessor alone.
        seen = jax.eval_shape(
            lambda x: preprocess.apply(preprocess.fit(x, jnp.ones(len(data), jnp.float32)), x), data.x
        )
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), leaf.dtype), seen)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), _seen_dtype(recipe, leaf)), data.x)


def _measured(recipe: Recipe, task: str, block: measure.Seen, weights: Array, params: PyTree) -> dict[Any, Array]:
    """What the recipe's metrics are for two rows, as shapes."""

    def numbers(recipe: Recipe) -> dict[Any, Array]:
        states = measure.begin(recipe, task, block.parts, lambda: block, 2)
        states = measure.update(recipe, task, states, block, weights)
        return measure.compute(recipe, task, states, "train") | measure.of_params(recipe, task, params)

    try:
        return numbers(recipe)
    except Exception:
        # Alone it says which one it is.
        for name, metric in recipe.metrics_for(task).items():
            with blame.part(f"the metric {name!r}", _OF_METRIC):
                numbers(dataclasses.replace(recipe, metrics={name: metric}))
        raise


def _seen_dtype(recipe: Recipe, leaf: Any) -> Any:
    """The dtype in which the model is given a part of the examples."""
    floating = leaf.dtype.kind not in "iub" or leaf.dtype == np.uint8 or recipe.preprocess is not None
    return np.float32 if floating else leaf.dtype
