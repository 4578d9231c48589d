"""Preprocessing as a pair of pure functions: fit on the training rows, apply to any rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jreg._types import Array, PyTree


class Preprocessor(NamedTuple):
    """A fit and an apply.

    Attributes:
      fit: ``(x, weights) -> statistics``, x all rows of the data ``(n, ...)`` and weights ``(n,)`` 1 for the
        training rows and 0 for the others, which must not count.
      apply: ``(statistics, x) -> x`` for any number of rows.
      invert: takes apply back, or None.
    """

    fit: Callable[[Array, Array], PyTree]
    apply: Callable[[PyTree, Array], Array]
    invert: Callable[[PyTree, Array], Array] | None = None


def standardize() -> Preprocessor:
    r"""Centres every feature on the training rows' mean and divides by their standard deviation.

    .. math:: x \leftarrow \frac{x - \mu}{\sigma}, \qquad \mu = \frac{\sum_i w_i x_i}{\sum_i w_i}, \quad
       \sigma^2 = \frac{\sum_i w_i (x_i - \mu)^2}{\sum_i w_i}

    A feature that doesn't vary on the training rows is centred only.

    Returns:
      A `Preprocessor` to float32; also for targets of shape ``(n,)``.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = standardize()
    >>> x = jnp.array([[1.0], [3.0], [100.0]])
    >>> apply(fit(x, jnp.array([1.0, 1.0, 0.0])), x).tolist()
    [[-1.0], [1.0], [98.0]]

    Source: scikit-learn's ``StandardScaler``; LeCun et al., Efficient backprop (1998), section 4.3.
    """

    def fit(x: Array, weights: Array) -> tuple[Array, Array]:
        share = (weights / jnp.sum(weights)).reshape(-1, *[1] * (x.ndim - 1))
        # Whatever stands in a row that doesn't count, NaN too, must not reach the sums.
        x = jnp.where(share > 0, x.astype(jnp.float32), 0)
        mean = jnp.sum(share * x, axis=0, keepdims=True)
        variance = jnp.sum(share * jnp.square(x - mean), axis=0, keepdims=True)
        # Rounding leaves a constant feature a variance of about (1e-7 mean)^2, never meant as a scale.
        constant = variance <= jnp.square(1e-6 * mean)
        return mean, jnp.sqrt(jnp.where(constant, 1, variance))

    def apply(statistics: tuple[Array, Array], x: Array) -> Array:
        mean, deviation = statistics
        return (x.astype(jnp.float32) - mean) / deviation

    def invert(statistics: tuple[Array, Array], x: Array) -> Array:
        mean, deviation = (s.reshape(s.shape + (1,) * (x.ndim - s.ndim)) for s in statistics)
        return x * deviation + mean

    return Preprocessor(fit, apply, invert)


def scale(divisor: float) -> Preprocessor:
    r"""Divides by a known number, 255 for the pixels of an image; nothing is fitted.

    .. math:: x \leftarrow x / d

    Args:
      divisor: d, not 0.

    Returns:
      A `Preprocessor` to float32.

    Raises:
      ValueError: `divisor` is 0.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = scale(255)
    >>> apply(fit(None, None), jnp.array([[51]], dtype=jnp.uint8)).tolist()
    [[0.20000000298023224]]

    Source: LeCun et al., Efficient backprop (1998), section 4.3.
    """
    if divisor == 0:
        raise ValueError("scale's divisor is 0, but must be another number")
    return Preprocessor(
        lambda x, weights: (),
        lambda statistics, x: x.astype(jnp.float32) / divisor,
        lambda statistics, x: x * divisor,
    )
