"""The static part of a training, checked before anything long begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jreg._base import checks
from jreg._base.types import Array
from jreg.data import Dataset
from jreg.models.model import as_model
from jreg.objective import Penalty
from jreg.recipe import Recipe, build, naming
from jreg.splits import Folds
from jreg.training.batch import augmented, forward_of, mixed
from jreg.training.evaluation import examples, measure
from jreg.training.stopping import EarlyStopping


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static part of a training: what shapes and code depend on.

    Attributes:
      recipe: the user's function of the hyperparameters.
      static: the hyperparameters that are not traced, as (name, value) pairs.
      task: ``"classification"``, ``"multilabel"`` or ``"regression"``.
      epochs: passes over the training rows at most.
      batch_size: examples a step.
      stopping: early stopping, or None.
      ragged: whether some fold has fewer steps an epoch than another.
      terms: the names of the penalty's terms, of this plan's settings and of those it shares a history with.
    """

    recipe: Callable[[Any], Recipe]
    static: tuple[tuple[str, Any], ...]
    task: str
    epochs: int
    batch_size: int
    stopping: EarlyStopping | None
    ragged: bool = False
    terms: tuple[str, ...] = ()

    def build(self, hp: Mapping[str, Any]) -> Recipe:
        """The recipe of one member; `hp` are its traced hyperparameters."""
        return build(self.recipe, {**dict(self.static), **hp})

    def columns(self, recipe: Recipe, validated: bool) -> tuple[str, ...]:
        """The names of the history's columns."""
        scores = tuple(recipe.scores(self.task))
        train = ("train_loss", *(f"train_{name}" for name in scores), "penalty")
        validation = ("val_loss", *(f"val_{name}" for name in scores)) if validated else ()
        return (*train, *validation, *(f"penalty_{name}" for name in self.terms))


def make_plan(
    recipe: Callable[[Any], Recipe],
    samples: Sequence[tuple[Mapping[str, Any], Recipe]],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
    terms: tuple[str, ...] = (),
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of trainings that share the static part of `samples`, and the columns of their history.

    `terms` are names of penalties that come first in the history whether these samples have them or not.

    Each sample, a setting and the recipe made from it with plain numbers, runs a step on shapes, to find faults
    before the long compilation.

    Raises:
      ValueError: a number is out of range, stopping monitors what isn't measured, or a label has no output unit.
      TypeError: a number has the wrong type.
    """
    made = samples[0][1]
    size = made.batch_size or checks.count(batch_size, "batch_size")
    steps = -(-folds.train_count // min(size, folds.train.shape[-1]))
    epochs = checks.count(epochs, "epochs")
    own = (name for _, sample in samples for name in (sample.penalty or Penalty()).names)
    terms = tuple(dict.fromkeys((*terms, *own)))
    plan = Plan(recipe, static, data.task, epochs, size, stopping, bool(np.ptp(steps)), terms)
    columns = plan.columns(made, folds.validation.shape[-1] > 0)
    if stopping and stopping.monitor not in columns:
        names = ", ".join(columns)
        raise ValueError(f"EarlyStopping monitors {stopping.monitor!r}, but measured are only: {names}")
    holes = data.missing == "keep" and bool(np.isnan(data.x).any())
    for setting, sample in samples:
        with naming(setting):
            if holes:
                _check_imputed(sample, data)
            _dry_run(sample, data)
    return plan, columns


def _check_imputed(recipe: Recipe, data: Dataset) -> None:
    """Sends an example without a single value through preprocessing: training on NaN would only diverge."""
    statistics, x = (), jnp.stack([jnp.zeros(data.x.shape[1:]), jnp.full(data.x.shape[1:], jnp.nan)])
    if recipe.preprocess:
        statistics = recipe.preprocess.fit(x, jnp.ones(2))
    found = examples(recipe, (statistics,), x)
    if not isinstance(found, Tracer) and jnp.isnan(found).any():
        raise ValueError(
            f"{data.name} has missing values, and the recipe's preprocess leaves them NaN: put jreg.data.impute() "
            "first in its chain"
        )


def _dry_run(recipe: Recipe, data: Dataset) -> None:
    """Runs a step on shapes: each plain number meets the check of the function that it is given to."""

    def step(x: Array, y: Array) -> Any:
        model, penalty, weights = as_model(recipe.model), recipe.penalty or Penalty(), jnp.ones(len(y))
        key = jax.random.key(0)
        params, state = model.init(key, x)
        clean = x.reshape(len(x), -1) if recipe.reconstruct else y
        x, targets = mixed(recipe, model, key, augmented(recipe, key, x), clean, weights, params, state)
        forward, _ = forward_of(recipe, model, penalty, params, state, x, targets, weights, key)
        losses = recipe.losses(forward.outputs, targets)
        scores = measure(recipe, data.task, forward.outputs, clean, losses, weights, "")
        added = penalty(forward._replace(loss=jnp.mean(losses), key=key))
        moved = recipe.update(params, recipe.optimizer.init(params), params, added, lambda params, _: params)
        return forward.outputs, scores, moved

    x, y = (
        jax.ShapeDtypeStruct((2, *array.shape[1:]), dtype)
        for array, dtype in ((data.x, np.float32), (data.y, data.y.dtype))
    )
    shape = jax.eval_shape(step, x, y)[0].shape
    if (
        data.task == "classification"
        and not recipe.reconstruct
        and len(shape) == 2
        and data.classes > max(shape[-1], 2)
    ):
        raise ValueError(
            f"{data.name} has label {data.classes - 1}, out of range: the model has {shape[-1]} outputs, one a class"
        )
