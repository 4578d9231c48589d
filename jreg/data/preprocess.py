"""Preprocessing as a pair of pure functions: fit on the training rows, apply to any rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.data.blocks import over_rows, shifted
from jreg.data.offsets import ends, of_ends
from jreg.data.preprocessor import Preprocessor, described, for_array


@described
def standardize(center: bool = True, divide: bool = True, per: str = "feature") -> Preprocessor:
    r"""Centres every feature on the training rows' mean and divides by their standard deviation.

    .. math:: x \leftarrow \frac{x - \mu}{\sigma}, \qquad \mu = \frac{\sum_i w_i x_i}{\sum_i w_i}, \quad
       \sigma^2 = \frac{\sum_i w_i (x_i - \mu)^2}{\sum_i w_i}

    A feature that doesn't vary on the training rows is centred only. One whose values are large beside their
    differences, such as times in seconds, is shifted by its smallest value before anything is summed, so that no digit
    that the data have is lost; integers are shifted before they become float32.

    Args:
      center: whether the mean is subtracted.
      divide: whether the standard deviation is divided by; it is that around the mean in any case.
      per: what has a mean and a deviation of its own: ``"feature"`` each entry of an example; ``"channel"`` each
        entry of the last axis of ``(n, ..., channels)``, as Keras' featurewise options do with images; ``"data"``
        one for everything, as for grey images without an axis of channels.

    Returns:
      A `Preprocessor` to float32; also for targets of shape ``(n,)`` or ``(n, k)``.

    Raises:
      ValueError: `per` is none of the three, or examples have no channels.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = standardize()
    >>> x = jnp.array([[1.0], [3.0], [100.0]])
    >>> apply(fit(x, jnp.array([1.0, 1.0, 0.0])), x).tolist()
    [[-1.0], [1.0], [98.0]]

    Source: scikit-learn's ``StandardScaler``; LeCun et al., Efficient backprop (1998), section 4.3.
    """
    _check_per(per, "standardize")

    def fit(x: Array, weights: Array) -> tuple[Array, Array, Array | None]:
        others = _others(x, per, "standardize")
        offset, scale = ends(x, weights, others)

        def average(values: Callable[[Array], Array]) -> Array:
            def part(x: Array, share: Array) -> Array:
                return jnp.sum(share * values(x if scale is None else x / scale), axis=0, keepdims=True)

            return jnp.mean(over_rows(part, x, weights / jnp.sum(weights), offset=offset), axis=others, keepdims=True)

        mean = average(lambda x: x)
        variance = average(lambda x: jnp.square(x - mean))
        # Rounding leaves a constant feature a variance of about (1e-7 mean)^2, never meant as a scale.
        constant = variance <= jnp.square(1e-6 * mean)
        deviation = jnp.sqrt(variance)
        if scale is not None:
            mean, deviation = mean * scale, deviation * scale
        deviation = jnp.where(constant, 1, deviation) if divide else jnp.ones_like(deviation)
        return (mean, deviation, offset) if center else (jnp.zeros_like(mean), deviation, None)

    def apply(statistics: tuple[Array, Array, Array | None], x: Array) -> Array:
        mean, deviation, offset = statistics
        check_rows(x, mean, "standardize", per)
        return (shifted(x, offset) - mean) / deviation

    def invert(statistics: tuple[Array, Array, Array | None], x: Array) -> Array:
        mean, deviation, offset = statistics
        mean, deviation = _fitting((mean, deviation), x)
        return shifted_back(x * deviation + mean, offset)

    return for_array("standardize", fit, apply, invert)


@described
def min_max(low: Scalar = 0.0, high: Scalar = 1.0, per: str = "feature") -> Preprocessor:
    r"""Maps every feature's smallest and largest value on the training rows to `low` and `high`.

    .. math:: x \leftarrow a + (b - a) \frac{x - \min_i x_i}{\max_i x_i - \min_i x_i}

    Rows of weight 0 don't count and may fall outside; all others count alike, whatever their weight. A feature that
    doesn't vary on the training rows becomes `low` there and keeps its differences to that.

    Args:
      low, high: a and b, a below b; may be traced.
      per: ``"feature"``, ``"channel"`` or ``"data"``, as in `standardize`.

    Returns:
      A `Preprocessor` to float32; also for targets of shape ``(n,)`` or ``(n, k)``.

    Raises:
      ValueError: known `low` and `high` are not finite or in the wrong order, or `per` is none of the three.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = min_max(-1, 1)
    >>> x = jnp.array([[1.0], [3.0], [4.0]])
    >>> apply(fit(x, jnp.array([1.0, 1.0, 0.0])), x).tolist()
    [[-1.0], [1.0], [2.0]]

    Source: scikit-learn's ``MinMaxScaler``.
    """
    _check_per(per, "min_max")
    known = [checks.concrete(value) for value in (low, high)]
    if any(value is not None and not math.isfinite(value) for value in known) or (
        known[0] is not None and known[1] is not None and not known[0] < known[1]
    ):
        raise ValueError(f"min_max is to map to {low} and {high}, but the first must be below the second")

    def fit(x: Array, weights: Array) -> tuple[Array, Array, Array | None]:
        others = _others(x, per, "min_max")
        axes = (0, *others)
        # Differences of floating numbers near each other are exact, those of integers before they become floating.
        offset = None if jnp.issubdtype(x.dtype, jnp.floating) else ends(x, weights, others)[0]

        def largest(sign: float) -> Array:
            def part(x: Array, weights: Array) -> Array:
                return jnp.max(jnp.where(weights > 0, sign * x, -jnp.inf), axis=axes, keepdims=True)

            return sign * over_rows(part, x, weights, jnp.maximum, offset)

        least, most = largest(-1.0), largest(1.0)
        return least, jnp.where(most > least, most - least, 1), offset

    def apply(statistics: tuple[Array, Array, Array | None], x: Array) -> Array:
        least, width, offset = statistics
        check_rows(x, least, "min_max", per)
        a, b = jnp.float32(low), jnp.float32(high)
        return a + (b - a) * ((shifted(x, offset) - least) / width)

    def invert(statistics: tuple[Array, Array, Array | None], x: Array) -> Array:
        least, width, offset = statistics
        least, width = _fitting((least, width), x)
        a, b = jnp.float32(low), jnp.float32(high)
        return shifted_back((x - a) / (b - a) * width + least, offset)

    return for_array("min_max", fit, apply, invert)


def check_rows(x: Array, statistic: Array, name: str, per: str = "feature") -> None:
    """Raises ValueError where `x` isn't rows like those that a statistic is of, which would be broadcast silently."""
    wanted, given = statistic.shape[1:], x.shape[1:]
    if per != "feature":
        # One number stands for the rows, and perhaps the columns, of an image of any size.
        given = given if len(given) != len(wanted) else (*(1 for _ in given[:-1]), given[-1] if per == "channel" else 1)
    if x.ndim == 0 or (wanted != given and not (wanted == () and given == (1,))):
        raise ValueError(
            f"{name} got an array of shape {x.shape}, but was fitted on rows of shape {wanted}: give (n, "
            f"{', '.join(map(str, wanted)) or '...'}), one row too, as x[:1]"
        )


def _check_per(per: str, name: str) -> None:
    if per not in ("feature", "channel", "data"):
        raise ValueError(f"{name}'s per is {per!r}, but must be 'feature', 'channel' or 'data'")


def _others(x: Array, per: str, name: str) -> tuple[int, ...]:
    """The axes beside that of the rows which share a statistic."""
    if per == "channel" and x.ndim < 3:
        raise ValueError(f"{name} per channel got x of shape {x.shape}, but needs (n, ..., channels)")
    return {"feature": (), "channel": tuple(range(1, x.ndim - 1)), "data": tuple(range(1, x.ndim))}[per]


def _fitting(statistics: tuple[Array, ...], x: Array) -> list[Array]:
    """Statistics of targets ``(n,)`` for outputs with a unit axis."""
    return [s.reshape(s.shape + (1,) * (x.ndim - s.ndim)) for s in statistics]


def shifted_back(x: Array, offset: Array | None) -> Array:
    """``x + offset`` in float32, of outputs ``(n,)`` or ``(n, 1)``, too."""
    return x if offset is None else x + _fitting((offset.astype(jnp.float32),), x)[0]


@described
def standardize_samples(center: bool = True, divide: bool = True) -> Preprocessor:
    r"""Centres every example on its own mean and divides by its own standard deviation; nothing is fitted.

    .. math:: x_i \leftarrow \frac{x_i - \bar x_i}{\sqrt{\frac1d \sum_j (x_{ij} - \bar x_i)^2}}

    An example whose entries are all equal is centred only.

    Args:
      center: whether the mean is subtracted.
      divide: whether the standard deviation is divided by.

    Returns:
      A `Preprocessor` to float32 without `invert`.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = standardize_samples()
    >>> apply(fit(None, None), jnp.array([[1.0, 3.0], [5.0, 5.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]

    Source: Keras' ``samplewise_center`` and ``samplewise_std_normalization``; Coates and Ng, Learning feature
    representations with k-means (2012), section 2.1.
    """

    def apply(_: tuple[()], x: Array) -> Array:
        given, axes = x.astype(jnp.float32), tuple(range(1, x.ndim))
        offset, scale = (jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32))
        if x.dtype != jnp.uint8:
            offset, scale = of_ends(*(end(given, axis=axes, keepdims=True) for end in (jnp.min, jnp.max)))
        x = (given - offset) / scale
        mean = jnp.mean(x, axis=axes, keepdims=True)
        variance = jnp.mean(jnp.square(x - mean), axis=axes, keepdims=True)
        constant = variance <= jnp.square(1e-6 * mean)
        centred = x - mean if center else given / scale
        if not divide:
            return centred * scale
        return centred / jnp.sqrt(jnp.where(constant, 1, variance)) * jnp.where(constant, scale, 1)

    return for_array("standardize_samples", lambda x, weights: (), apply)


@described
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
    return for_array(
        "scale",
        lambda x, weights: (),
        lambda statistics, x: x.astype(jnp.float32) / divisor,
        lambda statistics, x: x * divisor,
    )
