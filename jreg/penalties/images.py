"""Penalties of images and of feature maps."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide
from jreg._base.sharding import whole
from jreg._base.tree import Axis, axes
from jreg._base.types import Array
from jreg.penalties.norms import l1


def total_variation(x: Array, axis: Axis = (-3, -2)) -> Array:
    r"""Sum of absolute differences between neighboring pixels, in its anisotropic form.

    .. math:: \Omega(x) = \sum_{ijk} |x_{i+1,j,k} - x_{i,j,k}| + |x_{i,j+1,k} - x_{i,j,k}|

    Args:
      x: an image or feature maps ``(..., height, width, channels)``, of floating dtype; sums over the other axes.
      axis: the axes along which elements are neighbors: -2 for a series ``(..., time, channels)``, (0, 1) for the
        filters of a convolution's kernel; None: all but the last.

    Returns:
      A scalar of x's dtype, float32 at least; its gradient is 0 where neighbors are equal.

    Raises:
      TypeError: `x` is no array of floating dtype.
      ValueError: `axis` does not exist.

    >>> import jax.numpy as jnp
    >>> float(total_variation(jnp.array([[[0.0], [1.0]], [[0.0], [3.0]]])))  # 1 + 3 along rows, 0 + 2 along columns
    6.0

    Source: Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60 (1992);
    the anisotropic form, Esedoglu and Osher, Comm. Pure Appl. Math. 57 (2004).
    """
    checks.floating(x, "total_variation's x")
    x = wide(whole(x))
    return sum((l1(jnp.diff(x, axis=a)) for a in axes(x, axis)), start=jnp.zeros((), x.dtype))
