"""Metrics of predicted classes that are functions of three counts per class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.types import Array
from jreg.metrics._shapes import has_classes, has_labels, one_label, per_label, predicted_labels
from jreg.metrics.metric import Metric, described


class _Counts(NamedTuple):
    """Weights of rows.

    Attributes:
      hits, actual, predicted: per class, ``(K,)``: those that are predicted rightly, are in it, are predicted as it.
      weight: of all labels; NaN once an output was NaN or a label no class.
      always: 1 where a class without rows counts, as each of several labels does, 0 elsewhere.
    """

    hits: Array
    actual: Array
    predicted: Array
    weight: Array
    always: Array


def _flags_are_given(outputs: Array, targets: Array) -> bool:
    return not has_classes(outputs, targets) and has_labels(outputs, targets)


def _init(outputs: Array, targets: Array) -> _Counts:
    given = _flags_are_given(outputs, targets)
    count = targets.shape[-1] if given else outputs.shape[-1] if has_classes(outputs, targets) else 2
    return _Counts(*[jnp.zeros(count, jnp.float32)] * 3, jnp.zeros((), jnp.float32), jnp.full((), given, jnp.float32))


def _update(state: _Counts, outputs: Array, targets: Array, weights: Array) -> _Counts:
    given = _flags_are_given(outputs, targets)
    predicted, lost = predicted_labels(outputs, targets)
    labels, weights = targets.astype(jnp.int32), per_label(weights, targets)

    def flags(values: Array) -> Array:
        return values == 1 if given else jax.nn.one_hot(values, len(state.hits), dtype=bool)

    def total(chosen: Array) -> Array:
        each = weights if given else weights[..., None]
        return jnp.sum(jnp.where(chosen, each, 0), axis=tuple(range(chosen.ndim - 1)))

    actual, guessed = flags(labels), flags(predicted)
    known = ((labels == 0) | (labels == 1) if given else jnp.any(actual, axis=-1)) & ~lost
    weight = jnp.sum(jnp.where(known | (weights == 0), weights, jnp.nan))
    new = (total(actual & guessed), total(actual), total(guessed), weight, jnp.zeros((), jnp.float32))
    return _Counts(*map(jnp.add, state, new))


def _metric(compute: Callable[[_Counts], Array], check: Callable[[Array, Array], None]) -> Metric:
    def init(outputs: Array, targets: Array, rows: int) -> _Counts:
        del rows  # the counts have the same size for all
        check(outputs, targets)
        return _init(outputs, targets)

    def known(state: _Counts) -> Array:
        return jnp.where(state.weight > 0, compute(state), jnp.nan)

    return Metric(init, _update, known, maximize=True)


def _ratio(above: Array, below: Array) -> Array:
    """0 where there is nothing below."""
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)


def _mean(values: Array, weights: Array) -> Array:
    return _ratio(jnp.sum(weights * values), jnp.sum(weights))


def _balanced(state: _Counts) -> Array:
    return _mean(_ratio(state.hits, state.actual), (state.actual > 0).astype(jnp.float32))


@partial(described, _metric(_balanced, partial(one_label, name="balanced_accuracy")))
def balanced_accuracy(outputs: Array, targets: Array, weights: Array) -> None:
    r"""Mean over classes of the share of their rows that are predicted, the recall.

    .. math:: \frac1{|C|} \sum_{k \in C} \frac{\sum_i w_i [y_i = k][\hat y_i = k]}{\sum_i w_i [y_i = k]}

    C are the classes that have rows; one that is only predicted doesn't count, as in scikit-learn. A row of weight
    0 is none. The state is three counts per class. Higher is better.

    Args:
      outputs: ``(n, ..., K)`` logits, the largest wins; or ``(n, 1)`` or ``(n,)``, above 0 means class 1.
      targets: ``(n, ...)`` integers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar in [0, 1]; NaN without any weight, and where an output is NaN or a label is no class.

    Raises:
      ValueError: the shapes of outputs and targets do not fit, or there are several labels per example.

    >>> import jax.numpy as jnp
    >>> float(balanced_accuracy(jnp.array([1.0, 1.0, 1.0, -1.0]), jnp.array([1, 1, 1, 1])))
    0.75
    >>> float(balanced_accuracy(jnp.array([1.0, 1.0, 1.0, 1.0]), jnp.array([1, 1, 1, 0])))
    0.5

    Source: scikit-learn's ``balanced_accuracy_score``; Brodersen et al., The balanced accuracy and its posterior
    distribution, ICPR 2010.
    """


def _mcc(state: _Counts) -> Array:
    hits, actual, predicted = state.hits, state.actual, state.predicted
    total = jnp.sum(predicted)
    # By class, as true positives x true negatives - false positives x false negatives, so that least is lost to
    # cancellation.
    both = jnp.sum(hits * (total - actual - predicted + hits) - (predicted - hits) * (actual - hits))
    varies = [jnp.sqrt(jnp.sum(part * (total - part))) for part in (actual, predicted)]
    return _ratio(both, varies[0] * varies[1])


@partial(described, _metric(_mcc, partial(one_label, name="mcc")))
def mcc(outputs: Array, targets: Array, weights: Array) -> None:
    r"""Matthews' correlation coefficient of labels and predictions.

    .. math:: \frac{c\,s - \sum_k t_k p_k}{\sqrt{(s^2 - \sum_k t_k^2)(s^2 - \sum_k p_k^2)}}

    where s is the weight of all rows, c of those that are predicted rightly, t_k of those in class k and p_k of
    those predicted as k. With two classes it is the correlation of two columns of 0 and 1. Where all labels or all
    predictions are of one class it is 0, as in scikit-learn; a class without rows adds nothing. Higher is better.

    Args:
      outputs: ``(n, ..., K)`` logits, the largest wins; or ``(n, 1)`` or ``(n,)``, above 0 means class 1.
      targets: ``(n, ...)`` integers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar in [-1, 1]; NaN without any weight, and where an output is NaN or a label is no class.

    Raises:
      ValueError: the shapes of outputs and targets do not fit, or there are several labels per example.

    >>> import jax.numpy as jnp
    >>> round(float(mcc(jnp.array([1.0, -1.0, 1.0, 1.0]), jnp.array([1, 1, 1, 0]))), 4)
    -0.3333

    Source: scikit-learn's ``matthews_corrcoef``; Gorodkin, Comparing two K-category assignments by a K-category
    correlation coefficient, Computational Biology and Chemistry 28 (2004).
    """


def _f1(average: str, state: _Counts) -> Array:
    hits, actual, predicted = state.hits, state.actual, state.predicted
    if average == "micro":
        return _ratio(2 * jnp.sum(hits), jnp.sum(actual + predicted))
    each = _ratio(2 * hits, actual + predicted)
    if average == "binary":
        return each[1]
    there = jnp.maximum((actual + predicted > 0).astype(jnp.float32), state.always)
    return _mean(each, actual if average == "weighted" else there)


def f1(average: str) -> Metric:
    r"""A metric: the harmonic mean of precision and recall, over classes or over several labels.

    .. math:: F_k = \frac{2 h_k}{t_k + p_k}

    where t_k is the weight of the rows in class k, p_k of those predicted as k and h_k of those that are both; 0
    where class k is only predicted or never predicted rightly.

    | average | |
    | --- | --- |
    | ``"macro"`` | mean of F_k over the classes that have rows or are predicted; of labels over all |
    | ``"weighted"`` | mean of F_k weighted by t_k |
    | ``"micro"`` | F of the sums of h, t and p over all classes; of one label per example that is the accuracy |
    | ``"binary"`` | F_1 of two classes |

    This is how scikit-learn treats classes without rows: ``"macro"`` leaves out those that no row has and none is
    predicted as, and counts the others as 0; a label that never occurs counts as 0. A row of weight 0 is none. The
    state is three counts per class. Higher is better.

    Args:
      average: one of the table.

    Returns:
      A `jreg.metrics.Metric` of outputs ``(n, ..., K)``, ``(n, 1)`` or ``(n,)`` and integer targets ``(n, ...)``,
      or of both in ``(n, K)`` for several labels of 0 and 1. Its value is in [0, 1], NaN without any weight, and
      where an output is NaN or a label is no class.

    Raises:
      ValueError: there is no such average; at a call, the shapes do not fit, or ``"binary"`` gets other than two
        classes.

    >>> import jax.numpy as jnp
    >>> outputs, targets = jnp.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 3.0, 0.0]]), jnp.array([0, 1, 0])
    >>> round(float(f1("macro")(outputs, targets)), 4), round(float(f1("micro")(outputs, targets)), 4)
    (0.6667, 0.6667)

    Source: scikit-learn's ``f1_score``.
    """
    if average not in ("binary", "macro", "micro", "weighted"):
        raise ValueError(f"f1's average is {average!r}, but must be 'binary', 'macro', 'micro' or 'weighted'")

    def check(outputs: Array, targets: Array) -> None:
        if average == "binary" and (_flags_are_given(outputs, targets) or len(_init(outputs, targets).hits) != 2):
            raise ValueError(
                f"f1('binary') takes two classes, but got outputs of shape {outputs.shape} and targets of shape "
                f"{targets.shape}: take 'macro', 'micro' or 'weighted'"
            )

    return described(_metric(partial(_f1, average), check), f1)
