"""Dropout for networks of SELU units: dropped activations take the value of saturation, and moments are kept."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide_dtype
from jreg._base.bits import kept
from jreg._base.types import Array, Key, Scalar
from jreg.stochastic._arrays import batch_of, inner_axes, shape_along

# -lambda alpha, SELU's limit at minus infinity, with the two constants of Klambauer et al. (as in jax.nn.selu).
_SATURATED = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def alpha_dropout(key: Key, x: Array, rate: Scalar) -> Array:
    r"""Sets elements to SELU's value of saturation, and keeps mean 0 and variance 1 by an affine map: alpha dropout.

    .. math:: y_i = a \left(m_i x_i + (1 - m_i) \alpha'\right) + b, \qquad
       a = \left(q + \alpha'^2 q (1 - q)\right)^{-1/2}, \quad b = -a (1 - q) \alpha'

    with :math:`m_i \sim \operatorname{Bernoulli}(q)`, :math:`q = 1 - \text{rate}` and
    :math:`\alpha' = -\lambda\alpha = -1.7581`. Half precision is computed in float32.

    Args:
      key: a JAX random key.
      x: activations of any shape and floating dtype, of mean 0 and variance 1 as SELU makes them.
      rate: probability of saturation, in [0, 1), realized as a multiple of 2^-16; may be traced; at 0 the result is
        x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = alpha_dropout(jax.random.key(0), jnp.zeros(1000), rate=0.5)
    >>> sorted({round(float(value), 4) for value in y})
    [-0.7792, 0.7792]

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, Self-normalizing neural networks, NIPS (2017), section 2.
    """
    checks.rate(rate, "alpha_dropout's rate")
    checks.floating(x, "alpha_dropout's x")
    return _saturated(key, x, rate, jnp.shape(x))


def feature_alpha_dropout(key: Key, x: Array, rate: Scalar, axis: int = -1) -> Array:
    r"""Alpha dropout of whole channels of an example, for convolutional networks of SELU units.

    .. math:: y_{nsc} = a \left(m_{nc} x_{nsc} + (1 - m_{nc}) \alpha'\right) + b

    with the constants of `alpha_dropout`; the moments are kept over channels, not in one of them.

    Args:
      key: a JAX random key.
      x: activations ``(batch, ..., channels)`` of floating dtype.
      rate: probability of saturation, in [0, 1); may be traced; at 0 the result is x.
      axis: the channels' axis.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), `x` has fewer than two axes, or `axis` does not exist or is
        the examples'.

    >>> import jax, jax.numpy as jnp
    >>> y = feature_alpha_dropout(jax.random.key(0), jnp.zeros((2, 4, 4, 8)), rate=0.5)
    >>> bool((y == y[:, :1, :1]).all())
    True

    Source: Klambauer et al. (2017) with the mask of Tompson et al., Efficient object localization using
    convolutional networks, CVPR (2015); as torch.nn.FeatureAlphaDropout.
    """
    checks.rate(rate, "feature_alpha_dropout's rate")
    batch_of(x, 2, "feature_alpha_dropout's x")
    return _saturated(key, x, rate, shape_along(x, 0, *inner_axes(x, axis, "feature_alpha_dropout")))


def _saturated(key: Key, x: Array, rate: Scalar, shape: tuple[int, ...]) -> Array:
    mask, probability = kept(key, x, rate, shape)
    q = probability.astype(wide_dtype(x))
    a = 1 / jnp.sqrt(q + _SATURATED**2 * q * (1 - q))
    b = -a * (1 - q) * _SATURATED
    y = a * jnp.where(mask, x.astype(q.dtype), _SATURATED) + b
    # Adding b = 0 would turn -0 into 0.
    return jnp.where(q == 1, x, y.astype(x.dtype))
