"""Decay of weights that no optimizer rescales."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range
from jreg._base.types import Array, Scalar, Where
from jreg.transforms._params import Number, per_weight, times


def decoupled_weight_decay(rate: Number, where: Where | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks weights by `rate` at every step, whatever the learning rate; put it after the optimizer.

    .. math:: u \leftarrow u - \lambda w

    Unlike the penalty `jreg.penalties.l2` the decay doesn't pass through Adam's rescaling, and unlike
    `adamw_weight_decay` and `optax.adamw`, whose decay is multiplied by the learning rate, it doesn't change with
    the learning rate.

    Args:
      rate: lambda, the share of a weight lost per step, at least 0: a number, which may be traced, or an optax
        schedule, which is called with the counts 0, 1, 2, ...
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps.

    Returns:
      A transform that needs ``params``; it counts its updates when the rate is a schedule.

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
    checks.strength(rate, "decoupled_weight_decay's rate")

    def lowered(u: Array, w: Array, rate: Scalar) -> Array:
        return u - in_range(rate, u.dtype) * w.astype(u.dtype)

    return per_weight("decoupled_weight_decay", (rate,), where, lowered)


def adamw_weight_decay(
    rate: Number, learning_rate: Number, where: Where | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks weights by `rate` times the learning rate, AdamW's convention; put it after the optimizer.

    .. math:: u \leftarrow u - \eta \lambda w

    After ``optax.adam(eta)`` this is `optax.adamw`, and PyTorch's ``AdamW``; after another optimizer it is that
    one's counterpart, with the rates that people quote for AdamW. `decoupled_weight_decay` leaves the learning rate
    out, as the paper's own formula does: its rate is this one times the learning rate.

    Args:
      rate: lambda, at least 0; may be traced, or a schedule as `learning_rate` may be.
      learning_rate: eta, that of the optimizer before it: a number of at least 0, which may be traced, or its
        optax schedule, which is called with the same counts 0, 1, 2, ...
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps
        (`optax.adamw` without a mask decays biases too).

    Returns:
      A transform that needs ``params``; it counts its updates when the learning rate is a schedule.

    Raises:
      ValueError: a known `rate` or `learning_rate` is negative, `where` matches nothing, or ``update`` is called
        without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.adam(0.1), adamw_weight_decay(0.5, 0.1))
    >>> params = {"kernel": jnp.ones((1, 1))}
    >>> updates, _ = chain.update({"kernel": jnp.zeros((1, 1))}, chain.init(params), params)
    >>> print(optax.apply_updates(params, updates)["kernel"])
    [[0.95]]

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019, as implemented in PyTorch.
    """
    checks.strength(rate, "adamw_weight_decay's rate")

    checks.strength(learning_rate, "adamw_weight_decay's learning_rate")

    def lowered(u: Array, w: Array, rate: Scalar, learning_rate: Scalar) -> Array:
        return u - times(rate, learning_rate, w).astype(u.dtype) * w.astype(u.dtype)

    return per_weight("adamw_weight_decay", (rate, learning_rate), where, lowered)


def decoupled_l1(rate: Number, where: Where | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Moves weights towards zero by `rate` at every step, whatever the learning rate; put it after the optimizer.

    .. math:: u \leftarrow u - \operatorname{sign}(w) \min(\lambda, |w|)

    It is to the penalty `jreg.penalties.l1` what `decoupled_weight_decay` is to `jreg.penalties.l2`: no optimizer
    rescales it. A weight smaller than `rate` moves to zero and not beyond it (Tsuruoka et al. call this clipping),
    so the decay alone never makes signs alternate. The optimizer's own step is added to that, so weights with a
    gradient hover near zero: exact zeros are the job of `proximal` with `jreg.prox.l1`, which thresholds after the
    step.

    Args:
      rate: lambda, what a weight loses per step, in the units of weights, at least 0: a number, which may be traced, or
        an optax schedule, which is called with the counts 0, 1, 2, ...
      where: which parameters: a path pattern or a function of (path, leaf); default: the weights of affine maps.

    Returns:
      A transform that needs ``params``; it counts its updates when the rate is a schedule.

    Raises:
      ValueError: a known `rate` is negative, `where` matches nothing, or ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.adam(1e-3), decoupled_l1(0.5))
    >>> params = {"kernel": jnp.array([[2.0, -0.25]])}
    >>> updates, _ = chain.update({"kernel": jnp.zeros((1, 2))}, chain.init(params), params)
    >>> optax.apply_updates(params, updates)["kernel"].tolist()
    [[1.5, 0.0]]

    Source: Tsuruoka, Tsujii and Ananiadou, Stochastic gradient descent training for L1-regularized log-linear models
    with cumulative penalty, ACL 2009, section 3.1; Loshchilov and Hutter (2019) for the decoupling.
    """
    checks.strength(rate, "decoupled_l1's rate")

    def lowered(u: Array, w: Array, rate: Scalar) -> Array:
        limit = in_range(rate, u.dtype)
        return u - jnp.clip(w.astype(u.dtype), -limit, limit)

    return per_weight("decoupled_l1", (rate,), where, lowered)
