"""How much each class counts in the loss of a step, from the training rows of a fold."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base.types import Array, PyTree
from jreg.data import Dataset
from jreg.data.load import has_classes
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training.inputs import Rows, counted


def balanced(counts: Array) -> Array:
    r"""Weights of classes that count alike, however many rows they have.

    .. math:: c_k = \frac{n}{K n_k}, \qquad n = \sum_k n_k

    where K counts the classes that have rows; those without have weight 0.

    Args:
      counts: ``(classes,)`` n_k, the rows of each class, or the sum of their weights.

    Returns:
      ``(classes,)`` float32.

    >>> balanced(jnp.array([6.0, 3.0, 0.0])).tolist()
    [0.75, 1.5, 0.0]

    Source: King and Zeng, Logistic regression in rare events data (2001); scikit-learn's ``compute_class_weight``.
    """
    counts = jnp.asarray(counts, jnp.float32)
    some = counts > 0
    classes = jnp.maximum(jnp.sum(some, dtype=jnp.float32), 1)
    return jnp.where(some, jnp.sum(counts) / (classes * jnp.where(some, counts, 1)), 0)


def classes_in(outputs: PyTree) -> int:
    """How many classes a network with these outputs, arrays or shapes, tells apart."""
    return outputs.shape[-1] if len(outputs.shape) == 2 and outputs.shape[-1] > 1 else 2


def of_fold(rows: Rows, fold: Folds, classes: int) -> Array:
    """The balanced weights of the classes among a fold's training rows, which count by their own weights."""
    meant = jnp.arange(fold.train.shape[-1], dtype=jnp.int32) < fold.train_count
    labels = jnp.asarray(rows.y)[fold.train]
    return balanced(jnp.zeros(classes, jnp.float32).at[labels].add(counted(rows, fold.train, meant)))


def of_targets(weights: Array, y: Array) -> Array:
    """How much each example counts by its class, ``(n,)``; a mixed one by the mix of its classes.

    >>> of_targets(jnp.array([0.5, 2.0]), jnp.array([1, 0])).tolist()
    [2.0, 0.5]
    >>> of_targets(jnp.array([0.5, 2.0]), jnp.array([[0.0, 1.0], [0.5, 0.5]])).tolist()
    [2.0, 1.25]
    """
    if not jnp.issubdtype(y.dtype, jnp.floating):
        return weights[y]
    return y @ weights if y.ndim == 2 else weights[0] + y * (weights[1] - weights[0])


def check(recipe: Recipe, data: Dataset) -> None:
    """Raises ValueError where a recipe balances classes that rows don't have one each of."""
    if recipe.class_weight is not None and not has_classes(data):
        raise ValueError(
            f"the recipe's class_weight is {recipe.class_weight!r}, but the rows of {data.name} don't have one class "
            "each: leave it out, or give rows their weights, jreg.Dataset(weights=...)"
        )
