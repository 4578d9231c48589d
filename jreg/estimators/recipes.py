"""The recipe of the estimators, a function of its module, so that a fitted estimator can be pickled."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import optax

from jreg import losses, nn, penalties, projections
from jreg.data import standardize
from jreg.objective import on_params
from jreg.recipe import Recipe
from jreg.search.space import Space, grid
from jreg.transforms import adamw_weight_decay, project

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jax.nn.tanh,
    "logistic": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "selu": jax.nn.selu,
    "identity": lambda x: x,
}
# Numbers that are traced, so that other values compile nothing; the words and shapes beside them are static.
NUMBERS = ("l2", "l1", "weight_decay", "dropout", "max_norm", "learning_rate")


def perceptron(hp: Any) -> Recipe:
    """A multilayer perceptron on standardized features, trained by Adam.

    Its hyperparameters are `NUMBERS`, and the static ones `hidden`, `activation`, `outputs` and `task`.
    """
    regression = hp["task"] == "regression"
    task = losses.for_task("regression" if regression else "multiclass")
    rate = hp["learning_rate"]
    steps = optax.adam(rate), adamw_weight_decay(hp["weight_decay"], rate)
    return Recipe(
        model=nn.MLP((*hp["hidden"], hp["outputs"]), activation=ACTIVATIONS[hp["activation"]], dropout=hp["dropout"]),
        loss=task.loss,
        penalty=hp["l2"] * on_params(penalties.l2) + hp["l1"] * on_params(penalties.l1),
        optimizer=optax.chain(*steps, project(partial(projections.max_norm, c=hp["max_norm"]))),
        preprocess=standardize(),
        targets=standardize() if regression else None,
    )


def default_space(outputs: int, task: str) -> Space:
    """Twelve settings of L2, dropout and max-norm; the first does without all three."""
    swept = {"l2": [0.0, 1e-3, 1e-2], "dropout": [0.0, 0.5], "max_norm": [float("inf"), 1.0]}
    fixed = {"l1": [0.0], "weight_decay": [0.0], "learning_rate": [1e-3], "hidden": [(128, 128)]}
    space = grid(**swept, **fixed, activation=["relu"], outputs=[outputs], task=[task])
    return space.along("l2", "dropout", "-max_norm")
