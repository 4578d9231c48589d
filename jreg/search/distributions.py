"""Distributions that `jreg.random_space` draws hyperparameters from, each a map from [0, 1) to values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from jreg.search.space import values_of


class Distribution(Protocol):
    """What a hyperparameter is drawn from; scipy.stats' frozen distributions are some, too."""

    def ppf(self, q: float, /) -> Any:
        """The value below which a share q in [0, 1) of the draws lies: the inverse distribution function."""
        ...


@dataclasses.dataclass(frozen=True)
class Uniform:
    """See `uniform`."""

    low: float
    high: float

    def ppf(self, q: float, /) -> float:
        """The quantile; no difference of large bounds overflows, and rounding leads past neither."""
        return min(max(self.low, self.low * (1 - q) + self.high * q), self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """See `log_uniform`."""

    low: float
    high: float

    def ppf(self, q: float, /) -> float:
        """The quantile, as that of `Uniform` but of the logarithms."""
        value = math.exp(math.log(self.low) * (1 - q) + math.log(self.high) * q)
        return min(max(self.low, value), self.high)


@dataclasses.dataclass(frozen=True)
class Choice:
    """See `choice`."""

    values: tuple[Any, ...]
    weights: tuple[float, ...]

    def ppf(self, q: float, /) -> Any:
        """The quantile: the first value with which the weights so far exceed the share q of all."""
        sums = np.cumsum(np.array(self.weights) / max(self.weights))
        return self.values[int(np.searchsorted(sums / sums[-1], q, side="right"))]


@dataclasses.dataclass(frozen=True)
class When:
    """See `when`."""

    on: str
    values: tuple[Any, ...]
    distribution: Distribution
    otherwise: Any

    def ppf(self, q: float, /) -> Any:
        """The quantile where the condition holds."""
        return self.distribution.ppf(q)


def uniform(low: float, high: float) -> Uniform:
    r"""Numbers between two bounds, all equally likely; traced.

    .. math:: F^{-1}(q) = (1 - q)\,\text{low} + q\,\text{high}

    Args:
      low, high: finite, low < high. For whole numbers take ``choice(range(1, 6))``, which is static.

    Returns:
      A distribution for `jreg.random_space`.

    Raises:
      TypeError: a bound is no number.
      ValueError: a bound is not finite, or low is not below high.

    >>> uniform(0.0, 0.5).ppf(0.25)
    0.125

    Source: scipy.stats.uniform.
    """
    return Uniform(*_bounds("uniform", low, high))


def log_uniform(low: float, high: float) -> LogUniform:
    r"""Positive numbers whose logarithms are equally likely, for what is searched over decades; traced.

    .. math:: F^{-1}(q) = \text{low}^{1 - q}\,\text{high}^q

    Args:
      low, high: finite, 0 < low < high.

    Returns:
      A distribution for `jreg.random_space`.

    Raises:
      TypeError: a bound is no number.
      ValueError: a bound is not finite, low is not positive or not below high.

    >>> f"{log_uniform(1e-4, 1e-2).ppf(0.5):.6f}"
    '0.001000'

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012); scipy.stats.loguniform.
    """
    low, high = _bounds("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform's low is {low:g}, but must be above 0: take uniform, or choice for a single 0")
    return LogUniform(low, high)


def choice(values: Any, weights: Any = None) -> Choice:
    r"""One of several values; traced where a float is among numbers, otherwise static, as in `jreg.grid`.

    .. math:: F^{-1}(q) = v_k \quad\text{with the least } k \text{ for which } \sum_{i \le k} w_i > q \sum_i w_i

    Args:
      values: a sequence, from the weakest to the strongest regularization; a study compiles one program for each
        value of a static one.
      weights: how often each comes, at least 0 and not all 0; default: all equally often.

    Returns:
      A distribution for `jreg.random_space`.

    Raises:
      TypeError: numbers are mixed with others, a value is not hashable, or a weight is no number.
      ValueError: there are no values, one is NaN, or the weights don't fit.

    >>> activation = choice(["relu", "tanh"], weights=[3, 1])
    >>> activation.ppf(0.7), activation.ppf(0.8)
    ('relu', 'tanh')

    Source: numpy.random.Generator.choice.
    """
    values = values_of("choice", values)
    if weights is None:
        return Choice(values, (1.0,) * len(values))
    weights = weights if isinstance(weights, Iterable) else [weights]
    given = tuple(_number("a weight of choice", weight, least=0) for weight in weights)
    if len(given) != len(values):
        raise ValueError(f"choice has {len(given)} weights for {len(values)} values: give one weight for each value")
    if not any(given):
        raise ValueError(f"choice's weights are {given}, but one must be above 0: leave them out to weigh all alike")
    return Choice(values, given)


def when(on: str, values: Any, distribution: Any, *, otherwise: Any) -> When:
    """A hyperparameter that is drawn only where another one has certain values, and is `otherwise` elsewhere.

    Args:
      on: the other one's name. It has a choice of values, or is itself a `when` and may be its `otherwise`.
      values: the value, or a sequence of values, with which this one is drawn.
      distribution: what it is then drawn from: one of those here, a sequence, or a value.
      otherwise: its value elsewhere, a number where the distribution gives numbers.

    Returns:
      A distribution for `jreg.random_space`.

    Raises:
      TypeError: `on` is no name, or values are mixed or not hashable.
      ValueError: there are no values.

    >>> import jreg
    >>> momentum = when("optimizer", "sgd", uniform(0.5, 0.99), otherwise=0.0)
    >>> space = jreg.random_space(9, seed=0, optimizer=["adam", "sgd"], momentum=momentum)
    >>> {setting["momentum"] for setting in space.settings if setting["optimizer"] == "adam"}
    {0.0}

    Source: Bergstra, Bardenet, Bengio and Kégl, Algorithms for hyper-parameter optimization, NIPS 24 (2011), section 2.
    """
    if not isinstance(on, str):
        raise TypeError(f"when's first argument is {on!r}, but must be the name of another hyperparameter")
    label = f"when({on!r}, ...)"
    (otherwise,) = values_of(label, [otherwise])
    return When(on, values_of(label, values), as_distribution(label, distribution), otherwise)


def as_distribution(label: str, axis: Any) -> Distribution:
    """A distribution from one, or a choice from a sequence of values or one value, as in `jreg.grid`.

    Raises:
      TypeError: numbers are mixed with others, or a value is not hashable.
      ValueError: there are no values, or one is NaN.

    >>> as_distribution("the width", [8, 16])
    Choice(values=(8, 16), weights=(1.0, 1.0))
    """
    if hasattr(axis, "ppf"):
        return axis
    values = values_of(label, axis)
    return Choice(values, (1.0,) * len(values))


def _number(name: str, value: Any, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} is {value}, but must be a finite number" + (" of at least 0" if least == 0 else ""))
    return float(value)


def _bounds(name: str, low: Any, high: Any) -> tuple[float, float]:
    low, high = _number(f"{name}'s low", low), _number(f"{name}'s high", high)
    if low >= high:
        raise ValueError(
            f"{name}'s low is {low:g} and its high {high:g}, but low must be below high: swap them, or give one value"
        )
    return low, high
