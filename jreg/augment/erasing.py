"""Taking pixels away: squares, rectangles, and pixels here and there.

Noise on every pixel is in `jreg.stochastic`, since it is not for images alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.bits import LEVELS, uniform16
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import check, from_planes

# Zhong et al., section 4.2: from 0.3 times as tall as wide to 1 / 0.3 times.
_FLATTEST = 0.3


def cutout(key: Key, x: Array, size: Scalar, fill: float = 0.0) -> Array:
    r"""Overwrites a square around a random pixel with one value; what reaches over the edge is lost.

    .. math:: y_p = \text{fill where } |p - m|_\infty < \text{size} / 2, \text{ else } x_p, \qquad
       m \sim \operatorname{Uniform}\{\text{pixels}\}

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      size: the side in pixels, at least 0; may be traced; at 0 the result is x.
      fill: the value, in the range of x; the background's or the mean.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `size` is negative or not finite.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> float(cutout(jax.random.key(1), jnp.ones((9, 9)), size=3).sum())
    72.0

    Source: DeVries and Taylor, Improved regularization of convolutional neural networks with cutout (2017).
    """
    check(x, "augment.cutout")
    checks.strength(size, "augment.cutout's size")
    side = jnp.asarray(size, jnp.float32)
    sizes = jnp.array(x.shape[:2], jnp.float32)
    middle = jnp.floor(jax.random.uniform(key, (2,), jnp.float32) * sizes)
    return _overwritten(x, middle - side / 2, middle + side / 2, fill)


def random_erasing(key: Key, x: Array, area: Scalar, fill: float = 0.0) -> Array:
    r"""Overwrites a random rectangle inside the image with one value.

    .. math:: \frac{ab}{hw} \sim \operatorname{Uniform}(0, \text{area}), \qquad
       \log\frac{a}{b} \sim \operatorname{Uniform}(\log 0.3, -\log 0.3)

    The sides a and b are cut to the image's where they are longer. Apply it to some images alone with
    `with_probability`, as its authors do.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      area: the largest share of the image, in [0, 1]; may be traced; at 0 the result is x. The authors have 0.4.
      fill: the value, in the range of x; the background's or the mean.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `area` lies outside [0, 1].
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> y = random_erasing(jax.random.key(0), jnp.ones((10, 10)), area=0.5)
    >>> 40 <= float(y.sum()) <= 100
    True

    Source: Zhong, Zheng, Kang, Li and Yang, Random erasing data augmentation (AAAI 2020).
    """
    check(x, "augment.random_erasing")
    checks.share(area, "augment.random_erasing's area")
    draw = jax.random.uniform(key, (4,), jnp.float32)
    sizes = jnp.array(x.shape[:2], jnp.float32)
    erased = draw[0] * jnp.asarray(area, jnp.float32) * jnp.prod(sizes)
    half = (draw[1] * 2 - 1) * jnp.log(jnp.float32(_FLATTEST)) / 2
    # A root's derivative at 0 is infinite.
    side = jnp.where(erased > 0, jnp.sqrt(jnp.where(erased > 0, erased, 1)), 0)
    sides = jnp.minimum(side * jnp.exp(jnp.stack([half, -half])), sizes)
    first = draw[2:] * (sizes - sides)
    return _overwritten(x, first - 0.5, first + sides - 0.5, fill)


def _overwritten(x: Array, first: Array, last: Array, fill: float) -> Array:
    inside = []
    for size, low, high in zip(x.shape[:2], first, last, strict=True):
        places = jnp.arange(size, dtype=jnp.float32)
        inside.append((low <= places) & (places < high))
    box = inside[0][:, None] & inside[1][None, :]
    return jnp.where(_over_channels(box, x), jnp.asarray(fill, x.dtype), x)


def _over_channels(mask: Array, x: Array) -> Array:
    return mask if x.ndim == 2 else mask[..., None]


def change_pixels(key: Key, x: Array, rate: Scalar, low: float = 0.0, high: float = 1.0) -> Array:
    r"""Overwrites each pixel with probability `rate`, all its channels, with uniform random values.

    .. math:: y_p = \begin{cases} u_p & \text{with probability rate} \\ x_p & \text{otherwise} \end{cases}, \qquad
       u_p \sim \operatorname{Uniform}(\text{low}, \text{high})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, with values from `low` to `high`.
      rate: in [0, 1], realized as a multiple of 2^-16; may be traced; at 0 the result is x.
      low, high: the range of values.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `rate` lies outside [0, 1], or `low` isn't below `high`.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> y = change_pixels(jax.random.key(0), jnp.full((50, 50), 2.0), rate=0.1)
    >>> bool((y < 1).any()), float(jnp.median(y))
    (True, 2.0)

    Source: Sietsma and Dow, Creating artificial neural networks that generalize, Neural Networks 4 (1991), for noise
    on inputs; random-valued impulse noise in Gonzalez and Woods, Digital image processing.
    """
    check(x, "augment.change_pixels")
    checks.share(rate, "augment.change_pixels's rate")
    if not low < high:
        raise ValueError(f"augment.change_pixels's low is {low:g} and high is {high:g}, but low must be below high")
    channels = 1 if x.ndim == 2 else x.shape[2]
    draws = uniform16(key, (1 + channels, *x.shape[:2]))
    changed = draws[0] < jnp.round(jnp.asarray(rate, jnp.float32) * LEVELS).astype(jnp.uint32)
    values = from_planes(low + (high - low) * (draws[1:].astype(jnp.float32) + 0.5) / LEVELS, x)
    return jnp.where(_over_channels(changed, x), values, x)
