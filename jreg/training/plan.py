"""The static part of a training, checked before anything long begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg import _check
from jreg._types import Array, PyTree
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
    settings: Sequence[Mapping[str, Any]],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of trainings that share the static part of `settings`, and the columns of their history.

    The model's shapes are traced once, and the optimizer's and the penalty's with the plain numbers of each
    setting, to find faults before the long compilation.

    Raises:
      ValueError: a number is out of range, stopping monitors what isn't measured, or a label has no output unit.
      TypeError: a number has the wrong type.
    """
    made = build(recipe, settings[0])
    size = made.batch_size or _check.count(batch_size, "batch_size")
    steps = -(-folds.train_count // min(size, folds.train.shape[-1]))
    epochs = _check.count(epochs, "epochs")
    plan = Plan(recipe, static, data.task, epochs, size, stopping, ragged=bool(np.ptp(steps)))
    columns = plan.columns(made, folds.validation.shape[-1] > 0)
    if stopping and stopping.monitor not in columns:
        names = ", ".join(columns)
        raise ValueError(f"EarlyStopping monitors {stopping.monitor!r}, but measured are only: {names}")
    params, outputs = _shapes(made, data)
    for setting in settings:
        with naming(setting):
            _check_numbers(build(recipe, setting), params, outputs)
    return plan, columns


def _check_numbers(recipe: Recipe, params: PyTree, outputs: Any) -> None:
    """Runs the optimizer and the penalty on shapes: what they are given as plain numbers is checked on the way."""

    def once(params: PyTree, outputs: Array) -> Any:
        added = (recipe.penalty or Penalty())(Forward(params, outputs, jnp.ones(outputs.shape[0])))
        return added, recipe.optimizer.update(params, recipe.optimizer.init(params), params)

    jax.eval_shape(once, params, outputs)


def _shapes(recipe: Recipe, data: Dataset) -> tuple[PyTree, Any]:
    """The shapes of the model's parameters and of its outputs for two examples."""
    model = as_model(recipe.model)

    def forward(x: Array) -> tuple[PyTree, Array]:
        params, model_state = model.init(jax.random.key(0), x)
        return params, model.apply(params, model_state, x, train=False, key=None, mask=None)[0]

    params, outputs = jax.eval_shape(forward, jax.ShapeDtypeStruct((2, *data.x.shape[1:]), np.float32))
    shape = outputs.shape
    if data.task == "classification" and len(shape) == 2 and data.classes > max(shape[-1], 2):
        raise ValueError(
            f"{data.name} has label {data.classes - 1}, out of range: the model has {shape[-1]} outputs, one a class"
        )
    return params, outputs
