"""Pooling with random choices as layers."""

from __future__ import annotations

from collections.abc import Sequence

from flax import linen

from jreg import stochastic
from jreg._base.types import Array


class StochasticPool(linen.Module):
    r"""Stochastic pooling as a layer, from the random stream ``"dropout"``.

    .. math:: y_j = x_l, \; P(l = i) = \frac{x_i}{\sum_k x_k} \text{ in training}, \qquad
       y_j = \frac{\sum_i x_i^2}{\sum_i x_i} \text{ at evaluation}

    Args:
      window: the sides of a region.
      strides: steps between regions, default: `window`.

    Raises:
      TypeError: at the call: a side or stride is no whole number.
      ValueError: at the call: a side or stride is below 1, their number is wrong, or a region is larger than x.

    >>> import jax.numpy as jnp
    >>> StochasticPool((2,)).apply({}, jnp.array([1.0, 3.0]).reshape(1, 2, 1)).tolist()
    [[[2.5]]]

    Source: `jreg.stochastic.stochastic_pooling` and `jreg.stochastic.probability_weighted_pooling`.
    """

    window: Sequence[int] = (2, 2)
    strides: Sequence[int] | None = None

    @linen.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Pools non-negative activations ``(batch, ..., channels)``."""
        if train:
            return stochastic.stochastic_pooling(self.make_rng("dropout"), x, self.window, self.strides)
        return stochastic.probability_weighted_pooling(x, self.window, self.strides)


class FractionalMaxPool(linen.Module):
    r"""Fractional max pooling as a layer, from the random stream ``"dropout"``; regular regions at evaluation.

    .. math:: y_{ij} = \max_{a_{i-1} \le k < a_i, \; b_{j-1} \le l < b_j} x_{kl}

    Args:
      ratio: an axis' length over its pooled length, at least 1; static.
      overlapping: whether a region has the next one's first row and column too.
      pseudo_random: whether only the start of the regions is drawn.

    Raises:
      ValueError: at the call: `ratio` is below 1 or larger than an axis.

    >>> import jax.numpy as jnp
    >>> FractionalMaxPool(1.4).apply({}, jnp.ones((1, 7, 7, 2))).shape
    (1, 5, 5, 2)

    Source: `jreg.stochastic.fractional_max_pooling`.
    """

    ratio: float = 2**0.5
    overlapping: bool = False
    pseudo_random: bool = False

    @linen.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Pools activations ``(batch, ..., channels)``."""
        key = self.make_rng("dropout") if train else None
        return stochastic.fractional_max_pooling(key, x, self.ratio, self.overlapping, self.pseudo_random)
