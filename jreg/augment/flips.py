"""Moving pixels by whole steps: flips and crops. Nothing is interpolated."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array, Key, Scalar
from jreg.augment._image import check, check_mode
from jreg.augment.warping import resampled


def flip_left_right(key: Key, x: Array, p: Scalar) -> Array:
    r"""Mirrors left and right with probability `p`, known as horizontal flip. It turns b into d: see the guide.

    .. math:: y_{ij} = x_{i,\,w-1-j} \text{ with probability } p

    Args:
      key: a JAX random key (`jax.random.key`).
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      p: in [0, 1]; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `p` lies outside [0, 1].
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> flip_left_right(jax.random.key(0), jnp.array([[1.0, 2.0]]), p=1.0).tolist()
    [[2.0, 1.0]]

    Source: Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks (2012),
    section 4.1.
    """
    return _flip(key, x, p, 1, "flip_left_right")


def flip_up_down(key: Key, x: Array, p: Scalar) -> Array:
    r"""Mirrors top and bottom with probability `p`, known as vertical flip.

    .. math:: y_{ij} = x_{h-1-i,\,j} \text{ with probability } p

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      p: in [0, 1]; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image or a known `p` lies outside [0, 1].
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> flip_up_down(jax.random.key(0), jnp.array([[1.0], [2.0]]), p=1.0).tolist()
    [[2.0], [1.0]]

    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning, J. Big Data 6 (2019).
    """
    return _flip(key, x, p, 0, "flip_up_down")


def _flip(key: Key, x: Array, p: Scalar, axis: int, name: str) -> Array:
    check(x, f"augment.{name}")
    checks.share(p, f"augment.{name}'s p")
    return jnp.where(jax.random.bernoulli(key, jnp.asarray(p, jnp.float32)), jnp.flip(x, axis), x)


def crop(key: Key, x: Array, padding: Scalar, mode: str = "constant", fill: float = 0.0) -> Array:
    r"""Pads the image and cuts its size out at a random position, known as random crop with padding.

    .. math:: y_{ij} = x_{i+a,\,j+b}, \qquad a, b \sim \operatorname{Uniform}\{-\text{padding}, \dots, \text{padding}\}

    Pixels move by whole steps, so nothing is interpolated; `shift` moves by fractions.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      padding: pixels on each side, at least 0, rounded down; may be traced; at 0 the result is x.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, a known `padding` is negative or not finite, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> crop(jax.random.key(0), jnp.ones((4, 4)), padding=1).shape
    (4, 4)

    Source: He et al., Deep residual learning for image recognition (2016), section 4.2.
    """
    check(x, "augment.crop")
    check_mode(mode, "augment.crop")
    checks.strength(padding, "augment.crop's padding")
    most = jnp.floor(jnp.asarray(padding, jnp.float32))
    moved = jnp.floor(jax.random.uniform(key, (2,), jnp.float32) * (2 * most + 1)) - most
    rows, columns = (jnp.arange(n, dtype=jnp.float32) + by for n, by in zip(x.shape[:2], moved, strict=True))
    places = jnp.broadcast_to(rows[:, None], x.shape[:2]), jnp.broadcast_to(columns[None, :], x.shape[:2])
    return resampled(x, places, 0, mode, fill)
