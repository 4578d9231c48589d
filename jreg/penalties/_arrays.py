"""What several penalties do to their array before the formula: checks, a shape and a length."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import safe_norm, wide
from jreg._base.sharding import whole
from jreg._base.tree import Axis
from jreg._base.types import Array


def unit(x: Array, axis: Axis = None) -> Array:
    """The vectors along `axis` at length 1, in float32 at least; zeros stay zeros."""
    length = safe_norm(x, axis)
    return wide(x) / jnp.where(length == 0, 1, length)


def rows(h: Array, weights: Array, name: str) -> tuple[Array, Array]:
    """`h` as a matrix with one example a row, and each row's share of the weights, which sum to 1.

    Rows of weight 0 become zeros, so that nothing in them counts, NaN included; without any other row all shares
    are 0.
    """
    checks.floating(h, name)
    if h.ndim < 1 or h.shape[0] == 0:
        raise ValueError(f"{name} has shape {h.shape}, but must be a batch of at least one row")
    if jnp.shape(weights) != h.shape[:1]:
        raise ValueError(
            f"{name} has shape {h.shape} and its weights {jnp.shape(weights)}, but there must be one weight a row, "
            f"{h.shape[:1]}"
        )
    values = wide(whole(h).reshape(h.shape[0], -1))
    weights = jnp.asarray(whole(jnp.asarray(weights)), values.dtype)
    total = jnp.sum(weights)
    shares = weights / jnp.where(total > 0, total, 1)
    return jnp.where(weights[:, None] > 0, values, 0), shares


def classes(logits: Array, name: str) -> Array:
    """Logits in float32 at least, with two classes or more along the last axis."""
    checks.floating(logits, f"{name}'s logits")
    if logits.ndim < 1 or logits.shape[-1] < 2:
        raise ValueError(
            f"{name} got logits of shape {logits.shape}, but needs two classes or more along the last axis: the "
            f"logit z of a sigmoid unit is the pair (0, z)"
        )
    return wide(logits)
