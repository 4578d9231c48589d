"""Metrics of predicted numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.metrics.lifts import average
from jreg.metrics.metric import Metric, described


@partial(average, maximize=False)
def mse(outputs: Array, targets: Array) -> Array:
    r"""Mean squared error.

    .. math:: \frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i}

    Where an example has several targets, the mean over them counts for it. Lower is better.

    Args:
      outputs: ``(n, ...)``, reshaped to the targets' shape.
      targets: ``(n, ...)`` numbers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 0; NaN without any weight.

    Raises:
      ValueError: outputs and targets have different numbers of values per example.

    >>> import jax.numpy as jnp
    >>> float(mse(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
    2.0

    Source: scikit-learn's ``mean_squared_error``.
    """
    return jnp.square(_flat(outputs, targets) - _flat(targets, targets))


@partial(average, maximize=False)
def mae(outputs: Array, targets: Array) -> Array:
    r"""Mean absolute error.

    .. math:: \frac{\sum_i w_i |y_i - \hat y_i|}{\sum_i w_i}

    Where an example has several targets, the mean over them counts for it. Lower is better.

    Args:
      outputs: ``(n, ...)``, reshaped to the targets' shape.
      targets: ``(n, ...)`` numbers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 0; NaN without any weight.

    Raises:
      ValueError: outputs and targets have different numbers of values per example.

    >>> import jax.numpy as jnp
    >>> float(mae(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
    1.0

    Source: scikit-learn's ``mean_absolute_error``.
    """
    return jnp.abs(_flat(outputs, targets) - _flat(targets, targets))


class _Squares(NamedTuple):
    """Of the targets' d numbers the weighted squares of errors, ``(d,)``; all weight."""

    squares: Array
    weight: Array


def _begin_squares(outputs: Array, targets: Array, rows: int) -> _Squares:
    del outputs, rows  # the state has a number per target
    return _Squares(jnp.zeros(math.prod(targets.shape[1:]), jnp.float32), jnp.zeros((), jnp.float32))


def _add_squares(state: _Squares, outputs: Array, targets: Array, weights: Array) -> _Squares:
    weights = weights.astype(jnp.float32)
    errors = jnp.where(weights[:, None] > 0, _flat(outputs, targets) - _flat(targets, targets), 0)
    squares = jnp.sum(weights[:, None] * jnp.square(errors), axis=0)
    return _Squares(state.squares + squares, state.weight + jnp.sum(weights))


def _root(state: _Squares) -> Array:
    some = state.weight > 0
    return jnp.where(some, jnp.mean(jnp.sqrt(state.squares / jnp.where(some, state.weight, 1))), jnp.nan)


@partial(described, Metric(_begin_squares, _add_squares, _root, maximize=False))
def rmse(outputs: Array, targets: Array, weights: Array) -> None:
    r"""Root of the mean squared error.

    .. math:: \sqrt{\frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i}}

    Where an example has several targets, the mean over their roots, as in scikit-learn; the root of `mse` is at
    least as large. Lower is better.

    Args:
      outputs: ``(n, ...)``, reshaped to the targets' shape.
      targets: ``(n, ...)`` numbers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 0; NaN without any weight.

    Raises:
      ValueError: outputs and targets have different numbers of values per example.

    >>> import jax.numpy as jnp
    >>> round(float(rmse(jnp.array([1.0, 2.0]), jnp.array([1.0, 6.0]))), 4)
    2.8284

    Source: scikit-learn's ``root_mean_squared_error``.
    """


@partial(average, maximize=False)
def mape(outputs: Array, targets: Array) -> Array:
    r"""Mean absolute error relative to the target, known as the mean absolute percentage error.

    .. math:: \frac{\sum_i w_i \, |y_i - \hat y_i| / |y_i|}{\sum_i w_i}

    A share and not a percentage, as in scikit-learn. At a target of 0 it isn't defined and the value is NaN, since
    a compiled program can't raise an error; scikit-learn divides by 2e-16 there, which gives a number beyond all
    use. Where an example has several targets, the mean over them counts for it. Lower is better.

    Args:
      outputs: ``(n, ...)``, reshaped to the targets' shape.
      targets: ``(n, ...)`` numbers other than 0.
      weights: ``(n,)``, default 1; targets in rows of weight 0 may be 0.

    Returns:
      A float32 scalar of at least 0; NaN without any weight, and where a target is 0.

    Raises:
      ValueError: outputs and targets have different numbers of values per example.

    >>> import jax.numpy as jnp
    >>> float(mape(jnp.array([1.0, 3.0]), jnp.array([2.0, 2.0])))
    0.5

    Source: scikit-learn's ``mean_absolute_percentage_error``.
    """
    wanted = _flat(targets, targets)
    zero = wanted == 0
    relative = jnp.abs(wanted - _flat(outputs, targets)) / jnp.where(zero, 1, jnp.abs(wanted))
    return jnp.where(zero, jnp.nan, relative)


def pinball(quantile: Scalar) -> Metric:
    r"""A metric: the pinball loss, which is least where outputs are a quantile of the targets.

    .. math:: \frac{\sum_i w_i \max(q (y_i - \hat y_i), (q - 1)(y_i - \hat y_i))}{\sum_i w_i}

    At q = 1/2 it is half of `mae`. Where an example has several targets, the mean over them counts for it. Lower is
    better.

    Args:
      quantile: q in [0, 1]; may be traced.

    Returns:
      A `jreg.metrics.Metric` of outputs and targets ``(n, ...)`` and weights ``(n,)``; its value is at least 0, NaN
      without any weight, and where a traced q lies outside [0, 1].

    Raises:
      TypeError: `quantile` is no number.
      ValueError: a known `quantile` lies outside [0, 1]; at a call, outputs and targets have different numbers of
        values per example.

    >>> import jax.numpy as jnp
    >>> round(float(pinball(0.9)(jnp.array([1.0, 5.0]), jnp.array([3.0, 4.0]))), 4)  # (0.9 * 2 + 0.1 * 1) / 2
    0.95

    Source: scikit-learn's ``mean_pinball_loss``; Koenker and Bassett, Regression quantiles, Econometrica 46 (1978).
    """
    if isinstance(quantile, bool | str) or getattr(quantile, "ndim", len(np.shape(quantile))):
        raise TypeError(f"pinball's quantile is {quantile!r}, but must be one number in [0, 1]")
    checks.share(quantile, "pinball's quantile")

    @partial(average, maximize=False)
    def pinball(outputs: Array, targets: Array) -> Array:
        q = jnp.asarray(quantile, jnp.float32)
        q = jnp.where((q >= 0) & (q <= 1), q, jnp.nan)
        over = _flat(targets, targets) - _flat(outputs, targets)
        return jnp.maximum(q * over, (q - 1) * over)

    return pinball


class _Sums(NamedTuple):
    """Of the targets' d numbers: weight, ends, first block's mean, mean and squares around it; squares of errors."""

    count: Array
    least: Array
    most: Array
    shift: Array
    mean: Array
    squares: Array
    error: Array


def _init(outputs: Array, targets: Array, rows: int) -> _Sums:
    del outputs, rows  # the state has a number per target
    zeros = jnp.zeros(math.prod(targets.shape[1:]), jnp.float32)
    return _Sums(jnp.zeros((), jnp.float32), zeros + jnp.inf, zeros - jnp.inf, zeros, zeros, zeros, zeros)


def _update(state: _Sums, outputs: Array, targets: Array, weights: Array) -> _Sums:
    weights = weights.astype(jnp.float32)[:, None]
    meant = weights > 0
    outputs, targets = (jnp.where(meant, _flat(a, targets), 0) for a in (outputs, targets))
    count = jnp.sum(weights)
    divisor = jnp.where(count > 0, count, 1)
    least, most = (jnp.min(jnp.where(meant, sign * targets, jnp.inf), axis=0, initial=jnp.inf) for sign in (1, -1))
    # Differences of numbers near each other are exact: around the first block's mean a large common mean costs no
    # digits, neither in a block nor between blocks. Where the mean's own rounding would count it is the least target.
    near = jnp.isfinite(least) & (jnp.abs(least) > 1e3 * (-most - least))
    first = jnp.where(near, least, jnp.sum(weights * targets, axis=0) / divisor)
    shift = jnp.where(state.count > 0, state.shift, first)
    deviations = jnp.where(meant, targets - shift[None], 0)
    mean = jnp.sum(weights * deviations, axis=0) / divisor
    squares = jnp.sum(weights * jnp.square(deviations - mean[None]), axis=0)
    # Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1979).
    total = state.count + count
    part = count / jnp.where(total > 0, total, 1)
    step = mean - state.mean
    return _Sums(
        total,
        jnp.minimum(state.least, least),
        jnp.maximum(state.most, -most),
        shift,
        state.mean + part * step,
        state.squares + squares + state.count * part * jnp.square(step),
        state.error + jnp.sum(weights * jnp.square(targets - outputs), axis=0),
    )


def _compute(state: _Sums) -> Array:
    total = jnp.sum(state.squares)
    # Numbers that are all the same may differ in their last bits.
    size = jnp.maximum(jnp.abs(state.least), jnp.abs(state.most))
    vary = jnp.any(state.most - state.least > 2 * jnp.finfo(jnp.float32).eps * size) & (total > 0)
    return jnp.where(vary, 1 - jnp.sum(state.error) / jnp.where(vary, total, 1), jnp.nan)


@partial(described, Metric(_init, _update, _compute, maximize=True))
def r2(outputs: Array, targets: Array, weights: Array) -> None:
    r"""Share of the targets' variance that the predictions explain.

    .. math:: 1 - \frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i (y_i - \bar y)^2}

    Higher is better.

    Args:
      outputs: ``(n, ...)``, reshaped to the targets' shape.
      targets: ``(n, ...)`` numbers; where there are several per example, their squares are summed (scikit-learn's
        ``variance_weighted``).
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar, at most 1; NaN where the targets don't vary.

    Raises:
      ValueError: outputs and targets have different numbers of values per example.

    >>> import jax.numpy as jnp
    >>> float(r2(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 2.0, 3.0])))
    1.0

    Source: scikit-learn's ``r2_score``.
    """


def _flat(values: Array, targets: Array) -> Array:
    """Values as ``(n, d)`` in float32; raises ValueError where they do not fit the targets."""
    size = math.prod(targets.shape[1:])
    if values.shape[:1] != targets.shape[:1] or math.prod(values.shape[1:]) != size:
        raise ValueError(
            f"outputs of shape {values.shape} do not fit targets of shape {targets.shape}: the last layer needs one "
            "unit per number to predict"
        )
    return values.reshape(values.shape[0], size).astype(jnp.float32)
