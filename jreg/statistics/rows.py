"""Two settings on the same rows: their out-of-fold predictions compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jreg._base import checks
from jreg.statistics import _arguments as arguments


class McNemar(NamedTuple):
    """What McNemar's test finds.

    Attributes:
      only_a: how many rows a alone has right.
      only_b: how many rows b alone has right.
      p: two-sided p-value of both being right as often; 1 where they never differ.
    """

    only_a: int
    only_b: int
    p: float


class BootstrapDifference(NamedTuple):
    """How much a metric of two predictions differs.

    Attributes:
      difference: the metric of a less that of b, of all rows.
      low, high: the ends of its percentile interval.
      p: two-sided p-value of no difference, from the resamples on each side of 0.
    """

    difference: float
    low: float
    high: float
    p: float


def mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    r"""McNemar's exact test of which of two settings is right more often on the same rows.

    .. math:: p = \min\Big(1,\; 2 \sum_{i=0}^{\min(n_a, n_b)} \binom{n_a + n_b}{i} 2^{-(n_a + n_b)}\Big)

    with n_a rows that a alone has right, and n_b that b alone has. Each row has to be there once, and rows have to be
    independent. It is about *these* networks: it doesn't know that other training rows or seeds would have made others.

    Args:
      a, b: ``(rows,)`` bool, whether each setting is right about each row.

    Raises:
      ValueError, TypeError: they aren't flags of the same rows.

    >>> mcnemar(np.array([1, 1, 1, 1, 1, 0, 1], bool), np.array([0, 0, 0, 0, 0, 1, 1], bool))
    McNemar(only_a=5, only_b=1, p=0.21875)

    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12
    (1947); Dietterich, Approximate statistical tests, Neural Computation 10 (1998); scipy.stats.binomtest.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "b" or b.dtype.kind != "b":
        raise TypeError(
            f"mcnemar's arguments have dtypes {a.dtype} and {b.dtype}, but must be flags: predictions == targets"
        )
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ValueError(
            f"mcnemar's arguments have shapes {a.shape} and {b.shape}, but must be flags of the same rows, (rows,)"
        )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def paired_bootstrap(
    seed: int,
    metric: Callable[[Any, Any], float],
    targets: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> BootstrapDifference:
    r"""The difference of a metric between two predictions of the same rows, with an interval by resampling rows.

    .. math:: \Delta^*_i = m(y_{R_i}, a_{R_i}) - m(y_{R_i}, b_{R_i}), \qquad
       p = \min\Big(1,\; 2\, \frac{1 + \min(\#\{\Delta^* \le 0\}, \#\{\Delta^* \ge 0\})}{1 + B}\Big)

    where each R_i has as many rows as there are, drawn with replacement, and both settings get the same ones. The
    interval lies between percentiles of :math:`\Delta^*`. Like `mcnemar` it is about these networks alone.

    Args:
      seed: of the resamples, at least 0.
      metric: from targets and predictions to a number, such as ``sklearn.metrics.roc_auc_score``.
      targets: ``(rows, ...)``.
      a, b: ``(rows, ...)``, the predictions, or scores of classes, as the metric takes them.
      groups: ``(rows,)``, which rows belong together; then groups are drawn, each with all its rows.
      resamples: how many.
      confidence: of the interval, in (0, 1).

    Raises:
      ValueError, TypeError: the arrays have different numbers of rows, a number is out of range, or the metric isn't
        finite for a resample, as where a class is missing in it.

    >>> targets = np.arange(100) % 4
    >>> a, b = np.where(np.arange(100) < 90, targets, 9), np.where(np.arange(100) < 80, targets, 9)
    >>> found = paired_bootstrap(0, lambda targets, predicted: (targets == predicted).mean(), targets, a, b)
    >>> round(found.difference, 3), found.low > 0.03, found.high < 0.17, found.p < 0.01
    (0.1, True, True, True)

    Source: Efron and Tibshirani, An introduction to the bootstrap (1993), chapters 13 and 15; Koehn, Statistical
    significance tests for machine translation evaluation, EMNLP (2004).
    """
    seed = checks.count(seed, "paired_bootstrap's seed", least=0)
    resamples = checks.count(resamples, "paired_bootstrap's resamples")
    tail = (1 - arguments.confidence(confidence, "paired_bootstrap's confidence")) / 2
    arrays = [np.asarray(array) for array in (targets, a, b)]
    shapes = [array.shape for array in arrays]
    if len({shape[:1] for shape in shapes}) > 1 or not shapes[0] or not shapes[0][0]:
        raise ValueError(
            f"paired_bootstrap's targets and predictions have shapes {', '.join(map(str, shapes))}, but must be of the "
            "same rows, at least one"
        )
    members = _members(groups, len(arrays[0]))

    def difference(rows: Any) -> float:
        targets, a, b = (array[rows] for array in arrays)
        found = float(metric(targets, a)) - float(metric(targets, b))
        if not np.isfinite(found):
            raise ValueError(
                f"paired_bootstrap's metric differs by {found} for some of the rows, as where a class is missing among "
                "them: take a metric that is defined for any rows"
            )
        return found

    whole, generator, drawn = difference(slice(None)), np.random.default_rng(seed), np.empty(resamples)
    for place in range(resamples):
        chosen = generator.integers(len(members), size=len(members))
        drawn[place] = difference(chosen if groups is None else np.concatenate([members[n] for n in chosen]))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    beyond = 1 + min((drawn <= 0).sum(), (drawn >= 0).sum())
    return BootstrapDifference(whole, float(low), float(high), float(min(1.0, 2 * beyond / (1 + resamples))))


def _members(groups: np.ndarray | None, rows: int) -> Any:
    """The rows that are drawn together: each alone, or those of a group."""
    if groups is None:
        return range(rows)
    groups = np.asarray(groups)
    if groups.shape != (rows,):
        raise ValueError(
            f"paired_bootstrap's groups have shape {groups.shape}, but must have one for each of {rows} rows"
        )
    _, number = np.unique(groups, return_inverse=True)
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
