"""Dropout and its relatives as layers."""

from __future__ import annotations

from jreg import stochastic
from jreg._base.types import Array, Key, Scalar
from jreg.nn._noise import Noise


class Dropout(Noise):
    r"""Inverted dropout as a layer, from the random stream ``"dropout"``.

    .. math:: y = \frac{m}{q} x \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: probability of zero, in [0, 1); may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> layer = Dropout(jnp.float32(0.5))
    >>> y = layer.apply({}, jnp.ones(1000), train=True, rngs={"dropout": jax.random.key(0)})
    >>> sorted({float(value) for value in y})
    [0.0, 2.0]

    Source: `jreg.stochastic.dropout`.
    """

    rate: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Drops elements of `x`."""
        return stochastic.dropout(key, x, self.rate)


class ClassicDropout(Noise):
    r"""Dropout as first published: a mask in training, multiplication by the keep probability at evaluation.

    .. math:: y = m x \text{ in training}, \qquad y = (1 - \text{rate}) \, x \text{ at evaluation}

    Args:
      rate: probability of zero, in [0, 1); may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> layer = ClassicDropout(0.5)
    >>> layer.apply({}, jnp.array([4.0, 2.0])).tolist()
    [2.0, 1.0]

    Source: `jreg.stochastic.classic_dropout` and `jreg.stochastic.weight_scaled`.
    """

    rate: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Drops elements of `x` without rescaling."""
        return stochastic.classic_dropout(key, x, self.rate)

    def evaluation(self, x: Array) -> Array:
        """Scales `x` by the keep probability."""
        return stochastic.weight_scaled(x, self.rate)


class SpatialDropout(Noise):
    r"""Dropout of whole channels as a layer.

    .. math:: y_{nsc} = \frac{m_{nc}}{q} x_{nsc} \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: probability of zero, in [0, 1); may be traced.
      axis: the channels' axis.

    Raises:
      ValueError: a known `rate` lies outside [0, 1); at the call: `axis` does not exist or is the examples'.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.ones((2, 4, 4, 8))
    >>> y = SpatialDropout(0.5).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool((y == y[:, :1, :1]).all())
    True

    Source: `jreg.stochastic.spatial_dropout`.
    """

    rate: Scalar = 0.0
    axis: int = -1

    def noise(self, key: Key, x: Array) -> Array:
        """Drops channels of `x`."""
        return stochastic.spatial_dropout(key, x, self.rate, self.axis)


class AlphaDropout(Noise):
    r"""Alpha dropout as a layer, for networks of SELU units.

    .. math:: y = a \left(m x + (1 - m) \alpha'\right) + b \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: probability of saturation, in [0, 1); may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = AlphaDropout(0.5).apply({}, jnp.zeros(1000), train=True, rngs={"dropout": jax.random.key(0)})
    >>> sorted({round(float(value), 4) for value in y})
    [-0.7792, 0.7792]

    Source: `jreg.stochastic.alpha_dropout`.
    """

    rate: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Saturates elements of `x`."""
        return stochastic.alpha_dropout(key, x, self.rate)


class FeatureAlphaDropout(Noise):
    r"""Alpha dropout of whole channels as a layer, for convolutional networks of SELU units.

    .. math:: y_{nsc} = a \left(m_{nc} x_{nsc} + (1 - m_{nc}) \alpha'\right) + b \text{ in training}, \qquad
       y = x \text{ at evaluation}

    Args:
      rate: probability of saturation, in [0, 1); may be traced.
      axis: the channels' axis.

    Raises:
      ValueError: a known `rate` lies outside [0, 1); at the call: `axis` does not exist or is the examples'.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.zeros((2, 4, 4, 8))
    >>> y = FeatureAlphaDropout(0.5).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool((y == y[:, :1, :1]).all())
    True

    Source: `jreg.stochastic.feature_alpha_dropout`.
    """

    rate: Scalar = 0.0
    axis: int = -1

    def noise(self, key: Key, x: Array) -> Array:
        """Saturates channels of `x`."""
        return stochastic.feature_alpha_dropout(key, x, self.rate, self.axis)


class DropBlock(Noise):
    r"""Dropout of square blocks of feature maps as a layer.

    .. math:: y = x \, m \, \frac{|m|}{\sum m} \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: share to be zero, in [0, 1); may be traced.
      block_size: the side of a block, static; where the maps are smaller it is theirs, as in the paper's networks.

    Raises:
      TypeError: at the call: `block_size` is no whole number.
      ValueError: a known `rate` lies outside [0, 1); at the call: a block is below 1 or x has fewer than three axes.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.ones((1, 4, 4, 1))
    >>> y = DropBlock(0.3, block_size=2).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    >>> y.shape, DropBlock(0.3).apply({}, x) is x
    ((1, 4, 4, 1), True)

    Source: `jreg.stochastic.drop_block`.
    """

    rate: Scalar = 0.0
    block_size: int = 7

    def noise(self, key: Key, x: Array) -> Array:
        """Drops blocks of `x`."""
        return stochastic.drop_block(key, x, self.rate, min((self.block_size, *x.shape[1:-1])))


class FeatureCutout(Noise):
    r"""Cutout of a contiguous run of features as a layer.

    .. math:: y_{ni} = x_{ni} \, [\, i < s_n \text{ or } i \ge s_n + k \,] \text{ in training}, \qquad
       y = x \text{ at evaluation}

    Args:
      rate: length of the run as a share of the axis, in [0, 1); may be traced.
      axis: the axis of the features, or several, such as (1, 2) for a square of an image.

    Raises:
      ValueError: a known `rate` lies outside [0, 1); at the call: `axis` does not exist or is the examples'.

    >>> import jax, jax.numpy as jnp
    >>> y = FeatureCutout(0.5).apply({}, jnp.ones((3, 8)), train=True, rngs={"dropout": jax.random.key(0)})
    >>> y.sum(axis=1).tolist()
    [4.0, 4.0, 4.0]

    Source: `jreg.stochastic.feature_cutout`.
    """

    rate: Scalar = 0.0
    axis: int | tuple[int, ...] = -1

    def noise(self, key: Key, x: Array) -> Array:
        """Cuts runs out of `x`."""
        return stochastic.feature_cutout(key, x, self.rate, self.axis)
