"""The forward half of a training: preprocessing, outputs, loss and metrics."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.types import Array, PyTree
from jreg.models.model import as_model
from jreg.recipe import Recipe
from jreg.splits import Folds

# Rows a forward pass of an evaluation takes at once, so that its memory doesn't grow with the data.
ROWS = 2048


def fit_preprocessing(recipe: Recipe, x: Array, y: Array, fold: Folds) -> tuple[PyTree, PyTree]:
    """Statistics of the examples and of the targets, from the training rows alone."""
    if recipe.preprocess is None and recipe.targets is None:
        return ((), ())
    length = fold.train.shape[-1]
    meant = (jnp.arange(length) < fold.train_count).astype(jnp.float32)
    weights = jnp.zeros(x.shape[0], jnp.float32).at[fold.train].add(meant)
    return (
        recipe.preprocess.fit(x, weights) if recipe.preprocess else (),
        recipe.targets.fit(y, weights) if recipe.targets else (),
    )


def examples(recipe: Recipe, statistics: PyTree, x: Array) -> Array:
    """What the model is given, in float32."""
    return recipe.preprocess.apply(statistics[0], x) if recipe.preprocess else x.astype(jnp.float32)


def targets_of(recipe: Recipe, statistics: PyTree, x: Array, y: Array) -> Array:
    """What the loss compares with, of rows of the data."""
    if recipe.reconstruct:
        return examples(recipe, statistics, x).reshape(x.shape[0], -1)
    return recipe.targets.apply(statistics[1], y) if recipe.targets else y


def outputs_of(
    recipe: Recipe, params: PyTree, model_state: PyTree, statistics: PyTree, x: Array, chosen: Array
) -> Array:
    """The network's outputs for the rows `chosen` of x, a bounded number of them at a time."""
    model = as_model(recipe.model)

    def forward(chosen: Array) -> Array:
        inputs = examples(recipe, statistics, x[chosen])
        return model.apply(params, model_state, inputs, train=False, key=None, mask=None)[0]

    whole = chosen.shape[0] // ROWS * ROWS
    if whole == 0:
        return forward(chosen)
    outputs = jax.lax.map(forward, chosen[:whole].reshape(-1, ROWS))
    outputs = outputs.reshape(whole, *outputs.shape[2:])
    return jnp.concatenate([outputs, forward(chosen[whole:])]) if whole < chosen.shape[0] else outputs


def measure(
    recipe: Recipe, task: str, outputs: Array, targets: Array, losses: Array, weights: Array, prefix: str
) -> dict[str, Array]:
    """The mean of the losses and the metrics of a set of predictions, by name with a prefix."""
    loss = jnp.sum(weights * losses) / jnp.sum(weights)
    if recipe.reconstruct:
        outputs = outputs.reshape(targets.shape)
    scores = {name: metric(outputs, targets, weights) for name, metric in recipe.scores(task).items()}
    return {prefix + name: value.astype(jnp.float32) for name, value in {"loss": loss, **scores}.items()}
