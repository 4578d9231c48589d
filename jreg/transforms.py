"""Gradient transforms for optax chains: what optax lacks or means differently."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import optax

from jreg import _check
from jreg._tree import kernels, map_selected
from jreg._types import Array, Scalar, Where


def project(projection: Callable[[Array], Array], where: Where = kernels) -> optax.GradientTransformation:
    r"""Makes a projection of one weight array a transform, to be put last in the chain.

    .. math:: u \leftarrow P(w + u) - w

    so that `optax.apply_updates` lands on the projected weights (to rounding).

    Args:
      projection: ``w -> w``, such as ``functools.partial(jreg.projections.max_norm, c=3.0)``.
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps.

    Returns:
      A stateless transform that needs ``params``.

    Raises:
      ValueError: `where` matches nothing, or ``update`` is called without params.

    >>> import functools, jax.numpy as jnp, optax
    >>> from jreg.projections import max_norm
    >>> chain = optax.chain(optax.sgd(1.0), project(functools.partial(max_norm, c=1.0)))
    >>> params = {"kernel": jnp.array([[3.0], [4.0]])}
    >>> updates, _ = chain.update({"kernel": jnp.zeros((2, 1))}, chain.init(params), params)
    >>> print(optax.apply_updates(params, updates)["kernel"].round(3))
    [[0.6]
     [0.8]]

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 5.1, for max-norm after each update.
    """

    def projected(u: Array, w: Array) -> Array:
        return projection(w + u.astype(w.dtype)) - w

    return optax.stateless(lambda updates, params: map_selected(projected, where, updates, _given(params, "project")))


def decoupled_weight_decay(rate: Scalar, where: Where = kernels) -> optax.GradientTransformation:
    r"""Shrinks weights by `rate` at every step, whatever the learning rate; put it after the optimizer.

    .. math:: u \leftarrow u - \lambda w

    Unlike the penalty `jreg.penalties.l2` the decay doesn't pass through Adam's rescaling, and unlike
    `optax.adamw`, whose decay is multiplied by the learning rate, it doesn't change with the learning rate.

    Args:
      rate: lambda, the share of a weight lost a step, at least 0; may be traced.
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps.

    Returns:
      A stateless transform that needs ``params``.

    Raises:
      ValueError: a known `rate` is negative, `where` matches nothing, or ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.adam(1e-3), decoupled_weight_decay(0.5))
    >>> params = {"kernel": jnp.ones((1, 1))}
    >>> updates, _ = chain.update({"kernel": jnp.zeros((1, 1))}, chain.init(params), params)
    >>> optax.apply_updates(params, updates)["kernel"].tolist()
    [[0.5]]

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """
    _check.strength(rate, "decoupled_weight_decay's rate")

    def decayed(u: Array, w: Array) -> Array:
        return u - jnp.asarray(rate, u.dtype) * w.astype(u.dtype)

    return optax.stateless(
        lambda updates, params: map_selected(decayed, where, updates, _given(params, "decoupled_weight_decay"))
    )


def _given(params: optax.Params | None, name: str) -> optax.Params:
    if params is None:
        raise ValueError(f"{name} needs the parameters: call update(updates, state, params)")
    return params
