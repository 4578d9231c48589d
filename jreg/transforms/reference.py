"""Decay towards reference weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.tree import kernels, map_selected
from jreg._base.types import Array, PyTree, Scalar, Where
from jreg.transforms._params import given


class ReferenceState(NamedTuple):
    """What `decay_towards` keeps when no reference is given.

    Attributes:
      reference: the parameters at ``init``.
    """

    reference: PyTree


def decay_towards(
    rate: Scalar, reference: PyTree | None = None, where: Where = kernels
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks the distance to reference weights by `rate` at every step; put it after the optimizer.

    .. math:: u \leftarrow u - \lambda (w - w_0)

    It is to the penalty `jreg.penalties.l2_sp` what `decoupled_weight_decay` is to `jreg.penalties.l2`: whatever the
    learning rate, and not rescaled by Adam. With it a pretrained network forgets less.

    Args:
      rate: lambda, the share of the distance lost per step, at least 0; may be traced.
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
        return ReferenceState(params) if reference is None else optax.EmptyState()

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        anchor = state.reference if reference is None else reference
        if jax.tree.structure(anchor) != jax.tree.structure(given(params, "decay_towards")):
            raise ValueError(
                f"decay_towards' reference has the structure {jax.tree.structure(anchor)}, but the parameters have "
                f"{jax.tree.structure(params)}"
            )

        def pulled(u: Array, start: Array, w: Array) -> Array:
            return u - jnp.asarray(rate, u.dtype) * (w.astype(u.dtype) - start.astype(u.dtype))

        return map_selected(pulled, where, updates, anchor, params), state

    return optax.GradientTransformationExtraArgs(init, update)
