"""How good a setting is and how sure we are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base import checks


def mean_and_standard_error(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean over folds and seeds, and its standard error over folds.

    .. math:: \bar s = \frac1K \sum_k s_k, \qquad
       \mathrm{SE} = \sqrt{\frac{1}{K(K-1)} \sum_k (s_k - \bar s)^2}

    where s_k is fold k's score, averaged over seeds. Folds share training rows, so this is the customary
    estimate and not an unbiased one. With one fold the seeds stand in for the folds.

    Args:
      scores: ``(..., folds, seeds)``.

    Returns:
      Two arrays ``(...)``; the error is NaN where there is one score alone.

    >>> mean, error = mean_and_standard_error(np.array([[0.9], [1.0], [0.8]]))
    >>> round(float(mean), 3), round(float(error), 4)
    (0.9, 0.0577)

    Source: Hastie, Tibshirani and Friedman, The elements of statistical learning (2009), section 7.10;
    Bengio and Grandvalet, No unbiased estimator of the variance of k-fold cross-validation, JMLR 5 (2004).
    """
    independent = scores.mean(axis=-1) if scores.shape[-2] > 1 else scores[..., 0, :]
    count = independent.shape[-1]
    if count == 1:
        return independent.mean(axis=-1), np.full(independent.shape[:-1], np.nan)
    return independent.mean(axis=-1), independent.std(axis=-1, ddof=1) / np.sqrt(count)


def regularization(axes: Mapping[str, Sequence[Any]], setting: Mapping[str, Any]) -> float:
    """How regularized a setting is: its position on each axis, from 0 for the first value to 1 for the last, added.

    >>> regularization({"l2": (0.0, 0.1, 0.2), "dropout": (0.5,)}, {"l2": 0.1, "dropout": 0.5})
    0.5
    """
    return sum(values.index(setting[name]) / (len(values) - 1) for name, values in axes.items() if len(values) > 1)


def one_standard_error(means: np.ndarray, errors: np.ndarray, strengths: np.ndarray, maximize: bool = True) -> int:
    """The most regularized setting whose mean is within one standard error of the best one's.

    Args:
      means, errors: ``(settings,)``; NaN means never chosen.
      strengths: ``(settings,)``, how regularized each is; ties go to the better mean.
      maximize: whether higher means are better.

    Returns:
      The setting's number.

    Raises:
      ValueError: no mean is finite.

    >>> one_standard_error(np.array([0.90, 0.95, 0.94]), np.array([0.01] * 3), np.array([2.0, 0.0, 1.0]))
    2

    Source: Breiman, Friedman, Olshen and Stone, Classification and regression trees (1984), section 3.4.3.
    """
    best = best_of(means, maximize)
    sign = 1 if maximize else -1
    error = errors[best] if np.isfinite(errors[best]) else 0.0
    near = np.flatnonzero(np.isfinite(means) & (sign * means >= sign * means[best] - error))
    return int(max(near, key=lambda number: (strengths[number], sign * means[number])))


def best_of(means: np.ndarray, maximize: bool = True) -> int:
    """The number of the best mean; those that are not finite rank last.

    Raises:
      ValueError: no mean is finite.

    >>> best_of(np.array([np.nan, 0.2, 0.3]))
    2
    """
    if not np.isfinite(means).any():
        raise ValueError(
            "every setting has a training that diverged, so there is no best: try smaller learning rates or strengths"
        )
    worst = -np.inf if maximize else np.inf
    ranked = np.where(np.isfinite(means), means, worst)
    return int(np.argmax(ranked) if maximize else np.argmin(ranked))


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for the probability behind `successes` out of `trials`.

    Args:
      successes: between 0 and `trials`.
      trials: at least 1.
      confidence: in (0, 1).

    Returns:
      Its lower and upper end.

    Raises:
      ValueError: a number is out of range.

    >>> low, high = binomial_interval(95, 100)
    >>> round(low, 3), round(high, 3)
    (0.888, 0.978)

    Source: Wilson (1927); scipy.stats.binomtest.
    """
    checks.count(trials, "trials")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1")
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
