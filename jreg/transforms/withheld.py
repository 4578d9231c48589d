"""Steps at which an optimizer withholds its update, such as those that only accumulate gradients."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jreg._base.types import PyTree
from jreg.transforms._params import ScheduleState, is_masked
from jreg.transforms.averaging import AverageState
from jreg.transforms.reference import ReferenceState

# What counts updates: the states of the transforms that go behind an optimizer.
_OURS = (ScheduleState, AverageState, ReferenceState)
# Where wrappers keep the state of what they wrap.
_INSIDE = ("inner_state", "opt_state", "base_optimizer_state")


def only_updates(
    updates: optax.Updates, before: optax.OptState, after: optax.OptState
) -> tuple[optax.Updates, optax.OptState]:
    """Takes back what transforms in a chain did behind an optimizer that made no update at this step.

    `optax.MultiSteps`, `optax.apply_every` and `optax.apply_if_finite` then hand zeros on, which a transform behind
    them can't tell from an update, and so would shrink weights or count at every step. With none of them nothing is
    computed.

    Args:
      updates: of the step.
      before, after: the state of the optimizer before and after it.

    Returns:
      The updates, zeros where they were withheld, and the state, in which jreg's transforms behind have not counted.
    """
    withheld: list[tuple[Any, PyTree | None]] = []
    state = _settled(before, after, updates, withheld)[0]
    for made, own in withheld:
        every = updates if own is None else own
        # Where a whole branch is masked, `u` is a tree.
        updates = jax.tree.map(
            lambda part, u, made=made: u if is_masked(part) else jnp.where(made, u, jnp.zeros_like(u)),
            every,
            updates,
            is_leaf=is_masked,
        )
    return updates, state


def _settled(
    old: Any, new: Any, updates: PyTree, withheld: list[tuple[Any, PyTree | None]], part: bool = False
) -> tuple[Any, Any]:
    """The state after a step, and whether all parameters had an update; None where nothing withholds it.

    `part` says that the state is that of some parameters alone.
    """
    if isinstance(new, optax.MultiStepsState):
        made = new.gradient_step != old.gradient_step
        withheld.append((made, new.acc_grads))
        return new, None if part else made
    if isinstance(new, optax.ApplyEvery):
        made = new.count == 0
        withheld.append((made, new.grad_acc))
        return new, None if part else made
    if isinstance(new, optax.ApplyIfFiniteState) and not part:
        # When it gives up, its updates aren't finite, and are made.
        lost = [~jnp.all(jnp.isfinite(u)) for u in jax.tree.leaves(updates)]
        made = new.last_finite | jnp.any(jnp.stack(lost))
        withheld.append((made, None))
        return new, made
    if isinstance(new, optax.PartitionState):
        groups = {
            name: _settled(old.inner_states[name], inner, updates, withheld, True)[0]
            for name, inner in new.inner_states.items()
        }
        return new._replace(inner_states=groups), None
    if type(new) is tuple or isinstance(new, OrderedDict):
        # A chain, or a named one.
        names = list(new) if isinstance(new, OrderedDict) else range(len(new))
        settled, all_made = {}, None
        for name in names:
            inner, made = _settled(old[name], new[name], updates, withheld, part)
            settled[name] = inner if all_made is None else _kept(all_made, old[name], inner)
            all_made = made if all_made is None else all_made if made is None else all_made & made
        return (OrderedDict(settled) if isinstance(new, OrderedDict) else tuple(settled.values())), all_made
    for name in set(_INSIDE).intersection(getattr(new, "_fields", ())):
        part = part or isinstance(new, optax.MaskedState)
        inner, made = _settled(getattr(old, name), getattr(new, name), updates, withheld, part)
        return new._replace(**{name: inner}), made
    return new, None


def _kept(made: Any, old: Any, new: Any) -> Any:
    """The state of transforms behind, with jreg's as they were where no update was made."""

    def ours(node: Any) -> bool:
        return isinstance(node, _OURS)

    def one(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(made, a, b), new, old) if ours(new) else new

    return jax.tree.map(one, new, old, is_leaf=ours)
