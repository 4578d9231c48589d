"""The static part of a training, checked before anything long begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg import _check
from jreg._types import Array
from jreg.data import Dataset
from jreg.models import as_model
from jreg.objective import Forward, Penalty
from jreg.recipe import Recipe, build, naming
from jreg.splits import Folds
from jreg.stopping import EarlyStopping


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static part of a training: what shapes and code depend on.

    Attributes:
      recipe: the user's function of the hyperparameters.
      static: the hyperparameters that are not traced, as (name, value) pairs.
      task: ``"classification"`` or ``"regression"``.
      epochs: passes over the training rows at most.
      batch_size: examples a step.
      stopping: early stopping, or None.
      ragged: whether some fold has fewer steps an epoch than another.
    """

    recipe: Callable[[Any], Recipe]
    static: tuple[tuple[str, Any], ...]
    task: str
    epochs: int
    batch_size: int
    stopping: EarlyStopping | None
    ragged: bool = False

    def build(self, hp: Mapping[str, Any]) -> Recipe:
        """The recipe of one member; `hp` are its traced hyperparameters."""
        return build(self.recipe, {**dict(self.static), **hp})

    def columns(self, recipe: Recipe, validated: bool) -> tuple[str, ...]:
        """The names of the history's columns."""
        scores = tuple(recipe.scores(self.task))
        train = ("train_loss", *(f"train_{name}" for name in scores), "penalty")
        return (*train, "val_loss", *(f"val_{name}" for name in scores)) if validated else train


def make_plan(
    recipe: Callable[[Any], Recipe],
    samples: Sequence[tuple[Mapping[str, Any], Recipe]],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of trainings that share the static part of `samples`, and the columns of their history.

    Each sample, a setting and the recipe made from it with plain numbers, runs a step on shapes, to find faults
    before the long compilation.

    Raises:
      ValueError: a number is out of range, stopping monitors what isn't measured, or a label has no output unit.
      TypeError: a number has the wrong type.
    """
    made = samples[0][1]
    size = made.batch_size or _check.count(batch_size, "batch_size")
    steps = -(-folds.train_count // min(size, folds.train.shape[-1]))
    epochs = _check.count(epochs, "epochs")
    plan = Plan(recipe, static, data.task, epochs, size, stopping, ragged=bool(np.ptp(steps)))
    columns = plan.columns(made, folds.validation.shape[-1] > 0)
    if stopping and stopping.monitor not in columns:
        names = ", ".join(columns)
        raise ValueError(f"EarlyStopping monitors {stopping.monitor!r}, but measured are only: {names}")
    for setting, sample in samples:
        with naming(setting):
            _dry_run(sample, data)
    return plan, columns


def _dry_run(recipe: Recipe, data: Dataset) -> None:
    """Runs a step on shapes: each plain number meets the check of the function that it is given to."""

    def step(x: Array, y: Array) -> Any:
        model, mask = as_model(recipe.model), jnp.ones(len(y), bool)
        params, model_state = model.init(jax.random.key(0), x)
        outputs, _ = model.apply(params, model_state, x, train=True, key=jax.random.key(1), mask=mask)
        weights = mask.astype(jnp.float32)
        loss = recipe.loss(outputs, y)
        scores = [metric(outputs, y, weights) for metric in recipe.scores(data.task).values()]
        penalty = (recipe.penalty or Penalty())(Forward(params, outputs, weights))
        return outputs, loss, scores, penalty, recipe.update(params, recipe.optimizer.init(params), params, penalty)

    x, y = jax.ShapeDtypeStruct((2, *data.x.shape[1:]), np.float32), jax.ShapeDtypeStruct((2,), data.y.dtype)
    shape = jax.eval_shape(step, x, y)[0].shape
    if data.task == "classification" and len(shape) == 2 and data.classes > max(shape[-1], 2):
        raise ValueError(
            f"{data.name} has label {data.classes - 1}, out of range: the model has {shape[-1]} outputs, one a class"
        )
