"""What the transforms share: the parameters, and a learning rate that may be a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import wide_dtype
from jreg._base.tree import map_weights
from jreg._base.types import Array, Scalar, Where


def given(params: optax.Params | None, name: str) -> optax.Params:
    """The parameters, or one sentence when `update` was called without them."""
    if params is None:
        raise ValueError(f"{name} needs the parameters: call update(updates, state, params)")
    return params


class ScheduleState(NamedTuple):
    """What a transform keeps when its learning rate is a schedule.

    Attributes:
      count: the updates made so far, int32.
    """

    count: Array


def with_rate(
    name: str,
    strength: Scalar,
    learning_rate: Scalar | optax.Schedule,
    where: Where,
    change: Callable[[Array, Array, Array], Array],
    axis: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Makes of each chosen update u and its parameter w ``change(u, w, strength times the learning rate)``."""
    if not callable(learning_rate):
        checks.strength(learning_rate, f"{name}'s learning_rate")

    def init(params: optax.Params) -> optax.OptState:
        del params
        return ScheduleState(jnp.zeros((), jnp.int32)) if callable(learning_rate) else optax.EmptyState()

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        if callable(learning_rate):
            state = ScheduleState(jnp.asarray(optax.safe_increment(state.count)))

        def changed(u: Array, w: Array) -> Array:
            # The product of two small numbers would vanish in half precision sooner than it has to.
            dtype = wide_dtype(w)
            return change(u, w, jnp.asarray(strength, dtype) * jnp.asarray(rate, dtype))

        return map_weights(changed, where, axis, updates, given(params, name)), state

    return optax.GradientTransformationExtraArgs(init, update)
