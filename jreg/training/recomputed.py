"""The network to evaluate: parameters that an optimizer averages have batch statistics of their own."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jreg._base.types import Array, Key, PyTree
from jreg.models import as_model
from jreg.recipe import Recipe
from jreg.training import keys
from jreg.training.averages import averaged
from jreg.training.inputs import augmented, examples
from jreg.transforms.averaging import averages_params

# The sum over batches of each statistic, weighted by their rows, and the sum of these weights.
Sums = list[tuple[Array, Array]]


def separate(opt_state: PyTree, model_state: PyTree) -> bool:
    """Whether evaluation needs batch statistics of its own, for which the training rows are looked at once more."""
    return averages_params(opt_state) and any(_flags(model_state))


def begun(model_state: PyTree) -> Sums:
    """The sums before the first batch."""
    zero = jnp.zeros((), jnp.float32)
    return [(jnp.zeros_like(leaf), zero) for leaf in _chosen(model_state)]


def added(
    recipe: Recipe,
    statistics: PyTree,
    own: Mapping[int, Key],
    shown: PyTree,
    model_state: PyTree,
    sums: Sums,
    x: PyTree,
    weight: Array,
) -> Sums:
    """The sums after a batch of rows, as training sees it but for mixing; `shown` are the parameters to evaluate."""
    x = augmented(recipe, own.get(keys.AUGMENT), examples(recipe, statistics, x))
    model, mask = as_model(recipe.model), weight > 0

    def updated(values: list[Array]) -> list[Array]:
        state = _with(model_state, values)
        return _chosen(model.apply(shown, state, x, train=True, key=own[keys.NOISE], mask=mask)[1])

    before = _chosen(model_state)
    # A running statistic is m times its old value and 1 - m times the batch's: its derivative tells m.
    after, kept = jax.jvp(updated, (before,), ([jnp.ones_like(value) for value in before],))
    rows = jnp.sum(mask.astype(jnp.float32))

    def one(total: tuple[Array, Array], old: Array, new: Array, m: Array) -> tuple[Array, Array]:
        share = 1 - m
        here = (new - m * old) / jnp.where(share > 0, share, 1)
        counts = jnp.where(jnp.all(share > 0), rows, 0)
        seen = jnp.where(counts > 0, counts.astype(here.dtype) * here, 0)
        # Flax's statistics of a batch may be in double precision, and their averages in single.
        return total[0] + seen.astype(total[0].dtype), total[1] + counts

    return [one(*parts) for parts in zip(sums, before, after, kept, strict=True)]


def finished(model_state: PyTree, sums: Sums) -> PyTree:
    """The model's state with the means of the batches' statistics."""

    def mean(total: Array, weight: Array, old: Array) -> Array:
        return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1).astype(total.dtype), old)

    found = [mean(*pair, old) for pair, old in zip(sums, _chosen(model_state), strict=True)]
    return _with(model_state, found)


def _flags(model_state: PyTree) -> list[bool]:
    return [averaged(keys, leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(model_state)]


def _chosen(model_state: PyTree) -> list[Array]:
    return [leaf for leaf, flag in zip(jax.tree.leaves(model_state), _flags(model_state), strict=True) if flag]


def _with(model_state: PyTree, values: list[Array]) -> PyTree:
    leaves, treedef = jax.tree.flatten(model_state)
    new = iter(values)
    return treedef.unflatten(
        [next(new) if flag else leaf for leaf, flag in zip(leaves, _flags(model_state), strict=True)]
    )
