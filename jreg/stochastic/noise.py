"""Additive and multiplicative noise on inputs, activations and weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks, random
from jreg._base.arrays import wide_dtype
from jreg._base.bits import LEVELS, uniform16
from jreg._base.types import Array, Key, Scalar
from jreg.stochastic._arrays import normal


def gaussian_noise(key: Key, x: Array, stddev: Scalar) -> Array:
    r"""Adds independent normal noise to each element.

    .. math:: y_i = x_i + \sigma \varepsilon_i, \qquad \varepsilon_i \sim \mathcal{N}(0, 1)

    On inputs with squared error it acts like a penalty of the gradient (Bishop). On weights it is the weight noise
    of recurrent networks. Half precision is computed in float32.

    Args:
      key: a JAX random key.
      x: inputs, activations or weights of any shape and floating dtype.
      stddev: sigma, at least 0; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `stddev` is negative or not finite.

    >>> import jax, jax.numpy as jnp
    >>> y = gaussian_noise(jax.random.key(0), jnp.zeros(10_000), stddev=2.0)
    >>> bool(abs(y.std() - 2) < 0.1)
    True

    Source: Bishop, Training with noise is equivalent to Tikhonov regularization, Neural Computation 7 (1995);
    Graves, Practical variational inference for neural networks, NIPS (2011), for weights.
    """
    checks.strength(stddev, "gaussian_noise's stddev")
    checks.floating(x, "gaussian_noise's x")
    return _plus(x, normal(key, x), stddev)


def uniform_noise(key: Key, x: Array, half_width: Scalar) -> Array:
    r"""Adds independent uniform noise to each element.

    .. math:: y_i = x_i + c u_i, \qquad u_i \sim \mathcal{U}(-1, 1)

    The variance of the noise is :math:`c^2 / 3`. Half precision is computed in float32.

    Args:
      key: a JAX random key.
      x: inputs, activations or weights of any shape and floating dtype.
      half_width: c, at least 0; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `half_width` is negative or not finite.

    >>> import jax, jax.numpy as jnp
    >>> y = uniform_noise(jax.random.key(0), jnp.zeros(1000), half_width=0.5)
    >>> bool((abs(y) <= 0.5).all() and abs(y).max() > 0.49)
    True

    Source: Sietsma and Dow, Creating artificial neural networks that generalize, Neural Networks 4 (1991).
    """
    checks.strength(half_width, "uniform_noise's half_width")
    checks.floating(x, "uniform_noise's x")
    return _plus(x, jax.random.uniform(random.unrolled(key), x.shape, wide_dtype(x), -1, 1), half_width)


def _plus(x: Array, noise: Array, scale: Scalar) -> Array:
    amount = jnp.asarray(scale, noise.dtype)
    # Adding 0 would turn -0 into 0.
    return jnp.where(amount == 0, x, (x.astype(noise.dtype) + amount * noise).astype(x.dtype))


def gaussian_dropout(key: Key, x: Array, rate: Scalar) -> Array:
    r"""Multiplies each element by normal noise with the mean and variance of inverted dropout's factors.

    .. math:: y_i = x_i \left(1 + \sqrt{\tfrac{\text{rate}}{1 - \text{rate}}} \, \varepsilon_i\right), \qquad
       \varepsilon_i \sim \mathcal{N}(0, 1)

    The expectation is x, so evaluation uses x as it is. On weights it is multiplicative weight noise. Half precision
    is computed in float32.

    Args:
      key: a JAX random key.
      x: activations or weights of any shape and floating dtype.
      rate: the rate of the dropout it stands for, in [0, 1); may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = gaussian_dropout(jax.random.key(0), jnp.ones(10_000), rate=0.5)
    >>> bool(abs(y.mean() - 1) < 0.1 and abs(y.std() - 1) < 0.1)
    True

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 10.
    """
    checks.rate(rate, "gaussian_dropout's rate")
    checks.floating(x, "gaussian_dropout's x")
    noise = normal(key, x)
    r = jnp.asarray(rate, noise.dtype)
    # The root's derivative at 0 is infinite; there it is taken as 0.
    stddev = jnp.where(r > 0, jnp.sqrt(jnp.where(r > 0, r, 1) / (1 - r)), 0)
    return (x.astype(noise.dtype) * (1 + stddev * noise)).astype(x.dtype)


def salt_and_pepper(key: Key, x: Array, rate: Scalar, low: Scalar = 0.0, high: Scalar = 1.0) -> Array:
    r"""Replaces elements with probability `rate` by the lowest or the highest value, by a fair coin.

    .. math:: P(y_i = \text{low}) = P(y_i = \text{high}) = \tfrac12 \text{rate}, \qquad P(y_i = x_i) = 1 - \text{rate}

    Args:
      key: a JAX random key.
      x: inputs of any shape and floating dtype.
      rate: probability of a replacement, in [0, 1), realized as a multiple of 2^-15; may be traced; at 0 the result
        is x.
      low: the value of pepper; may be traced.
      high: the value of salt; may be traced.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = salt_and_pepper(jax.random.key(0), jnp.full(1000, 0.5), rate=0.1)
    >>> sorted({float(value) for value in y})
    [0.0, 0.5, 1.0]

    Source: Vincent, Larochelle, Lajoie, Bengio and Manzagol, Stacked denoising autoencoders, JMLR 11 (2010),
    section 3.3.
    """
    checks.rate(rate, "salt_and_pepper's rate")
    checks.floating(x, "salt_and_pepper's x")
    half = jnp.round(jnp.asarray(rate, jnp.float32) * (LEVELS // 2)).astype(jnp.uint32)
    drawn = uniform16(key, jnp.shape(x), x)
    replaced = jnp.where(drawn < half, jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype))
    return jnp.where(drawn < 2 * half, replaced, x)
