"""Metrics of predicted numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from jreg._base.types import Array
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
