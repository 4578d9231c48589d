"""What the augmentations share: checks of an image, and smoothing with a Gaussian."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.types import Array

MODES = ("constant", "nearest", "reflect", "wrap")
_MOST_CHANNELS = 4


def check(x: Array, name: str) -> None:
    """Raises unless `x` is one floating image, (height, width) or (height, width, channels)."""
    shape = jnp.shape(x)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(
            f"{name} got an array of shape {shape}, but takes one image, (height, width) or (height, width, channels): "
            "jax.vmap over a batch, jreg.augment.as_image for flat rows"
        )
    if len(shape) == 3 and shape[-1] > _MOST_CHANNELS:
        raise ValueError(
            f"{name} got an image of shape {shape}, but its last axis must be 1 to {_MOST_CHANNELS} channels: move "
            "channels to the end with jnp.moveaxis(x, 0, -1), and jax.vmap over a batch"
        )
    checks.floating(x, f"{name}'s image", "preprocess first (x / 255)")


def check_colors(x: Array, name: str) -> None:
    """Raises unless `x` is one floating image with three channels."""
    check(x, name)
    if jnp.ndim(x) != 3 or x.shape[-1] != 3:
        raise ValueError(f"{name} got an image of shape {x.shape}, but needs (height, width, 3), red, green and blue")


def check_mode(mode: str, name: str) -> None:
    """Raises unless `mode` says how an image goes on outside."""
    if mode not in MODES:
        raise ValueError(f"{name}'s mode is {mode!r}, but must be one of {', '.join(MODES)}")


def as_planes(x: Array) -> Array:
    """(channels, height, width)."""
    return x[None] if x.ndim == 2 else jnp.moveaxis(x, -1, 0)


def from_planes(planes: Array, like: Array) -> Array:
    """The inverse of `as_planes`, in the dtype of `like`."""
    return (planes[0] if like.ndim == 2 else jnp.moveaxis(planes, 0, -1)).astype(like.dtype)


def smooth(planes: Array, sigma: Array, mirrored: bool) -> Array:
    """A Gaussian of standard deviation `sigma` over the last two axes, mirrored at the edges or with zeros beyond.

    A product with one matrix per axis: on images it is as fast as a convolution, needs no kernel size that would have
    to be known in Python, and under vmap doesn't become a convolution with one kernel per example.
    """
    rows, columns = (_matrix(size, sigma, mirrored) for size in planes.shape[-2:])
    # Accelerators multiply in lower precision by default, and then the identity wouldn't be one.
    return jnp.einsum("ij,...jk,lk->...il", rows, planes, columns, precision="highest")


def _matrix(size: int, sigma: Array, mirrored: bool) -> Array:
    here, there = np.arange(size)[:, None], np.arange(size)[None, :]
    # At 0.001 all of the kernel but its centre is exactly zero, and so are the derivatives.
    steps = jnp.arange(3 * size, dtype=sigma.dtype) / jnp.maximum(sigma, 1e-3)
    kernel = jnp.exp(-jnp.square(steps) / 2)
    if not mirrored:
        return kernel[np.abs(here - there)] / (2 * jnp.sum(kernel) - kernel[0])
    # The image and its mirror images once around it; what lies further weighs nothing for any sigma of use.
    turns = [np.abs(here - there + 2 * size * turn) for turn in (-1, 0, 1)]
    weights = jnp.sum(kernel[np.stack([*turns, here + there + 1, 2 * size - 1 - here - there])], axis=0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)
