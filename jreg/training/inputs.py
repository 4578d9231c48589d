"""Rows on their way to the model: preprocessing, augmentation, mixing, and the targets of the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.brief import brief
from jreg._base.types import Array, Key, Model, PyTree
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training.spreading import split


class Rows(NamedTuple):
    """All rows of the data, on the device once however many trainings there are.

    Attributes:
      x, y: arrays, or trees of arrays, with one row per example.
      weights: how much each row counts, ``(n,)`` float32; default: all alike.
    """

    x: PyTree
    y: PyTree
    weights: Any = None

    __repr__ = brief

    @property
    def length(self) -> int:
        """How many rows there are."""
        return jax.tree.leaves(self.y)[0].shape[0]


def take(tree: PyTree, chosen: Array) -> PyTree:
    """The rows `chosen` of an array or a tree of arrays; where devices share the training, each has some of them."""
    return split(jax.tree.map(lambda leaf: leaf[chosen], tree))


def counted(rows: Rows, chosen: Array, meant: Array) -> Array:
    """How much each of the rows `chosen` counts; 0 for those that are padding and not `meant`."""
    weights = meant.astype(jnp.float32)
    return weights if rows.weights is None else weights * jnp.asarray(rows.weights)[chosen]


def fit_preprocessing(recipe: Recipe, rows: Rows, fold: Folds) -> tuple[PyTree, PyTree]:
    """Statistics of the examples and of the targets, from the training rows alone."""
    if recipe.preprocess is None and recipe.targets is None:
        return ((), ())
    meant = jnp.arange(fold.train.shape[-1], dtype=jnp.int32) < fold.train_count
    weights = jnp.zeros(rows.length, jnp.float32).at[fold.train].add(counted(rows, fold.train, meant))
    return (
        recipe.preprocess.fit(rows.x, weights) if recipe.preprocess else (),
        recipe.targets.fit(rows.y, weights) if recipe.targets else (),
    )


def examples(recipe: Recipe, statistics: PyTree, x: PyTree) -> PyTree:
    """What the model is given: preprocessed, floating numbers and bytes in float32, other integers as they are."""
    if recipe.preprocess:
        return recipe.preprocess.apply(statistics[0], x)

    def as_float(leaf: Array) -> Array:
        number = jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype == jnp.uint8
        return leaf.astype(jnp.float32) if number else leaf

    return jax.tree.map(as_float, x)


def targets_of(recipe: Recipe, statistics: PyTree, x: PyTree, y: PyTree) -> PyTree:
    """What the loss compares with, of rows of the data."""
    if recipe.reconstruct:
        clean = examples(recipe, statistics, x)
        return clean.reshape(clean.shape[0], -1)
    return recipe.targets.apply(statistics[1], y) if recipe.targets else y


def augmented(recipe: Recipe, key: Key | None, x: PyTree) -> PyTree:
    """Every example of a batch with noise of its own."""
    if recipe.augment is None or key is None:
        return x
    return jax.vmap(recipe.augment)(jax.random.split(key, jax.tree.leaves(x)[0].shape[0]), x)


def mixed(
    recipe: Recipe, model: Model, key: Key | None, x: PyTree, y: PyTree, weights: Array, params: PyTree, state: PyTree
) -> tuple[PyTree, PyTree]:
    """A batch with examples mixed among each other, and their soft targets."""
    if recipe.mixing is None or key is None:
        return x, y

    if y.ndim == 2:
        return recipe.mixing(key, x, y.astype(jnp.float32), weights)

    def forward(params: PyTree, x: PyTree) -> Array:
        return model.apply(params, state, x, train=False, key=None, mask=None)[0]

    shape = jax.eval_shape(forward, params, x).shape
    several = len(shape) == 2 and shape[-1] > 1 and jnp.issubdtype(y.dtype, jnp.integer)
    soft = jax.nn.one_hot(y, shape[-1]) if several else y.astype(jnp.float32)[:, None]
    x, soft = recipe.mixing(key, x, soft, weights)
    return x, soft if several else jnp.squeeze(soft, 1)
