"""Noise on a network's branches: residual blocks that are left out, mixed or kept from the step before."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks, random
from jreg._base.arrays import wide_dtype
from jreg._base.bits import kept
from jreg._base.types import Array, Key, Scalar
from jreg.stochastic._arrays import batch_of, shape_along


def drop_path(key: Key, x: Array, rate: Scalar) -> Array:
    r"""Sets whole examples of a branch to zero with probability `rate`, and divides the others: stochastic depth.

    .. math:: y_n = \frac{m_n}{q} x_n, \qquad m_n \sim \operatorname{Bernoulli}(q), \quad q = 1 - \text{rate}

    Add it to the skip connection: ``h + drop_path(key, block(h), rate)``. Huang et al. multiply by q at evaluation
    instead, which has the same expectation, and draw once for a whole batch.

    Args:
      key: a JAX random key.
      x: a branch's outputs ``(batch, ...)`` of floating dtype.
      rate: probability of zero, in [0, 1); may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), or `x` has no axis.

    >>> import jax, jax.numpy as jnp
    >>> y = drop_path(jax.random.key(1), jnp.ones((4, 3)), rate=0.5)
    >>> bool((y == y[:, :1]).all())
    True

    Source: Huang, Sun, Liu, Sedra and Weinberger, Deep networks with stochastic depth, ECCV (2016).
    """
    checks.rate(rate, "drop_path's rate")
    batch_of(x, 1, "drop_path's x")
    mask, probability = kept(key, x, rate, shape_along(x, 0))
    return jnp.where(mask, x * (1 / probability).astype(x.dtype), 0)


def linear_depth_rates(rate: Scalar, depth: int) -> Array:
    r"""Rates of `drop_path` that rise linearly with the depth, up to `rate` at the last block.

    .. math:: \text{rate}_l = \frac{l}{L} \, \text{rate}, \qquad l = 1, \dots, L

    Args:
      rate: that of the last block, in [0, 1); may be traced.
      depth: L, the number of blocks; static.

    Returns:
      A float32 array ``(depth,)``.

    Raises:
      TypeError: `depth` is no whole number.
      ValueError: a known `rate` lies outside [0, 1), or `depth` is below 1.

    >>> linear_depth_rates(0.5, depth=4).tolist()
    [0.125, 0.25, 0.375, 0.5]

    Source: Huang et al., Deep networks with stochastic depth, ECCV (2016), equation 4.
    """
    checks.rate(rate, "linear_depth_rates' rate")
    depth = checks.count(depth, "linear_depth_rates' depth")
    return jnp.asarray(rate, jnp.float32) * (jnp.arange(1, depth + 1, dtype=jnp.float32) / depth)


def shake_shake(key: Key, first: Array, second: Array) -> Array:
    r"""Mixes two branches by a random share, and their gradients by another: Shake-Shake.

    .. math:: y_n = \alpha_n a_n + (1 - \alpha_n) b_n, \qquad
       \bar a_n = \beta_n \bar y_n, \quad \bar b_n = (1 - \beta_n) \bar y_n, \qquad
       \alpha_n, \beta_n \sim \mathcal{U}(0, 1)

    The shares are drawn anew in each pass and for each example, the best variant of the paper ("shake-shake-image").
    Evaluation takes the mean of both branches.

    Args:
      key: a JAX random key.
      first: a, outputs of a branch ``(batch, ...)`` of floating dtype.
      second: b, those of the other; of a's shape and dtype.

    Returns:
      An array of a's shape and dtype.

    Raises:
      TypeError: a branch is not floating.
      ValueError: the branches' shapes differ, or they have no axis.

    >>> import jax, jax.numpy as jnp
    >>> y = shake_shake(jax.random.key(0), jnp.zeros((4, 3)), jnp.ones((4, 3)))
    >>> bool((y == y[:, :1]).all() and (y >= 0).all() and (y <= 1).all())
    True

    Source: Gastaldi, Shake-Shake regularization (2017), section 1.
    """
    batch_of(first, 1, "shake_shake's first branch")
    checks.floating(second, "shake_shake's second branch")
    _same_shape(first, second, "shake_shake's branches")
    drawn = jax.random.uniform(random.unrolled(key), (2, *shape_along(first, 0)), wide_dtype(first))
    forward, backward = drawn.astype(first.dtype)
    return _shaken(forward, backward, first, second)


@jax.custom_jvp
def _shaken(forward: Array, backward: Array, first: Array, second: Array) -> Array:
    del backward
    return forward * first + (1 - forward) * second


@_shaken.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    # Linear in both tangents, so that it is transposed into the backward pass of the paper.
    backward = primals[1]
    return _shaken(*primals), backward * tangents[2] + (1 - backward) * tangents[3]


def zoneout(key: Key, x: Array, previous: Array, rate: Scalar) -> Array:
    r"""Keeps each element of the previous state with probability `rate` in place of the new one: zoneout.

    .. math:: y_i = d_i p_i + (1 - d_i) x_i, \qquad d_i \sim \operatorname{Bernoulli}(\text{rate})

    Evaluation uses the expectation, `zoneout_average`.

    Args:
      key: a JAX random key.
      x: the new state of a recurrent layer, of any shape and floating dtype.
      previous: p, the state before; of x's shape and dtype.
      rate: probability of the previous value, in [0, 1), realized as a multiple of 2^-16; may be traced; at 0 the
        result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), or the states' shapes differ.

    >>> import jax, jax.numpy as jnp
    >>> y = zoneout(jax.random.key(0), jnp.ones(1000), jnp.full(1000, 5.0), rate=0.5)
    >>> sorted({float(value) for value in y})
    [1.0, 5.0]

    Source: Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden activations, ICLR (2017).
    """
    checks.rate(rate, "zoneout's rate")
    checks.floating(x, "zoneout's x")
    _same_shape(x, previous, "zoneout's states")
    return jnp.where(kept(key, x, rate)[0], x, previous)


def zoneout_average(x: Array, previous: Array, rate: Scalar) -> Array:
    r"""The expectation of `zoneout`, which takes its place at evaluation.

    .. math:: y = \text{rate} \cdot p + (1 - \text{rate}) \, x

    Args:
      x: the new state of a recurrent layer, of any shape and floating dtype.
      previous: p, the state before; of x's shape and dtype.
      rate: as in `zoneout`; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), or the states' shapes differ.

    >>> import jax.numpy as jnp
    >>> zoneout_average(jnp.array([1.0, 2.0]), jnp.array([5.0, 2.0]), rate=0.25).tolist()
    [2.0, 2.0]

    Source: Krueger et al., Zoneout, ICLR (2017), section 3.
    """
    checks.rate(rate, "zoneout_average's rate")
    checks.floating(x, "zoneout_average's x")
    _same_shape(x, previous, "zoneout_average's states")
    share = jnp.asarray(rate, wide_dtype(x))
    mixed = share * previous.astype(share.dtype) + (1 - share) * x.astype(share.dtype)
    # Adding 0 would turn -0 into 0, and 0 times an infinite previous state is NaN.
    return jnp.where(share == 0, x, mixed.astype(x.dtype))


def _same_shape(first: Array, second: Array, name: str) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{name} have shapes {first.shape} and {second.shape}, but must have the same")
