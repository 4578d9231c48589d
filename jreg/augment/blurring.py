"""Gaussian blur with a width that may be traced."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import as_planes, check, from_planes, smooth


def gaussian_blur(x: Array, sigma: Scalar) -> Array:
    r"""Smooths the image with a Gaussian. Nothing is drawn; `blur` draws the width.

    .. math:: y = G_\sigma * x, \qquad G_\sigma(i, j) \propto \exp\left(-\frac{i^2 + j^2}{2 \sigma^2}\right)

    The kernel isn't cut off, and the image goes on mirrored outside (the edge's pixel twice), so that the mean stays.

    Args:
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      sigma: standard deviation in pixels, at least 0 and below a third of the image; may be traced; at 0 the result
        is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `sigma` is negative or not finite.
      TypeError: `x` isn't floating.

    >>> import jax.numpy as jnp
    >>> print((100 * gaussian_blur(jnp.array([[0.0, 0.0, 1.0, 0.0, 0.0]]), sigma=0.5)).round())
    [[ 0. 11. 79. 11.  0.]]

    Source: ``scipy.ndimage.gaussian_filter``, whose kernel ends at four standard deviations.
    """
    check(x, "augment.gaussian_blur")
    checks.strength(sigma, "augment.gaussian_blur's sigma")
    planes = wide(as_planes(x))
    return from_planes(smooth(planes, jnp.asarray(sigma, planes.dtype), mirrored=True), x)


def blur(key: Key, x: Array, sigma: Scalar) -> Array:
    r"""Smooths the image with a Gaussian of random width.

    .. math:: y = G_s * x, \qquad s \sim \operatorname{Uniform}(0, \sigma)

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      sigma: the largest standard deviation in pixels, at least 0; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `sigma` is negative or not finite.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> blur(jax.random.key(0), jnp.ones((8, 8)), sigma=1.0).shape
    (8, 8)

    Source: Chen et al., A simple framework for contrastive learning of visual representations (2020), appendix A.
    """
    check(x, "augment.blur")
    checks.strength(sigma, "augment.blur's sigma")
    return gaussian_blur(x, jax.random.uniform(key, (), jnp.float32) * jnp.asarray(sigma, jnp.float32))
