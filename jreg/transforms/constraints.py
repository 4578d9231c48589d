"""Projections and proximal operators as transforms, last in a chain."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import optax

from jreg._base import checks
from jreg._base.types import Array, Scalar, Where
from jreg.transforms._params import Number, mapped_by_axes, per_weight, times


def project(
    projection: Callable[..., Array], where: Where | None = None, axis: Any = None, **numbers: Number
) -> optax.GradientTransformationExtraArgs:
    r"""Makes a projection of one weight array a transform, to be put last in the chain.

    .. math:: u \leftarrow P(w + u) - w

    so that `optax.apply_updates` lands on the projected weights (to rounding).

    Args:
      projection: ``(w, **numbers) -> w``, such as `jreg.projections.max_norm`, or that with ``functools.partial``.
      where: which parameters, as in `jreg.on_params`; default: the weights of affine maps.
      axis: which axes of the weights are what, where names, shapes and modules don't tell (`jreg.where` shows what
        they tell): the axes of a unit's incoming weights, a `jreg.Axes`, or a dict of these by path pattern.
      numbers: what the projection is given by name, such as ``c=3.0``; may be traced, or optax schedules, which are
        called with the counts 0, 1, 2, ...

    Returns:
      A transform that needs ``params``; it counts its updates when a number is a schedule.

    Raises:
      ValueError: `where` matches nothing, ``update`` is called without params, or the projection depends on which axes
        are what and this can't be known.

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

    def projected(u: Array, w: Array, *values: Scalar) -> Array:
        return projection(w + u.astype(w.dtype), **dict(zip(numbers, values, strict=True))) - w

    by_axes = functools.partial(mapped_by_axes, axis=axis)
    return per_weight("project", tuple(numbers.values()), where, projected, by_axes)


def proximal(
    operator: Callable[[Array, Scalar], Array],
    strength: Number,
    learning_rate: Number,
    where: Where | None = None,
    axis: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Makes a proximal operator of one weight array a transform that gives exact zeros, to be put last in the chain.

    .. math:: u \leftarrow \operatorname{prox}_{\eta \lambda \Omega}(w + u) - w

    so that `optax.apply_updates` lands on the operator's result: where that is zero exactly, elsewhere to rounding.

    Args:
      operator: ``(w, t) -> w``, such as `jreg.prox.l1` or ``functools.partial(jreg.prox.group_lasso, axis=-1)``.
      strength: lambda, the strength of the penalty in the objective, at least 0; may be traced, or a schedule as
        `learning_rate` may be. The threshold is this times the learning rate.
      learning_rate: eta, that of the optimizer before it: a number of at least 0, which may be traced, or its
        optax schedule, which is called with the same counts 0, 1, 2, ...
      where: which parameters, as in `jreg.on_params`; default: the weights of affine maps.
      axis: which axes of the weights are what, where names, shapes and modules don't tell (`jreg.where` shows what
        they tell): the axes of a unit's incoming weights, a `jreg.Axes`, or a dict of these by path pattern.

    Returns:
      A transform that needs ``params``; it counts its updates when a number is a schedule.

    Raises:
      ValueError: a known `strength` or `learning_rate` is negative or not finite, `where` matches nothing,
        ``update`` is called without params, or the operator depends on which axes are what and this can't be known.

    After ``optax.sgd(eta)`` this is proximal gradient descent: where it comes to rest, loss + lambda * Omega is
    least. With momentum (Nesterov's too) the gradients add up to ``1 / (1 - momentum)`` of one: pass
    ``eta / (1 - momentum)``, or lambda counts for less.

    After Adam the threshold is one number for all weights and no proximal step in Adam's metric, which would
    divide it by the root of each weight's second moment (and has a closed form for `jreg.prox.l1` alone; the
    moments are in the state of another transform, out of reach here). So zeros are exact, but the resting point is
    another one: a weight stays zero while ``|m| / (sqrt(v) + eps)``, not its gradient, is at most lambda. This
    ratio hardly exceeds 1 and is near 1 where gradients keep their sign, so useful strengths lie between 0 and 1,
    don't carry over to SGD, and remove weights whose gradients are noise.

    In a loop of your own, behind `optax.MultiSteps`, it acts at every step, also where gradients are only accumulated:
    put it inside, ``optax.MultiSteps(optax.chain(optax.sgd(eta), proximal(...)), k)``. A recipe's optimizer may have it
    in either place.

    A projection goes behind: ``optax.chain(optax.sgd(eta), proximal(l1, ...), project(...))``. Those of
    `jreg.projections` keep zeros, so both hold; the other way round thresholding moves weights off the set (max-norm
    and non-negative weights survive it, unit norm doesn't).

    >>> import jax.numpy as jnp, optax
    >>> from jreg.prox import l1
    >>> chain = optax.chain(optax.sgd(0.1), proximal(l1, strength=2.0, learning_rate=0.1))
    >>> params = {"kernel": jnp.array([[1.0], [0.3]])}
    >>> updates, _ = chain.update({"kernel": jnp.array([[3.0], [2.0]])}, chain.init(params), params)
    >>> print(optax.apply_updates(params, updates)["kernel"])
    [[0.5]
     [0. ]]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 4.2.
    """
    checks.strength(strength, "proximal's strength")
    checks.strength(learning_rate, "proximal's learning_rate")

    def moved(u: Array, w: Array, strength: Scalar, learning_rate: Scalar) -> Array:
        return operator(w + u.astype(w.dtype), times(strength, learning_rate, w).astype(w.dtype)) - w

    by_axes = functools.partial(mapped_by_axes, axis=axis)
    return per_weight("proximal", (strength, learning_rate), where, moved, by_axes)
