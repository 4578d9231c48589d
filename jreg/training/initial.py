"""What a training begins with: what the model draws, or what the recipe gives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jreg._base.tree import matching, path_of
from jreg._base.types import Array, Key, PyTree
from jreg.models import as_model
from jreg.recipe import Recipe


def initial(recipe: Recipe, key: Key, x: PyTree) -> tuple[PyTree, PyTree]:
    """The parameters and running averages before the first step; `x` are examples, for their shape.

    Raises:
      ValueError: what the recipe gives has other paths or shapes than the model's own.
    """
    params, model_state = as_model(recipe.model).init(key, x)
    given = recipe.initial
    if given is None:
        return params, model_state
    if hasattr(given, "params") and hasattr(given, "model_state"):
        if jax.tree.leaves(given.model_state) or jax.tree.leaves(model_state):
            model_state = _like(given.model_state, model_state, "the model_state of the recipe's initial")
        given = given.params
    elif callable(given) and jax.tree.structure(given) != jax.tree.structure(params):
        given = given(params)
    return _like(given, params, "the recipe's initial"), model_state


def _like(tree: PyTree, own: PyTree, name: str) -> PyTree:
    """`tree` in the dtypes of the model's own, whose structure and shapes it must have."""

    def one(keys: tuple[Any, ...], old: Array, new: Any) -> Array:
        if jnp.shape(new) != old.shape:
            raise ValueError(
                f"{name} has shape {jnp.shape(new)} at {path_of(keys)}, but the model's is {old.shape}: give a "
                "function of the drawn parameters that returns them with those that fit in their place"
            )
        # Data of a training of its own, of which the caller may keep the original.
        return jnp.array(new, old.dtype)

    return jax.tree_util.tree_map_with_path(one, own, matching(tree, own, name))
