"""Additive and multiplicative noise as layers."""

from __future__ import annotations

from jreg import stochastic
from jreg._base.types import Array, Key, Scalar
from jreg.nn._noise import Noise


class GaussianNoise(Noise):
    r"""Additive normal noise as a layer, on inputs or hidden units.

    .. math:: y = x + \sigma \varepsilon \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      stddev: sigma, at least 0; may be traced.

    Raises:
      ValueError: a known `stddev` is negative or not finite.

    >>> import jax, jax.numpy as jnp
    >>> y = GaussianNoise(2.0).apply({}, jnp.zeros(10_000), train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool(abs(y.std() - 2) < 0.1)
    True

    Source: `jreg.stochastic.gaussian_noise`.
    """

    strength = "stddev"
    stddev: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Adds noise to `x`."""
        return stochastic.gaussian_noise(key, x, self.stddev)


class UniformNoise(Noise):
    r"""Additive uniform noise as a layer, on inputs or hidden units.

    .. math:: y = x + c u, \; u \sim \mathcal{U}(-1, 1) \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      half_width: c, at least 0; may be traced.

    Raises:
      ValueError: a known `half_width` is negative or not finite.

    >>> import jax, jax.numpy as jnp
    >>> y = UniformNoise(0.5).apply({}, jnp.zeros(1000), train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool((abs(y) <= 0.5).all())
    True

    Source: `jreg.stochastic.uniform_noise`.
    """

    strength = "half_width"
    half_width: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Adds noise to `x`."""
        return stochastic.uniform_noise(key, x, self.half_width)


class GaussianDropout(Noise):
    r"""Multiplicative normal noise as a layer, with the moments of dropout.

    .. math:: y = x \left(1 + \sqrt{\tfrac{\text{rate}}{1 - \text{rate}}} \, \varepsilon\right)
       \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: the rate of the dropout it stands for, in [0, 1); may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = GaussianDropout(0.5).apply({}, jnp.ones(10_000), train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool(abs(y.std() - 1) < 0.1)
    True

    Source: `jreg.stochastic.gaussian_dropout`.
    """

    rate: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Multiplies `x` by noise."""
        return stochastic.gaussian_dropout(key, x, self.rate)


class SaltAndPepper(Noise):
    r"""Replacement of elements by the lowest or highest value as a layer, for denoising autoencoders.

    .. math:: P(y = \text{low}) = P(y = \text{high}) = \tfrac12 \text{rate} \text{ in training}, \qquad
       y = x \text{ at evaluation}

    Args:
      rate: probability of a replacement, in [0, 1); may be traced.
      low: the value of pepper; may be traced.
      high: the value of salt; may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = SaltAndPepper(0.1).apply({}, jnp.full(1000, 0.5), train=True, rngs={"dropout": jax.random.key(0)})
    >>> sorted({float(value) for value in y})
    [0.0, 0.5, 1.0]

    Source: `jreg.stochastic.salt_and_pepper`.
    """

    rate: Scalar = 0.0
    low: Scalar = 0.0
    high: Scalar = 1.0

    def noise(self, key: Key, x: Array) -> Array:
        """Replaces elements of `x`."""
        return stochastic.salt_and_pepper(key, x, self.rate, self.low, self.high)
