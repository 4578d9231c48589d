r"""Initial weights: functions ``(key, shape, dtype) -> w``, `jax.nn.initializers`' under one roof, and `sparse`.

The last axis of a shape is a unit's output, the others its inputs, as in Flax's kernels. `glorot_uniform` draws from
:math:`\pm\sqrt{6 / (m + n)}` for m inputs and n outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.nn.initializers import glorot_normal as glorot_normal
from jax.nn.initializers import glorot_uniform as glorot_uniform
from jax.nn.initializers import he_normal as he_normal
from jax.nn.initializers import he_uniform as he_uniform
from jax.nn.initializers import lecun_normal as lecun_normal
from jax.nn.initializers import lecun_uniform as lecun_uniform
from jax.nn.initializers import orthogonal as orthogonal

from jreg._base import checks
from jreg._base.sharding import placed
from jreg._base.types import Array, Key, Scalar


def sparse(k: int, stddev: Scalar = 1.0) -> Initializer:
    r"""Normal weights for k randomly chosen inputs of each unit, zero for the others.

    .. math:: w_{ij} = m_{ij} z_{ij}, \qquad z_{ij} \sim \mathcal N(0, \text{stddev}^2), \quad \sum_i m_{ij} = k

    A unit's total input then doesn't depend on how many inputs there are, and units don't resemble each other.

    Args:
      k: non-zero incoming weights of each unit, at least 1; all of them where a unit has no more inputs.
      stddev: standard deviation of those weights, at least 0; may be traced.

    Returns:
      An initializer ``(key, shape, dtype, out_sharding) -> w``: the last axis counts units, all others their inputs.

    Raises:
      ValueError: `k` is below 1, `stddev` negative, or the shape has fewer than two axes.
      TypeError: `k` is no whole number.

    >>> import jax
    >>> w = sparse(3)(jax.random.key(0), (10, 4))
    >>> (w != 0).sum(axis=0).tolist()
    [3, 3, 3, 3]

    Source: Martens, Deep learning via Hessian-free optimization, ICML (2010), section 5 (k = 15).
    """
    checks.count(k, "sparse's k")
    checks.strength(stddev, "sparse's stddev")

    def init(key: Key, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None) -> Array:
        # Flax hands over a dtype, and jax.nn.initializers' protocol has where the array goes.
        dtype = jnp.float32 if dtype is None else dtype
        if len(shape) < 2:
            raise ValueError(f"sparse got the shape {tuple(shape)}, but needs two axes or more, the last one for units")
        chosen, drawn = jax.random.split(key)
        inputs = math.prod(shape[:-1])
        # A position of a random order is below k for exactly k inputs, whatever ties the draws have.
        order = jnp.argsort(jax.random.bits(chosen, (inputs, shape[-1]), jnp.uint32), axis=0)
        kept = jnp.argsort(order, axis=0) < k
        values = jax.random.normal(drawn, (inputs, shape[-1]), dtype) * jnp.asarray(stddev, dtype)
        return placed(jnp.where(kept, values, 0).reshape(shape), out_sharding)

    return init
