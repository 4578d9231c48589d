"""Decay towards reference weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from jreg._base import checks
from jreg._base.arrays import in_range
from jreg._base.tree import copied
from jreg._base.types import Array, PyTree, Where
from jreg.transforms._params import Number, at, begun, counted, given, is_masked, is_part, mapped


class ReferenceState(NamedTuple):
    """What `decay_towards` keeps.

    Attributes:
      reference: the parameters at ``init``; () when a reference is given.
      count: the updates made so far, int32; () when the rate is no schedule.
    """

    reference: PyTree
    count: Array | tuple[()]


def decay_towards(
    rate: Number, reference: PyTree | None = None, where: Where | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks the distance to reference weights by `rate` at every step; put it after the optimizer.

    .. math:: u \leftarrow u - \lambda (w - w_0)

    It is to the penalty `jreg.penalties.l2_sp` what `decoupled_weight_decay` is to `jreg.penalties.l2`: whatever the
    learning rate, and not rescaled by Adam. With it a pretrained network forgets less.

    Args:
      rate: lambda, the share of the distance lost per step, at least 0: a number, which may be traced, or an optax
        schedule, which is called with the counts 0, 1, 2, ...
      reference: w_0, a tree like the parameters (leaves that `where` doesn't choose are not looked at); default: the
        parameters that training begins with, which the state then keeps.
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps.

    Returns:
      A transform that needs ``params``.

    Raises:
      ValueError: a known `rate` is negative, `where` matches nothing, the reference is no tree like the parameters,
        or ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.adam(1e-3), decay_towards(0.5, {"kernel": jnp.array([[3.0]])}))
    >>> params = {"kernel": jnp.array([[1.0]])}
    >>> updates, _ = chain.update({"kernel": jnp.zeros((1, 1))}, chain.init(params), params)
    >>> optax.apply_updates(params, updates)["kernel"].tolist()
    [[2.0]]

    Source: Li, Grandvalet and Davoine, Explicit inductive bias for transfer learning with convolutional networks,
    ICML 2018, for the starting point as reference; Loshchilov and Hutter (2019) for the decoupling.
    """
    checks.strength(rate, "decay_towards' rate")

    def init(params: optax.Params) -> optax.OptState:
        return ReferenceState(copied(params) if reference is None else (), begun(rate))

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        anchor, params = state.reference if reference is None else reference, given(params, "decay_towards")
        if is_part(params) and not is_part(anchor):
            anchor = jax.tree.map(lambda w, start: w if is_masked(w) else start, params, anchor, is_leaf=is_masked)
        if jax.tree.structure(anchor) != jax.tree.structure(params):
            raise ValueError(
                f"decay_towards' reference has the structure {jax.tree.structure(anchor)}, but the parameters have "
                f"{jax.tree.structure(params)}"
            )

        share = at(rate, state.count)

        def pulled(u: Array, start: Array, w: Array) -> Array:
            return u - in_range(share, u.dtype) * (w.astype(u.dtype) - start.astype(u.dtype))

        return mapped(pulled, where, updates, anchor, params), ReferenceState(state.reference, counted(state.count))

    return optax.GradientTransformationExtraArgs(init, update)
