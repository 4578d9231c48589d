"""A batch on its way to the model in training, and what the forward pass leaves for the penalties."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.types import Array, Key, Model, PyTree
from jreg.objective import Forward, Penalty
from jreg.recipe import Recipe


def augmented(recipe: Recipe, key: Key | None, x: Array) -> Array:
    """Every example of a batch with noise of its own."""
    if recipe.augment is None or key is None:
        return x
    return jax.vmap(recipe.augment)(jax.random.split(key, x.shape[0]), x)


def mixed(
    recipe: Recipe, model: Model, key: Key | None, x: Array, y: Array, weights: Array, params: PyTree, state: PyTree
) -> tuple[Array, Array]:
    """A batch with examples mixed among each other, and their soft targets."""
    if recipe.mixing is None or key is None:
        return x, y

    if y.ndim == 2:
        return recipe.mixing(key, x, y.astype(jnp.float32), weights)

    def forward(params: PyTree, x: Array) -> Array:
        return model.apply(params, state, x, train=False, key=None, mask=None)[0]

    shape = jax.eval_shape(forward, params, x).shape
    several = len(shape) == 2 and shape[-1] > 1 and jnp.issubdtype(y.dtype, jnp.integer)
    soft = jax.nn.one_hot(y, shape[-1]) if several else y.astype(jnp.float32)[:, None]
    x, soft = recipe.mixing(key, x, soft, weights)
    return x, soft if several else jnp.squeeze(soft, 1)


def forward_of(
    recipe: Recipe,
    model: Model,
    penalty: Penalty,
    params: PyTree,
    state: PyTree,
    x: Array,
    y: Array,
    weights: Array,
    key: Key,
) -> tuple[Forward, PyTree]:
    """One pass in training: what the terms of the objective may look at, and the updated running averages.

    Raises:
      ValueError: a term looks at hidden activations, but the model shows none.
    """
    mask = weights > 0
    activations = None
    if penalty.needs("activations"):
        if model.capture is None:
            raise ValueError(
                "on_activations needs the hidden activations, but the recipe's model shows none: use a Flax module, or "
                "give a jreg.models.Model its capture"
            )
        outputs, updated, activations = model.capture(params, state, x, train=True, key=key, mask=mask)
    else:
        outputs, updated = model.apply(params, state, x, train=True, key=key, mask=mask)
    forward = Forward(
        params=params,
        outputs=outputs,
        weights=weights,
        inputs=x,
        targets=y,
        activations=activations,
        network=lambda params, x: model.apply(params, state, x, train=False, key=None, mask=None)[0],
        again=lambda key: model.apply(params, state, x, train=True, key=key, mask=mask)[0],
        losses=recipe.losses,
    )
    return forward, updated
