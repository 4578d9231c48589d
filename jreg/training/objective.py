"""The objective of a step: one pass in training, its losses, and the penalties that look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base.types import Array, Key, Model, PyTree
from jreg.models import as_model
from jreg.objective import Forward, Penalty
from jreg.recipe import Recipe
from jreg.training import class_weights, keys
from jreg.training.averages import by_rows
from jreg.training.inputs import augmented, examples, mixed, targets_of
from jreg.training.measure import Seen

# (params, model_state, opt_state), which a step changes.
Carry = tuple[PyTree, PyTree, PyTree]


class Step(NamedTuple):
    """What a step leaves beside the new parameters.

    Attributes:
      seen: the batch, measured while it trained.
      added: the penalty's terms, and their sum under "".
    """

    seen: Seen
    added: dict[str, Array]


def purposes_of(recipe: Recipe) -> list[int]:
    """What the steps of a recipe need keys for."""
    penalty = recipe.penalty or Penalty()
    wanted = {
        keys.NOISE: True,
        keys.AUGMENT: recipe.augment,
        keys.MIX: recipe.mixing,
        keys.TERMS: penalty.needs("key"),
    }
    return [purpose for purpose in wanted if wanted[purpose]]


def term_names(recipe: Recipe) -> tuple[str, ...]:
    """The names under which a step reports its penalties; "" is their sum."""
    return ("", *(recipe.penalty or Penalty()).names)


def train_batch(
    recipe: Recipe,
    statistics: PyTree,
    own: Mapping[int, Key],
    before: Array,
    carry: Carry,
    number: Array,
    x: PyTree,
    y: PyTree,
    weight: Array,
    full: Array,
    classes: Array | None = None,
) -> tuple[Carry, Step]:
    """One step on rows of the data, the epoch's `number`-th after `before` in the epochs before it.

    The loss of a batch is the mean of its losses, weighted by `weight`, which is 0 for padding; `own` are the step's
    keys by purpose, `full` is how many rows a full batch has, and `classes` how much each class counts in the loss.
    """
    model, penalty = as_model(recipe.model), recipe.penalty or Penalty()
    params, model_state, opt_state = carry
    clean = targets_of(recipe, statistics, x, y)
    x = augmented(recipe, own.get(keys.AUGMENT), examples(recipe, statistics, x))
    x, y = mixed(recipe, model, own.get(keys.MIX), x, clean, weight, params, model_state)
    meant = weight if classes is None else weight * class_weights.of_targets(classes, y)
    total = jnp.sum(meant)
    share = meant / jnp.where(total > 0, total, 1)

    def objective(params: PyTree):
        forward, updated = forward_of(recipe, model, penalty, params, model_state, x, y, weight, own[keys.NOISE])
        losses, parts = recipe.losses_and_parts(forward.outputs, y)
        loss = jnp.sum(share.astype(jnp.promote_types(share.dtype, losses.dtype)) * losses)
        forward = forward._replace(loss=loss, step=before + number, key=own.get(keys.TERMS))
        terms = penalty.values(forward)
        added = sum(terms.values(), start=jnp.zeros((), jnp.float32))
        seen = Seen(forward.outputs, clean, losses, parts)
        return loss + added, (updated, Step(seen, {"": added, **terms}))

    gradient = jax.grad(objective, has_aux=True)
    (value, (updated, step)), gradients = jax.value_and_grad(objective, has_aux=True)(params)

    elsewhere = (lambda params: objective(params)[0]), (lambda params, _: gradient(params)[0])
    updates, moved = recipe.update(gradients, opt_state, params, value, *elsewhere)
    updated = by_rows(model_state, updated, jnp.sum(weight > 0, dtype=jnp.int32), full)
    return (optax.apply_updates(params, updates), updated, moved), step


def forward_of(
    recipe: Recipe,
    model: Model,
    penalty: Penalty,
    params: PyTree,
    state: PyTree,
    x: PyTree,
    y: PyTree,
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
