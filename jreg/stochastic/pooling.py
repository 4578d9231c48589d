"""Pooling with random choices: of an activation in each region, or of the regions themselves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks, random
from jreg._base.arrays import wide
from jreg._base.types import Array, Key
from jreg.stochastic._arrays import batch_of


def stochastic_pooling(key: Key, x: Array, window: Sequence[int], strides: Sequence[int] | None = None) -> Array:
    r"""Takes one activation of each region, with probability in proportion to its value: stochastic pooling.

    .. math:: y_j = x_{l}, \qquad P(l = i) = \frac{x_i}{\sum_{k \in R_j} x_k}, \quad i \in R_j

    Activations should be non-negative, as after ReLU: others are never taken, and a region without a positive one
    gives 0. Evaluation uses `probability_weighted_pooling`.

    Args:
      key: a JAX random key.
      x: activations ``(batch, n_1, ..., n_d, channels)`` of floating dtype.
      window: the d sides of a region; static.
      strides: steps between regions, default: `window`, so that regions don't overlap; static.

    Returns:
      An array ``(batch, m_1, ..., m_d, channels)`` of x's dtype; regions that would stick out are left away.

    Raises:
      TypeError: `x` is not floating, or a side or stride is no whole number.
      ValueError: a side or stride is below 1, there aren't d of them, or a region is larger than x.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.array([0.0, 3.0, 0.0, 0.0]).reshape(1, 4, 1)
    >>> stochastic_pooling(jax.random.key(0), x, window=(2,)).ravel().tolist()
    [3.0, 0.0]

    Source: Zeiler and Fergus, Stochastic pooling for regularization of deep convolutional neural networks, ICLR
    (2013), section 3.
    """
    regions, weights = _regions(x, window, strides, "stochastic_pooling")
    cumulative = jnp.cumsum(weights, axis=0)
    drawn = jax.random.uniform(random.unrolled(key), regions.shape[1:], weights.dtype) * cumulative[-1]
    # The first place where the sum exceeds the number drawn; a region of zeros has none.
    above = cumulative > drawn[None]
    chosen = above & ~jnp.concatenate([jnp.zeros_like(above[:1]), above[:-1]])
    return jnp.sum(jnp.where(chosen, regions, 0), axis=0)


def probability_weighted_pooling(x: Array, window: Sequence[int], strides: Sequence[int] | None = None) -> Array:
    r"""The expectation of `stochastic_pooling`, which takes its place at evaluation.

    .. math:: y_j = \frac{\sum_{i \in R_j} x_i^2}{\sum_{i \in R_j} x_i}

    Args:
      x: activations ``(batch, n_1, ..., n_d, channels)`` of floating dtype.
      window: the d sides of a region; static.
      strides: steps between regions, default: `window`; static.

    Returns:
      An array ``(batch, m_1, ..., m_d, channels)`` of x's dtype; regions that would stick out are left away.

    Raises:
      TypeError: `x` is not floating, or a side or stride is no whole number.
      ValueError: a side or stride is below 1, there aren't d of them, or a region is larger than x.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([1.0, 3.0, 0.0, 0.0]).reshape(1, 4, 1)
    >>> probability_weighted_pooling(x, window=(2,)).ravel().tolist()
    [2.5, 0.0]

    Source: Zeiler and Fergus, Stochastic pooling (2013), section 3.1.
    """
    regions, weights = _regions(x, window, strides, "probability_weighted_pooling")
    total = jnp.sum(weights, axis=0)
    shares = weights / jnp.where(total > 0, total, 1)[None]
    return jnp.sum(shares * regions.astype(shares.dtype), axis=0).astype(x.dtype)


def _regions(x: Array, window: Sequence[int], strides: Sequence[int] | None, name: str) -> tuple[Array, Array]:
    """The elements of all regions ``(elements of a region, batch, m_1, ..., m_d, channels)`` and their weights."""
    batch_of(x, 3, f"{name}'s x")
    sides = [checks.count(side, f"a side of {name}'s window") for side in window]
    steps = [checks.count(step, f"one of {name}'s strides") for step in (sides if strides is None else strides)]
    spatial = x.shape[1:-1]
    if not len(sides) == len(steps) == len(spatial):
        raise ValueError(
            f"{name} got {len(sides)} sides and {len(steps)} strides for x of shape {x.shape}, but needs "
            f"{len(spatial)} of each"
        )
    if any(side > n for side, n in zip(sides, spatial, strict=True)):
        raise ValueError(f"{name}'s window is {tuple(sides)}, but must fit into x of shape {x.shape}")
    counts = [(n - side) // step + 1 for n, side, step in zip(spatial, sides, steps, strict=True)]
    parts = []
    for first in itertools.product(*map(range, sides)):
        cut = [slice(a, a + (m - 1) * step + 1, step) for a, m, step in zip(first, counts, steps, strict=True)]
        parts.append(x[:, *cut])
    regions = jnp.stack(parts)
    return regions, jnp.maximum(wide(regions), 0)


def fractional_max_pooling(
    key: Key | None, x: Array, ratio: float, overlapping: bool = False, pseudo_random: bool = False
) -> Array:
    r"""Maximum over regions whose sides vary at random by one: fractional max pooling.

    .. math:: y_{ij} = \max_{a_{i-1} \le k < a_i, \; b_{j-1} \le l < b_j} x_{kl}, \qquad
       a_i - a_{i-1} \in \{\lfloor n / m \rfloor, \lfloor n / m \rfloor + 1\}, \quad
       m = \lfloor n / \text{ratio} \rfloor

    An axis shrinks from n to m, so that a ratio between 1 and 2 pools less than a 2 x 2 pooling does. One draw serves
    a whole batch. Graham averages several passes at evaluation (`monte_carlo` does); without a key the regions are
    the regular ones.

    Args:
      key: a JAX random key; None: the edges are :math:`a_i = \lfloor i n / m \rfloor`, for evaluation.
      x: activations ``(batch, n_1, ..., n_d, channels)`` of floating dtype.
      ratio: at least 1, for all d axes; static.
      overlapping: whether a region has the next one's first row and column too.
      pseudo_random: whether only the start is drawn, and the sides are as even as they can be:
        :math:`a_i = \lfloor (i n + v) / m \rfloor` with v uniform on 0, ..., m - 1. Otherwise all orders of the sides
        are as likely.

    Returns:
      An array ``(batch, m_1, ..., m_d, channels)`` of x's dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `ratio` is below 1 or larger than an axis, or `x` has fewer than three axes.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.arange(7.0).reshape(1, 7, 1)
    >>> fractional_max_pooling(None, x, ratio=1.4).ravel().tolist()
    [0.0, 1.0, 3.0, 4.0, 6.0]

    Source: Graham, Fractional max-pooling (2014).
    """
    batch_of(x, 3, "fractional_max_pooling's x")
    spatial = x.shape[1:-1]
    if not 1 <= ratio <= min(spatial):
        raise ValueError(
            f"fractional_max_pooling's ratio is {ratio:g}, but must lie in [1, {min(spatial)}] for x of shape {x.shape}"
        )
    sizes = [int(n / ratio) for n in spatial]
    drawn = None
    if key is not None:
        drawn = jax.random.bits(random.unrolled(key), (len(spatial), max(sizes)), jnp.uint32)
    shared = int(overlapping)
    for axis, (n, m) in enumerate(zip(spatial, sizes, strict=True), start=1):
        edges = _edges(None if drawn is None else drawn[axis - 1, :m], n, m, pseudo_random)
        longest = -(-n // m) + shared
        last = jnp.minimum(edges[1:] - 1 + shared, n - 1)
        # Shorter regions repeat their last element, which doesn't change the maximum.
        inside = jnp.minimum(edges[:-1, None] + jnp.arange(longest)[None, :], last[:, None])
        x = jnp.max(jnp.take(x, inside, axis=axis), axis=axis + 1)
    return x


def _edges(drawn: Array | None, n: int, m: int, pseudo_random: bool) -> Array:
    """Where the m regions of an axis begin, and n, from m random words."""
    if drawn is None:
        return jnp.asarray(np.arange(m + 1) * n // m)
    if pseudo_random:
        return (jnp.arange(m + 1) * n + (drawn[0] % m).astype(int)) // m
    longer = jnp.argsort(drawn) < n % m
    return jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(jnp.where(longer, n // m + 1, n // m))])
