"""Metrics of the order in which outputs put the rows; they need all outputs at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jreg._base.types import Array
from jreg.metrics._shapes import class_numbers, has_classes, has_labels, per_label
from jreg.metrics.lifts import collecting


@partial(collecting, maximize=True)
def roc_auc(outputs: Array, targets: Array, weights: Array) -> Array:
    r"""Area under the ROC curve; of several classes, the mean over one-vs-rest areas.

    .. math:: \frac{\sum_{i: y_i = 1} \sum_{j: y_j = 0} w_i w_j \left([s_i > s_j] + \frac12 [s_i = s_j]\right)}
       {\sum_{i: y_i = 1} w_i \sum_{j: y_j = 0} w_j}

    which is the probability that a row of class 1 has the higher score than one of class 0, a tie counting half. Of two
    classes the score is the logit of class 1. Of K classes, class k against the rest is scored by its probability, and
    the K areas are averaged. Where a class has no rows, or all rows, its area isn't defined and the value is NaN, as in
    scikit-learn, which refuses several classes then. Higher is better.

    The state holds the outputs and targets of all rows (`jreg.metrics.collecting`).

    Args:
      outputs: ``(n, ..., K)`` logits of a softmax; or ``(n, 1)`` or ``(n,)`` of a sigmoid.
      targets: ``(n, ...)`` integers; or ``(n, K)`` of 0 and 1, whose areas are averaged.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar in [0, 1]; NaN without any weight, and where an output is NaN.

    Raises:
      TypeError: labels of several classes are not integers.
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> float(roc_auc(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])))
    0.75

    Source: scikit-learn's ``roc_auc_score``, with ``multi_class="ovr"``; Hanley and McNeil, The meaning and use of the
    area under a receiver operating characteristic (ROC) curve, Radiology 143 (1982).
    """
    return _one_against_rest(_area, outputs, targets, weights)


@partial(collecting, maximize=True)
def average_precision(outputs: Array, targets: Array, weights: Array) -> Array:
    r"""Area under the precision-recall curve by steps; of several classes, the mean over one-vs-rest areas.

    .. math:: \frac{\sum_{i: y_i = 1} w_i P(s_i)}{\sum_{i: y_i = 1} w_i}, \qquad
       P(s) = \frac{\sum_j w_j [y_j = 1][s_j \ge s]}{\sum_j w_j [s_j \ge s]}

    Scores are as in `roc_auc`. Without rows of class 1 it is 0, and so is the area of one of several labels that never
    occurs, as in scikit-learn; of several classes of which one has no rows the value is NaN, where scikit-learn
    refuses. Higher is better.

    The state holds the outputs and targets of all rows (`jreg.metrics.collecting`).

    Args:
      outputs: ``(n, ..., K)`` logits of a softmax; or ``(n, 1)`` or ``(n,)`` of a sigmoid.
      targets: ``(n, ...)`` integers; or ``(n, K)`` of 0 and 1, whose areas are averaged.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar in [0, 1]; NaN without any weight, and where an output is NaN.

    Raises:
      TypeError: labels of several classes are not integers.
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> round(float(average_precision(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1]))), 4)
    0.8333

    Source: scikit-learn's ``average_precision_score``.
    """
    several = has_classes(outputs, targets) and outputs.shape[-1] > 2
    return _one_against_rest(partial(_precision, absent=jnp.nan if several else 0.0), outputs, targets, weights)


def _one_against_rest(
    area: Callable[[Array, Array, Array], Array], outputs: Array, targets: Array, weights: Array
) -> Array:
    """The mean of the areas of one column of scores per class or label."""
    classes = has_classes(outputs, targets)
    outputs = outputs.astype(jnp.float32)
    if not classes and has_labels(outputs, targets):
        each = per_label(weights, targets[..., 0]).ravel()
        scores, positive = (
            outputs.reshape(-1, outputs.shape[-1]),
            targets.reshape(-1, targets.shape[-1]).astype(jnp.int32) == 1,
        )
    else:
        each, labels = per_label(weights, targets).ravel(), targets.ravel()
        if not classes:
            scores, positive = outputs.reshape(-1, 1), (labels.astype(jnp.int32) == 1)[:, None]
        elif outputs.shape[-1] == 2:
            two = outputs.reshape(-1, 2)
            scores, positive = two[:, 1:] - two[:, :1], (class_numbers(labels) == 1)[:, None]
        else:
            scores = _log_odds(outputs.reshape(-1, outputs.shape[-1]))
            positive = jax.nn.one_hot(class_numbers(labels), outputs.shape[-1], dtype=bool)
    lost = jnp.any(jnp.isnan(scores) & (each > 0)[:, None]) | ~(jnp.sum(each) > 0)
    # A program of its own where it is called on arrays: operation by operation it would take seconds to compile.
    found = jax.jit(jax.vmap(area, in_axes=(1, 1, None)))(scores, positive, each)
    return jnp.where(lost, jnp.nan, jnp.mean(found))


def _log_odds(logits: Array) -> Array:
    """The logarithm of p / (1 - p) for each class: its order is that of p, also where p in float32 would be 1."""
    top = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=bool)
    shifted = logits - jnp.max(logits, axis=-1, keepdims=True)
    rest = jnp.sum(jnp.exp(shifted), axis=-1, keepdims=True) - jnp.where(top, 0, jnp.exp(shifted))
    others = jax.nn.logsumexp(jnp.where(top, -jnp.inf, shifted), axis=-1, keepdims=True)
    return shifted - jnp.where(top, others, jnp.log(rest))


def _ranks(scores: Array, positive: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """From the highest score on: the weights of positives, and up to which score, ties in front or behind, all sums."""
    order = jnp.argsort(-scores)
    scores, weights = -scores[order], weights[order]
    wanted = jnp.where(positive[order], weights, 0)
    sums = jnp.stack([wanted, weights])
    sums = jnp.pad(jnp.cumsum(sums, axis=1), ((0, 0), (1, 0)))
    before, behind = (jnp.searchsorted(scores, scores, side=side) for side in ("left", "right"))
    return wanted, weights, sums[:, before], sums[:, behind]


def _area(scores: Array, positive: Array, weights: Array) -> Array:
    wanted, weights, before, behind = _ranks(scores, positive, weights)
    above, upto = (sums[1] - sums[0] for sums in (before, behind))
    rest = jnp.sum(weights - wanted)
    # The share of pairs in order is that of negatives that don't have the higher score.
    share = 1 - (above + upto) / 2 / jnp.where(rest > 0, rest, 1)
    total = jnp.sum(wanted)
    both = (rest > 0) & (total > 0)
    return jnp.where(both, jnp.sum(wanted * share) / jnp.where(total > 0, total, 1), jnp.nan)


def _precision(scores: Array, positive: Array, weights: Array, absent: float) -> Array:
    wanted, _, _, behind = _ranks(scores, positive, weights)
    total = jnp.sum(wanted)
    found = jnp.sum(wanted * behind[0] / jnp.where(behind[1] > 0, behind[1], 1))
    return jnp.where(total > 0, found / jnp.where(total > 0, total, 1), absent)
