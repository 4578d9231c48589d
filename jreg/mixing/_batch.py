"""What the mixings share: checks of a batch, shares, partners, and points between two rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide, wide_dtype
from jreg._base.types import Array, Key, Scalar


def fit(x: Array, y: Array, weights: Array, name: str) -> None:
    """Raises unless the three are a batch's examples, labels and weights."""
    if y.ndim != 2 or x.ndim < 2 or not len(x) == len(y) or weights.shape != (len(y),):
        raise ValueError(
            f"mixing.{name} got x, y and weights of shapes {x.shape}, {y.shape} and {weights.shape}, but needs "
            "(batch, ...), (batch, classes) and (batch,): jax.nn.one_hot makes such labels"
        )
    for what, array in (("x", x), ("y", y)):
        checks.floating(array, f"mixing.{name}'s {what}")


def beta(key: Key, alpha: Scalar, count: int) -> Array:
    """Draws from Beta(alpha, alpha), and 1 where `alpha` is 0."""
    # At 0 there is no such distribution; 1 is what mixes nothing.
    alpha = jnp.asarray(alpha, jnp.float32)
    known = jnp.where(alpha > 0, alpha, 1)
    return jnp.where(alpha > 0, jax.random.beta(key, known, known, (count,), jnp.float32), 1)


def partners(key: Key, weights: Array) -> Array:
    """For each row of data a random one of data, a permutation; each row of padding has itself."""
    padding = weights <= 0
    # Sorted by these, the rows of data come first, in random order, and then the padding in its own order.
    order = jnp.argsort(jnp.where(padding, 2.0, jax.random.uniform(key, weights.shape, jnp.float32)))
    data = jnp.cumsum(~padding)
    place = jnp.where(padding, data[-1] + jnp.cumsum(padding), data) - 1
    return order[place]


def between(one: Array, other: Array, share: Array) -> Array:
    """`share` of one and the rest of the other, one number per row; computed in float32 for the half precisions."""
    share = share.astype(wide_dtype(one)).reshape(-1, *[1] * (one.ndim - 1))
    mixed = share * wide(one) + (1 - share) * wide(other)
    # A row that isn't mixed takes nothing from its partner, even where that is infinite.
    return jnp.where(share == 1, one, mixed.astype(one.dtype))
