"""Metrics of predicted probabilities."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.sharding import whole_rows
from jreg._base.types import Array
from jreg.metrics._shapes import class_numbers, has_classes, per_label
from jreg.metrics.lifts import average
from jreg.metrics.metric import Metric, described


@partial(average, maximize=False)
def brier(outputs: Array, targets: Array) -> Array:
    r"""Mean squared error of the probabilities, known as the Brier score.

    .. math:: \frac{\sum_i w_i \sum_k (\hat p_{ik} - [y_i = k])^2}{\sum_i w_i}

    For two classes it is the squared error of the probability of class 1, half of the sum over both, as in
    scikit-learn; so it lies in [0, 1], and for more classes in [0, 2]. Of several labels it is the mean over them.
    Lower is better.

    Args:
      outputs: ``(n, ..., K)`` logits of a softmax; or ``(n, 1)`` or ``(n,)`` of a sigmoid.
      targets: ``(n, ...)`` integers; or ``(n, K)`` of 0 and 1, a sigmoid each.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 0; NaN without any weight, and where an output is NaN or a label is no class.

    Raises:
      TypeError: labels of several classes are not integers.
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> float(brier(jnp.zeros((2, 4)), jnp.array([0, 2])))
    0.75
    >>> float(brier(jnp.zeros((2, 2)), jnp.array([0, 1]))), float(brier(jnp.zeros(2), jnp.array([0, 1])))
    (0.25, 0.25)

    Source: scikit-learn's ``brier_score_loss``; Brier, Verification of forecasts expressed in terms of probability,
    Monthly Weather Review 78 (1950).
    """
    if not has_classes(outputs, targets):
        probability = jax.nn.sigmoid(outputs.reshape(targets.shape).astype(jnp.float32))
        targets = targets.astype(jnp.float32)
        return jnp.where((targets >= 0) & (targets <= 1), jnp.square(probability - targets), jnp.nan)
    labels, classes = class_numbers(targets), outputs.shape[-1]
    probabilities = jax.nn.softmax(whole_rows(outputs.astype(jnp.float32)), axis=-1)
    there = jax.nn.one_hot(labels, classes, dtype=bool)
    wrong = jnp.sum(jnp.square(probabilities - there.astype(jnp.float32)), axis=-1)
    return jnp.where(jnp.any(there, axis=-1), wrong / (2 if classes == 2 else 1), jnp.nan)


class _Bins(NamedTuple):
    """Per bin the weighted sum of right predictions less that of their probabilities, ``(bins,)``; all weight."""

    gaps: Array
    weight: Array


def ece(bins: int) -> Metric:
    r"""A metric: the expected calibration error of the predicted class's probability, in bins of equal width.

    .. math:: \sum_{b=1}^{B} \frac{W_b}{W} \left| \mathrm{acc}_b - \mathrm{conf}_b \right|

    where bin b has the predictions whose probability of the predicted class is in ((b - 1) / B, b / B], W_b is their
    weight, acc_b the share of them that are right and conf_b the mean of their probabilities. It depends on the number
    of bins, so state that with it; 15 is usual. In expectation it is above 0 for a perfectly calibrated network too,
    the more so the fewer rows a bin has. The state is a number per bin. Lower is better.

    Args:
      bins: B, at least 1.

    Returns:
      A `jreg.metrics.Metric` of logits ``(n, ..., K)`` of a softmax, or ``(n, 1)`` or ``(n,)`` of a sigmoid, integer
      targets ``(n, ...)`` and weights ``(n,)``; or of logits and labels ``(n, K)`` of 0 and 1, each a prediction by
      itself. With a sigmoid the predicted class's probability is p or 1 - p, whichever is larger, so that two classes
      have the same value with one output as with two. Its value is in [0, 1], NaN without any weight, and where an
      output is NaN.

    Raises:
      TypeError: `bins` is no whole number; at a call, labels of several classes are not integers.
      ValueError: `bins` is below 1; at a call, the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> outputs, targets = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])), jnp.array([0, 1, 1])
    >>> round(float(ece(10)(outputs, targets)), 4)  # (2 |1/2 - 0.8| + |1 - 0.6|) / 3
    0.3333

    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015;
    Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    checks.count(bins, "ece's number of bins")

    def init(outputs: Array, targets: Array, rows: int) -> _Bins:
        del rows  # a number per bin, whatever their number
        has_classes(outputs, targets)
        return _Bins(jnp.zeros(bins, jnp.float32), jnp.zeros((), jnp.float32))

    def update(state: _Bins, outputs: Array, targets: Array, weights: Array) -> _Bins:
        probability, right = _confidence(outputs.astype(jnp.float32), targets)
        place = jnp.clip(jnp.ceil(probability * bins).astype(jnp.int32) - 1, 0, bins - 1)
        weights = per_label(weights, targets)
        gap = jnp.where(weights > 0, weights * (right.astype(jnp.float32) - probability), 0)
        chosen = jax.nn.one_hot(place, bins, dtype=bool)
        gaps = jnp.sum(jnp.where(chosen, gap[..., None], 0), axis=tuple(range(place.ndim)))
        return _Bins(state.gaps + gaps, state.weight + jnp.sum(weights))

    def compute(state: _Bins) -> Array:
        some = state.weight > 0
        return jnp.where(some, jnp.sum(jnp.abs(state.gaps)) / jnp.where(some, state.weight, 1), jnp.nan)

    return described(Metric(init, update, compute, maximize=False), ece)


def _confidence(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """The predicted label's probability, and whether it is the right one."""
    if has_classes(outputs, targets):
        probabilities = jax.nn.softmax(whole_rows(outputs), axis=-1)
        return jnp.max(probabilities, axis=-1), jnp.argmax(outputs, axis=-1) == class_numbers(targets)
    outputs = outputs.reshape(targets.shape)
    return jax.nn.sigmoid(jnp.abs(outputs)), (outputs > 0) == (targets.astype(jnp.int32) == 1)
