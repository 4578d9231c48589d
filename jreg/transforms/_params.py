"""What the transforms share: the parameters, and numbers that may be schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base.arrays import in_range, wide_dtype
from jreg._base.tree import kernels, map_selected, map_weights
from jreg._base.types import Array, PyTree, Scalar, Where

# A number, or an optax schedule: a function of how many updates there have been.
Number = Scalar | optax.Schedule


def given(params: optax.Params | None, name: str) -> optax.Params:
    """The parameters, or one sentence when `update` was called without them."""
    if params is None:
        raise ValueError(f"{name} needs the parameters: call update(updates, state, params)")
    return params


class ScheduleState(NamedTuple):
    """What a transform keeps when one of its numbers is a schedule.

    Attributes:
      count: the updates made so far, int32.
    """

    count: Array


def begun(*numbers: Number) -> Array | tuple[()]:
    """The count before the first update, if one of the numbers is a schedule."""
    return jnp.zeros((), jnp.int32) if any(map(callable, numbers)) else ()


def counted(count: Array | tuple[()]) -> Array | tuple[()]:
    """The count after one more update."""
    return () if isinstance(count, tuple) else jnp.asarray(optax.safe_increment(count))


def at(number: Number, count: Array | tuple[()]) -> Any:
    """A number, which is that of its schedule at the count if it has one."""
    return number(jnp.asarray(count, jnp.int32)) if callable(number) else number


def begun_state(*numbers: Number) -> optax.OptState:
    """The state of a transform that keeps nothing but the count of its schedules."""
    count = begun(*numbers)
    return optax.EmptyState() if isinstance(count, tuple) else ScheduleState(count)


def now(state: Any, *numbers: Number) -> tuple[list[Any], optax.OptState]:
    """The numbers at this update, and the state after it."""
    if not isinstance(state, ScheduleState):
        return list(numbers), state
    return [at(number, state.count) for number in numbers], ScheduleState(jnp.asarray(counted(state.count)))


def times(strength: Any, learning_rate: Any, w: Array) -> Array:
    """The product of two small numbers, which would vanish in half precision sooner than it has to."""
    dtype = wide_dtype(w)
    return in_range(strength, dtype) * in_range(learning_rate, dtype)


def is_masked(node: Any) -> bool:
    """Whether a parameter is left to other transforms, by `optax.masked` or `optax.partition`."""
    return isinstance(node, optax.MaskedNode)


def is_part(tree: PyTree) -> bool:
    """Whether a tree has parameters that are left to other transforms."""
    return any(map(is_masked, jax.tree.leaves(tree, is_leaf=is_masked)))


def mapped(f: Callable[..., Array], where: Where | None, updates: PyTree, *rest: PyTree) -> PyTree:
    """`map_selected` with the weights of affine maps as the default, of which a group of parameters may have none."""
    # A default that can be called would be a schedule to optax.inject_hyperparams.
    return map_selected(f, kernels if where is None else where, updates, *rest, may_be_none=is_part(updates))


def mapped_by_axes(f: Callable[..., Array], where: Where | None, updates: PyTree, *rest: PyTree, axis: Any) -> PyTree:
    """`mapped` for an `f` that may depend on which axes of the weights are what, see `map_weights`."""
    return map_weights(f, kernels if where is None else where, axis, updates, *rest, may_be_none=is_part(updates))


def per_weight(
    name: str,
    numbers: tuple[Number, ...],
    where: Where | None,
    change: Callable[..., Array],
    mapping: Callable[..., PyTree] = mapped,
) -> optax.GradientTransformationExtraArgs:
    """Makes of each chosen update u and its parameter w ``change(u, w, *numbers)``, numbers as they were given."""

    def init(params: optax.Params) -> optax.OptState:
        del params
        return begun_state(*numbers)

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        values, state = now(state, *numbers)
        return mapping(lambda u, w: change(u, w, *values), where, updates, given(params, name)), state

    return optax.GradientTransformationExtraArgs(init, update)
