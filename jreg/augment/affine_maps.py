"""Random affine maps; each magnitude also stands alone, as `f(key, x, magnitude)`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import check
from jreg.augment.warping import affine_matrix, warp


def affine(
    key: Key,
    x: Array,
    rotation: Scalar = 0.0,
    shift: Scalar = 0.0,
    zoom: Scalar = 0.0,
    stretch: Scalar = 0.0,
    shear: Scalar = 0.0,
    mode: str = "constant",
    fill: float = 0.0,
) -> Array:
    r"""Stretches, zooms, shears, rotates and shifts the image by random amounts, in one resampling.

    .. math::
       y(p) = x\bigl(c + A (p - c) + b\bigr), \qquad
       \theta \sim \operatorname{Uniform}(-\text{rotation}, \text{rotation}), \;
       \log z \sim \operatorname{Uniform}(-\log(1 + \text{zoom}), \log(1 + \text{zoom})), \; \dots

    A and b are those of `affine_matrix`. The amounts are independent. One resampling for each of them would blur more.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      rotation: the largest angle to either side in degrees; may be traced, and so may the next four.
      shift: the largest way up, down, left and right in pixels.
      zoom: 0.25 for factors from 1/1.25 to 1.25.
      stretch: 0.25 for a square that becomes 1/1.25 to 1.25 as tall as wide.
      shear: the largest slant to either side in degrees. Where all five are 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known amount is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> affine(jax.random.key(0), jnp.ones((28, 28)), rotation=15.0, shift=2.0, zoom=0.1).shape
    (28, 28)

    Source: Simard, Steinkraus and Platt, Best practices for convolutional neural networks (2003), section 2; Ciresan
    et al., Deep, big, simple neural nets for handwritten digit recognition, Neural Comput. 22 (2010), section 2.
    """
    check(x, "augment.affine")
    amounts = check_amounts("affine", rotation=rotation, shift=shift, zoom=zoom, stretch=stretch, shear=shear)
    return warp(x, random_matrix(key, **amounts), mode=mode, fill=fill)


def rotate(key: Key, x: Array, degrees: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Turns the image around its centre by a random angle.

    .. math:: \theta \sim \operatorname{Uniform}(-\text{degrees}, \text{degrees})

    6 and 9, or u and n, are half a turn of each other: keep to about 15 degrees on characters.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      degrees: the largest angle to either side, at least 0; may be traced; at 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `degrees` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> rotate(jax.random.key(0), jnp.ones((5, 5)), degrees=15.0).shape
    (5, 5)

    Source: Simard, Steinkraus and Platt, Best practices for convolutional neural networks (2003), section 2.
    """
    return affine(key, x, rotation=degrees, mode=mode, fill=fill)


def shift(key: Key, x: Array, pixels: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Moves the image by random fractions of pixels, known as translation; `crop` moves by whole pixels.

    .. math:: t_1, t_2 \sim \operatorname{Uniform}(-\text{pixels}, \text{pixels})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      pixels: the largest way up, down, left and right, at least 0; may be traced; at 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `pixels` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> shift(jax.random.key(0), jnp.ones((5, 5)), pixels=2.0).shape
    (5, 5)

    Source: Simard, Steinkraus and Platt, Best practices for convolutional neural networks (2003), section 2.
    """
    return affine(key, x, shift=pixels, mode=mode, fill=fill)


def zoom(key: Key, x: Array, amount: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Enlarges or shrinks the image around its centre by a random factor.

    .. math:: \log z \sim \operatorname{Uniform}(-\log(1 + \text{amount}), \log(1 + \text{amount}))

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      amount: at least 0; 0.25 for factors from 1/1.25 to 1.25; may be traced; at 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `amount` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> zoom(jax.random.key(0), jnp.ones((5, 5)), amount=0.1).shape
    (5, 5)

    Source: Ciresan et al., Deep, big, simple neural nets for handwritten digit recognition,
    Neural Comput. 22 (2010), section 2.
    """
    return affine(key, x, zoom=amount, mode=mode, fill=fill)


def stretch(key: Key, x: Array, amount: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Makes the image taller and narrower, or wider and lower, by a random factor; its area stays.

    .. math:: \log s \sim \operatorname{Uniform}(-\log(1 + \text{amount}), \log(1 + \text{amount}))

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      amount: at least 0; with 0.25 squares become 1/1.25 to 1.25 times as tall as wide; may be traced; at 0 the result
        is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `amount` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> stretch(jax.random.key(0), jnp.ones((5, 5)), amount=0.1).shape
    (5, 5)

    Source: Ciresan et al., Deep, big, simple neural nets for handwritten digit recognition,
    Neural Comput. 22 (2010), section 2.
    """
    return affine(key, x, stretch=amount, mode=mode, fill=fill)


def shear(key: Key, x: Array, degrees: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Slides rows sideways in proportion to their height: slanted writing.

    .. math:: \phi \sim \operatorname{Uniform}(-\text{degrees}, \text{degrees})

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      degrees: the largest slant to either side, at least 0 and far below 90; may be traced; at 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `degrees` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> shear(jax.random.key(0), jnp.ones((5, 5)), degrees=10.0).shape
    (5, 5)

    Source: Ciresan et al., Deep, big, simple neural nets for handwritten digit recognition,
    Neural Comput. 22 (2010), section 2.
    """
    return affine(key, x, shear=degrees, mode=mode, fill=fill)


def check_amounts(function: str, **amounts: Scalar) -> dict[str, Scalar]:
    """The amounts, which are numbers of at least 0 as far as they are known."""
    for name, amount in amounts.items():
        checks.strength(amount, f"augment.{function}'s {name}")
    return amounts


def random_matrix(key: Key, rotation: Scalar, shift: Scalar, zoom: Scalar, stretch: Scalar, shear: Scalar) -> Array:
    """The matrix that `affine` draws."""
    draw = jax.random.uniform(key, (6,), jnp.float32, minval=-1.0, maxval=1.0)
    angle, pixels, larger, taller, slant = (
        jnp.asarray(magnitude, jnp.float32) for magnitude in (rotation, shift, zoom, stretch, shear)
    )
    return affine_matrix(
        rotation=draw[0] * angle,
        shift=draw[1:3] * pixels,
        zoom=jnp.exp(draw[3] * jnp.log1p(larger)),
        stretch=jnp.exp(draw[4] * jnp.log1p(taller)),
        shear=draw[5] * slant,
    )
