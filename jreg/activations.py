"""Activation functions: `jax.nn`'s under one roof, and the two that learn or choose their shape.

`relu`, `leaky_relu`, `sigmoid`, `tanh` and `selu` are JAX's own; `prelu` and `maxout` have parameters or pieces.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.nn import leaky_relu as leaky_relu
from jax.nn import relu as relu
from jax.nn import selu as selu
from jax.nn import sigmoid as sigmoid
from jax.nn import tanh as tanh

from jreg._base import checks
from jreg._base.types import Array, Scalar


def prelu(x: Array, slope: Scalar) -> Array:
    r"""Parametric rectified linear unit: a leaky one whose slope for negative inputs is learned.

    .. math:: \phi(x) = \max(x, 0) + a \min(x, 0)

    `flax.linen.PReLU` is the layer that keeps one slope as a parameter; ``nn.MLP(..., activation="prelu")`` has one
    for each hidden layer.

    Args:
      x: of any shape and floating dtype.
      slope: a, a number or one for each entry of x's last axis; may be traced. 0 is `relu`, 1 the identity.

    Returns:
      An array of x's shape and dtype. The derivative at 0 is 1.

    Raises:
      ValueError: `slope` is neither one number nor one for each entry of the last axis.

    >>> import jax.numpy as jnp
    >>> prelu(jnp.array([-2.0, 3.0]), slope=0.25).tolist()
    [-0.5, 3.0]

    Source: He, Zhang, Ren and Sun, Delving deep into rectifiers, ICCV (2015), section 2.1.
    """
    a = jnp.asarray(slope, x.dtype)
    if a.ndim and a.shape != x.shape[-1:]:
        raise ValueError(
            f"prelu's slope has shape {a.shape}, but must be one number or one for each entry of the last axis of x, "
            f"which has shape {x.shape}"
        )
    return jnp.where(x >= 0, x, jnp.broadcast_to(a, x.shape) * x)


def maxout(x: Array, pieces: int) -> Array:
    r"""The largest of each group of neighbouring entries of the last axis: a convex function with as many pieces.

    .. math:: h_j = \max_{k < K} x_{j K + k}

    After an affine map it is the maxout unit, see `jreg.nn.Maxout`; as an activation of `jreg.nn.MLP` it leaves
    features / pieces hidden units, ``activation=partial(maxout, pieces=2)``.

    Args:
      x: ``(..., units * pieces)`` of floating dtype.
      pieces: K, entries a group, at least 1.

    Returns:
      ``(..., units)`` of x's dtype. Where entries are equal, each gets its share of the derivative.

    Raises:
      ValueError: `pieces` is below 1 or doesn't divide the last axis.
      TypeError: `pieces` is no whole number.

    >>> import jax.numpy as jnp
    >>> maxout(jnp.array([1.0, 4.0, -2.0, -3.0]), pieces=2).tolist()
    [4.0, -2.0]

    Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, Maxout networks, ICML (2013).
    """
    checks.count(pieces, "maxout's pieces")
    if x.ndim == 0 or x.shape[-1] % pieces:
        raise ValueError(f"maxout's pieces are {pieces}, but must divide the last axis of x, which has shape {x.shape}")
    return jnp.max(x.reshape(*x.shape[:-1], x.shape[-1] // pieces, pieces), axis=-1)
