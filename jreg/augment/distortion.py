"""Elastic distortion, alone and with an affine map in one resampling."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base.bits import LEVELS, uniform16
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import check, smooth
from jreg.augment.affine_maps import check_amounts, random_matrix
from jreg.augment.warping import warp


def elastic(key: Key, x: Array, alpha: Scalar, sigma: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Moves every pixel by a smooth random field, known as elastic distortion.

    .. math:: y(p) = x\bigl(p + d(p)\bigr), \qquad d = \alpha \, (G_\sigma * u), \qquad
       u \sim \operatorname{Uniform}(-1, 1)

    Two independent fields, one down and one right. Away from the edges each has the standard deviation
    :math:`\alpha / (2 \sqrt{3 \pi} \sigma)` pixels; at the edges it is smaller, since there is no noise beyond them.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      alpha: how strong, at least 0; may be traced; at 0 the result is x.
      sigma: how smooth, the Gaussian's standard deviation in pixels, at least 0; may be traced. Simard et al. have
        alpha 34 and sigma 4 on MNIST's 28x28 pixels.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `alpha` or `sigma` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> elastic(jax.random.key(0), jnp.ones((28, 28)), alpha=34.0, sigma=4.0).shape
    (28, 28)

    Source: Simard, Steinkraus and Platt, Best practices for convolutional neural networks (2003), section 2.
    """
    check(x, "augment.elastic")
    check_amounts("elastic", alpha=alpha, sigma=sigma)
    return warp(x, jnp.eye(2, 3), _field(key, x, alpha, sigma), mode, fill)


def affine_elastic(
    key: Key,
    x: Array,
    alpha: Scalar,
    sigma: Scalar,
    rotation: Scalar = 0.0,
    shift: Scalar = 0.0,
    zoom: Scalar = 0.0,
    stretch: Scalar = 0.0,
    shear: Scalar = 0.0,
    mode: str = "constant",
    fill: float = 0.0,
) -> Array:
    r"""`affine` and `elastic` in one resampling: what MNIST's best plain networks were trained with.

    .. math:: y(p) = x\bigl(c + A (p - c) + b + d(p)\bigr)

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      alpha, sigma: of `elastic`; may be traced.
      rotation, shift, zoom, stretch, shear: of `affine`; may be traced. Where they and `alpha` are 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known amount is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> affine_elastic(jax.random.key(0), jnp.ones((28, 28)), alpha=34.0, sigma=4.0, rotation=15.0).shape
    (28, 28)

    Source: Ciresan, Meier, Gambardella and Schmidhuber, Deep, big, simple neural nets for handwritten digit
    recognition, Neural Comput. 22 (2010), section 2, which has elastic distortions with sigma 5 to 6 and alpha 36 to
    38, angles up to 15 degrees (7.5 for 1 and 7) and scaling of 15 to 20 percent.
    """
    check(x, "augment.affine_elastic")
    amounts = check_amounts("affine_elastic", rotation=rotation, shift=shift, zoom=zoom, stretch=stretch, shear=shear)
    check_amounts("affine_elastic", alpha=alpha, sigma=sigma)
    for_matrix, for_field = jax.random.split(key)
    return warp(x, random_matrix(for_matrix, **amounts), _field(for_field, x, alpha, sigma), mode, fill)


def _field(key: Key, x: Array, alpha: Scalar, sigma: Scalar) -> Array:
    # Sixteen bits per pixel are many more than smoothing leaves visible, at a quarter of the cost.
    draw = (uniform16(key, (2, *x.shape[:2])).astype(jnp.float32) + 0.5) * (2 / LEVELS) - 1
    smoothed = smooth(draw, jnp.asarray(sigma, jnp.float32), mirrored=False)
    return jnp.asarray(alpha, jnp.float32) * smoothed
