"""One bilinear resampling by a matrix and a displacement, with nothing random in it.

`mode` says what lies outside the image: ``"constant"`` the number `fill`, ``"nearest"`` the edge's pixel, ``"reflect"``
the image mirrored (the edge's pixel twice), ``"wrap"`` the opposite side.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jreg._base.arrays import wide_dtype
from jreg._base.types import Array, Scalar
from jreg.augment._image import as_planes, check, check_mode, from_planes


def warp(
    x: Array, matrix: Array, displacement: Array | None = None, mode: str = "constant", fill: float = 0.0
) -> Array:
    r"""Takes every pixel from the position that a matrix and a displacement give, in one bilinear resampling.

    .. math:: y(p) = x\bigl(c + A (p - c) + b + d(p)\bigr), \qquad c = \tfrac12 (h - 1, w - 1)

    Nothing is drawn; `affine`, `elastic` and `affine_elastic` draw what this applies. The matrix goes from the result
    to the image, as in ``scipy.ndimage.affine_transform``, whose offset is c + b - A c.

    Args:
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, of any range.
      matrix: ``(2, 3)``, A and b side by side, in (row, column) pixels around the image's centre: `affine_matrix`
        makes one.
      displacement: d, ``(2, height, width)`` in pixels, or None.
      mode: what lies outside, ``"constant"``, ``"nearest"``, ``"reflect"`` or ``"wrap"``.
      fill: the value of ``"constant"``, in the range of x; at the edge it is interpolated with the image.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: `x` is no image, `matrix` or `displacement` has another shape, or there is no such mode.
      TypeError: `x` isn't floating.

    >>> import jax.numpy as jnp
    >>> warp(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])).tolist()
    [[1.5, 2.5, 1.5]]

    Source: Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to visual document
    analysis (2003), section 2.
    """
    check(x, "augment.warp")
    check_mode(mode, "augment.warp")
    if jnp.shape(matrix) != (2, 3):
        raise ValueError(f"augment.warp got a matrix of shape {jnp.shape(matrix)}, but needs (2, 3), A and b")
    if displacement is not None and displacement.shape != (2, *x.shape[:2]):
        raise ValueError(
            f"augment.warp got a displacement of shape {displacement.shape}, but the image needs {(2, *x.shape[:2])}"
        )
    dtype = wide_dtype(x)
    matrix = jnp.asarray(matrix, dtype)
    row, column = jnp.arange(x.shape[0], dtype=dtype)[:, None], jnp.arange(x.shape[1], dtype=dtype)[None, :]
    down, right = row - (x.shape[0] - 1) / 2, column - (x.shape[1] - 1) / 2
    # A position is the pixel's own plus a difference, which for the identity is exactly 0.
    places = (
        row + (matrix[0, 0] - 1) * down + matrix[0, 1] * right + matrix[0, 2],
        column + matrix[1, 0] * down + (matrix[1, 1] - 1) * right + matrix[1, 2],
    )
    if displacement is not None:
        places = tuple(place + by.astype(dtype) for place, by in zip(places, displacement, strict=True))
    return resampled(x, places, 1, mode, fill)


def affine_matrix(
    rotation: Scalar = 0.0,
    shift: Sequence[Scalar] | Array = (0.0, 0.0),
    zoom: Scalar = 1.0,
    stretch: Scalar = 1.0,
    shear: Scalar = 0.0,
) -> Array:
    r"""The matrix for `warp` that stretches and zooms, then shears, then rotates, then shifts an image.

    .. math:: A = Z^{-1} S^{-1} R^{-1}, \quad b = -A t, \qquad
       R = \begin{pmatrix} \cos\theta & -\sin\theta \\ \sin\theta & \cos\theta \end{pmatrix}, \;
       S = \begin{pmatrix} 1 & 0 \\ \tan\phi & 1 \end{pmatrix}, \;
       Z = z \begin{pmatrix} s^{1/2} & 0 \\ 0 & s^{-1/2} \end{pmatrix}

    Args:
      rotation: theta in degrees, counter-clockwise as one looks at the image; may be traced.
      shift: t, pixels (down, right); may be traced.
      zoom: z above 0, 2 for twice as large; may be traced.
      stretch: s above 0, how much taller than wide a square becomes; may be traced.
      shear: phi in degrees: rows slide sideways, lower ones to the right; may be traced.

    Returns:
      ``(2, 3)`` float32, from the result's pixels to the image's.

    >>> affine_matrix(shift=(1.0, -2.0), zoom=2.0).tolist()
    [[0.5, 0.0, -0.5], [-0.0, 0.5, 1.0]]

    Source: Foley et al., Computer graphics: principles and practice (1990), section 5.
    """
    angle, slant = (jnp.deg2rad(jnp.asarray(value, jnp.float32)) for value in (rotation, shear))
    zoom, stretch = jnp.asarray(zoom, jnp.float32), jnp.asarray(stretch, jnp.float32)
    cos, sin, tan = jnp.cos(angle), jnp.sin(angle), jnp.tan(slant)
    height, width = zoom * jnp.sqrt(stretch), zoom / jnp.sqrt(stretch)
    rows = [(cos / height, sin / height), ((-sin - tan * cos) / width, (cos - tan * sin) / width)]
    down, right = (jnp.asarray(by, jnp.float32) for by in shift)
    return jnp.stack([jnp.stack([a, b, -a * down - b * right]) for a, b in rows])


def resampled(x: Array, places: Sequence[Array], order: int, mode: str, fill: float) -> Array:
    """The image at `places`, rows and columns; `order` 0 takes the nearest pixel and 1 interpolates."""
    planes = as_planes(x).astype(places[0].dtype)
    # One plane for grey images, and at most four.
    return from_planes(jnp.stack([map_coordinates(plane, places, order, mode, fill) for plane in planes]), x)
