"""Changing values and not positions: brightness, contrast, colours and blur.

Values are thought of as lying in [0, 1] (``jreg.data.scale(255)``), and are not clipped.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import check, check_colors


def _draw(key: Key, magnitude: Scalar) -> Array:
    """Uniform between minus and plus `magnitude`, float32."""
    return jax.random.uniform(key, (), jnp.float32, minval=-1.0, maxval=1.0) * jnp.asarray(magnitude, jnp.float32)


def brightness(key: Key, x: Array, delta: Scalar) -> Array:
    r"""Adds one random number to all pixels.

    .. math:: y = x + a, \qquad a \sim \operatorname{Uniform}(-\delta, \delta)

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range; nothing is clipped.
      delta: at least 0, in the units of x; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `delta` is negative or not finite.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> y = brightness(jax.random.key(0), jnp.zeros((2, 2)), delta=0.2)
    >>> bool((y == y[0, 0]).all()), bool(abs(y[0, 0]) <= 0.2)
    (True, True)

    Source: Howard, Some improvements on deep convolutional neural network based image classification (2014), section 2.
    """
    check(x, "augment.brightness")
    checks.strength(delta, "augment.brightness's delta")
    return x + _draw(key, delta).astype(x.dtype)


def contrast(key: Key, x: Array, amount: Scalar) -> Array:
    r"""Stretches or narrows the values around each channel's mean by a random factor.

    .. math:: y = x + a (x - \bar x), \qquad a \sim \operatorname{Uniform}(-\text{amount}, \text{amount})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range; nothing is clipped.
      amount: at least 0, and below 1 to keep light and dark apart; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `amount` is negative or not finite.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> y = contrast(jax.random.key(0), jnp.array([[0.0, 1.0]]), amount=0.5)
    >>> float(y.mean())
    0.5

    Source: Howard, Some improvements on deep convolutional neural network based image classification (2014), section 2.
    """
    check(x, "augment.contrast")
    checks.strength(amount, "augment.contrast's amount")
    pixels = wide(x)
    around = pixels - jnp.mean(pixels, axis=(0, 1), keepdims=True)
    return (pixels + _draw(key, amount).astype(pixels.dtype) * around).astype(x.dtype)


def saturation(key: Key, x: Array, amount: Scalar) -> Array:
    r"""Multiplies the colours' saturation (of hue, saturation, value) by a random factor. Needs the extra `image`.

    .. math:: S \leftarrow \min(a S, 1), \qquad a \sim \operatorname{Uniform}(1 - \text{amount}, 1 + \text{amount})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width, 3)``, floating, red, green and blue in [0, 1].
      amount: at least 0; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype, in [0, 1].

    Raises:
      ValueError: `x` has no three channels, or a known `amount` is negative or not finite.
      TypeError: `x` isn't floating.
      ImportError: dm-pix isn't installed.

    >>> import jax, jax.numpy as jnp
    >>> y = saturation(jax.random.key(0), jnp.full((2, 2, 3), 0.5), amount=0.9)  # grey has no colour to change
    >>> bool(jnp.allclose(y, 0.5))
    True

    Source: dm-pix's ``adjust_saturation``; Howard, Some improvements on deep convolutional neural network based image
    classification (2014), section 2.
    """
    check_colors(x, "augment.saturation")
    checks.strength(amount, "augment.saturation's amount")
    return _colored("adjust_saturation", x, _draw(key, amount), offset=1.0)


def hue(key: Key, x: Array, amount: Scalar) -> Array:
    r"""Turns the circle of colours (of hue, saturation, value) by a random part. Needs the extra `image`.

    .. math:: H \leftarrow (H + a) \bmod 1, \qquad a \sim \operatorname{Uniform}(-\text{amount}, \text{amount})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width, 3)``, floating, red, green and blue in [0, 1].
      amount: in [0, 0.5], in turns: 0.5 reaches every colour; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype, in [0, 1].

    Raises:
      ValueError: `x` has no three channels, or a known `amount` is negative or not finite.
      TypeError: `x` isn't floating.
      ImportError: dm-pix isn't installed.

    >>> import jax, jax.numpy as jnp
    >>> y = hue(jax.random.key(0), jnp.full((2, 2, 3), 0.5), amount=0.5)  # grey has no colour to turn
    >>> bool(jnp.allclose(y, 0.5))
    True

    Source: dm-pix's ``adjust_hue``; Howard, Some improvements on deep convolutional neural network based image
    classification (2014), section 2.
    """
    check_colors(x, "augment.hue")
    checks.strength(amount, "augment.hue's amount")
    return _colored("adjust_hue", x, _draw(key, amount), offset=0.0)


def _colored(adjust: str, x: Array, change: Array, offset: float) -> Array:
    try:
        import dm_pix
    except ModuleNotFoundError:
        raise ImportError("changes of colour need dm-pix: pip install 'jreg[image]'") from None
    pixels = wide(x)
    # It adds a truth value to a number, which a strict setting of JAX would not allow.
    with jax.numpy_dtype_promotion("standard"):
        colored = getattr(dm_pix, adjust)(pixels, (offset + change).astype(pixels.dtype))
    # There and back through hue, saturation and value is the identity to rounding alone.
    return jnp.where(change == 0, x, colored.astype(x.dtype))


def color_jitter(
    key: Key,
    x: Array,
    brightness: Scalar = 0.0,
    contrast: Scalar = 0.0,
    saturation: Scalar = 0.0,
    hue: Scalar = 0.0,
) -> Array:
    r"""`saturation`, `hue`, `brightness` and `contrast` one after another, each by an independent random amount.

    .. math:: y = (\text{contrast} \circ \text{brightness} \circ \text{hue} \circ \text{saturation})(x)

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, with values in [0, 1]; where
        `saturation` or `hue` isn't a known 0, ``(height, width, 3)``.
      brightness, contrast, saturation, hue: of the functions of these names; may be traced. Where all are 0 the
        result is x.

    Returns:
      An array of x's shape and dtype; `brightness` and `contrast` may lead out of [0, 1].

    Raises:
      ValueError: `x` is no image or has no three channels where they are needed, or a known amount is negative or
        not finite.
      TypeError: `x` isn't floating.
      ImportError: dm-pix isn't installed, but `saturation` or `hue` needs it.

    >>> import jax, jax.numpy as jnp
    >>> color_jitter(jax.random.key(0), jnp.ones((4, 4)), brightness=0.1, contrast=0.2).shape
    (4, 4)

    Source: torchvision's ``ColorJitter``, whose order is random.
    """
    parts = ((_SATURATION, saturation), (_HUE, hue), (_BRIGHTNESS, brightness), (_CONTRAST, contrast))
    for part_key, (part, amount) in zip(jax.random.split(key, len(parts)), parts, strict=True):
        # Grey images have no colours to change, and need no dm-pix for that.
        if part in (_BRIGHTNESS, _CONTRAST) or checks.concrete(amount) != 0:
            x = part(part_key, x, amount)
    return x


# Under names that color_jitter's arguments leave free.
_SATURATION, _HUE, _BRIGHTNESS, _CONTRAST = saturation, hue, brightness, contrast
