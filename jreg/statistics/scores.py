"""How good a setting is and how sure we are."""

from __future__ import annotations

import numpy as np

from jreg._base import checks
from jreg.statistics import _arguments as arguments


def mean_and_standard_error(scores: np.ndarray, repeats: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean over folds and seeds, and its standard error over folds.

    .. math:: \bar s = \frac1K \sum_k s_k, \qquad
       \mathrm{SE} = \sqrt{\frac{1}{K(K-1)} \sum_k (s_k - \bar s)^2}

    where s_k is fold k's score, averaged over seeds. The mean is taken of all scores at once, so that the same float32
    scores in other folds have the same mean to the bit. Folds share training rows, so this is the customary estimate
    and not an unbiased one. With one fold the seeds stand in for the folds.

    The repeats of a k-fold validate on the same rows, so that r of them are no r times as many scores: what depends on
    which rows there are doesn't average out. The standard error is then that of one repeat, on the average of their
    squares,

    .. math:: \mathrm{SE}^2 = \frac1r \sum_{j=1}^r \frac{1}{K(K-1)} \sum_k (s_{jk} - \bar s_j)^2

    which doesn't fall with r, but is known better. It is too large by as much as the means of repeats differ, which
    repeats do average out. (The variance that Nadeau and Bengio correct, :math:`(1/(rK) + 1/(K-1))` times that of the
    scores, doesn't fall to 0 either.)

    Args:
      scores: ``(..., folds, seeds)``.
      repeats: ``(folds,)``, which repeat of a repeated k-fold each fold belongs to, as `jreg.splits.repeats` finds out;
        default: there is one.

    Returns:
      Two arrays ``(...)``; the error is NaN where there is one score alone.

    Raises:
      ValueError: there are fewer than two axes, or no folds or seeds; `repeats` isn't one number for each fold, or a
        repeat has one fold alone.

    >>> mean, error = mean_and_standard_error(np.array([[0.9], [1.0], [0.8]]))
    >>> round(float(mean), 3), round(float(error), 4)
    (0.9, 0.0577)

    Source: Hastie, Tibshirani and Friedman, The elements of statistical learning (2009), section 7.10;
    Bengio and Grandvalet, No unbiased estimator of the variance of k-fold cross-validation, JMLR 5 (2004); of repeats
    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003), and Bouckaert and Frank,
    Evaluating the replicability of significance tests for comparing learning algorithms (2004).
    """
    if np.ndim(scores) < 2 or 0 in np.shape(scores)[-2:]:
        raise ValueError(
            f"mean_and_standard_error's scores have shape {np.shape(scores)}, but must have one of (..., folds, seeds) "
            "with at least one of each"
        )
    of = np.zeros(scores.shape[-2], np.int64) if repeats is None else _of_folds(repeats, scores.shape[-2])
    # An infinite score, such as a perplexity, has no deviation from its mean, and that is no reason to warn.
    with np.errstate(invalid="ignore"):
        independent = scores.mean(axis=-1) if scores.shape[-2] > 1 else scores[..., 0, :]
        count, mean = independent.shape[-1], scores.mean(axis=(-2, -1))
        if count == 1:
            return mean, np.full(mean.shape, np.nan)
        if not of.any():
            return mean, independent.std(axis=-1, ddof=1) / np.sqrt(count)
        each = [independent[..., of == repeat] for repeat in range(of.max() + 1)]
        return mean, np.sqrt(np.mean([scores.var(axis=-1, ddof=1) / scores.shape[-1] for scores in each], axis=0))


def _of_folds(repeats: np.ndarray, folds: int) -> np.ndarray:
    """The repeat of each fold, numbered from 0."""
    if np.shape(repeats) != (folds,):
        raise ValueError(
            f"mean_and_standard_error's repeats have shape {np.shape(repeats)}, but must be one number for each of the "
            f"{folds} folds"
        )
    numbers, of, counts = np.unique(repeats, return_inverse=True, return_counts=True)
    if len(numbers) > 1 and counts.min() == 1:
        raise ValueError(
            f"mean_and_standard_error's repeat {numbers[counts.argmin()]} has one fold alone, but needs two or more"
        )
    return of


def one_standard_error(means: np.ndarray, errors: np.ndarray, strengths: np.ndarray, maximize: bool = True) -> int:
    """The most regularized setting whose mean is within one standard error of the best one's.

    Args:
      means: ``(settings,)``; one that is not finite is never chosen.
      errors: ``(settings,)``, at least 0; the best setting's counts, and as 0 if it is not finite. Of several with the
        best mean it is that of the most regularized one, and of equally regularized ones the largest.
      strengths: ``(settings,)``, how regularized each is, not NaN, such as `jreg.search.Space.strengths`; among equal
        ones the better mean is chosen, and among equal means the first.
      maximize: whether higher means are better.

    Returns:
      The setting's number.

    Raises:
      ValueError: no mean is finite, the arrays' shapes differ, an error is negative, or a strength is NaN.

    >>> one_standard_error(np.array([0.90, 0.95, 0.94]), np.array([0.01] * 3), np.array([2.0, 0.0, 1.0]))
    2

    Source: Breiman, Friedman, Olshen and Stone, Classification and regression trees (1984), section 3.4.3; for one
    strength it is glmnet's ``lambda.1se``.
    """
    best = best_of(means, maximize)
    for name, array in (("errors", errors), ("strengths", strengths)):
        if np.shape(array) != np.shape(means):
            raise ValueError(
                f"one_standard_error's {name} have shape {np.shape(array)}, but its means {np.shape(means)}: give one "
                "of each for a setting"
            )
    if (errors < 0).any():
        raise ValueError(
            f"one_standard_error's errors have {errors[errors < 0][0]}, but a standard error is at least 0"
        )
    if np.isnan(strengths).any():
        raise ValueError("one_standard_error's strengths have NaN, but must be numbers to rank settings by")
    sign = 1 if maximize else -1
    equal = np.flatnonzero(means == means[best])
    equal = equal[strengths[equal] == strengths[equal].max()]
    error = np.where(np.isfinite(errors), errors, 0.0)[equal].max()
    near = np.flatnonzero(np.isfinite(means) & (sign * means >= sign * means[best] - error))
    # lexsort is stable, so that of equals the first stays in front.
    return int(near[np.lexsort((-sign * means[near], -strengths[near]))[0]])


def best_of(means: np.ndarray, maximize: bool = True) -> int:
    """The number of the best mean, of equal ones the first; those that are not finite rank last.

    Raises:
      ValueError: no mean is finite, or there is not one axis with a mean for each setting.

    >>> best_of(np.array([np.nan, 0.2, 0.3]))
    2
    """
    if np.ndim(means) != 1 or np.size(means) == 0:
        raise ValueError(f"the means have shape {np.shape(means)}, but must have (settings,) with at least one setting")
    if not np.isfinite(means).any():
        raise ValueError(
            "every setting has a training that diverged, so there is no best: try smaller learning rates or strengths, "
            "and preprocess=jreg.data.standardize() where features are large"
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
      TypeError: `successes` or `trials` is no whole number.
      ValueError: a number is out of range.

    >>> low, high = binomial_interval(95, 100)
    >>> round(low, 3), round(high, 3)
    (0.888, 0.978)

    Source: Wilson (1927); scipy.stats.binomtest.
    """
    trials = checks.count(trials, "binomial_interval's trials")
    successes = checks.count(successes, "binomial_interval's successes", least=0)
    if successes > trials:
        raise ValueError(
            f"binomial_interval's successes is {successes}, but must be at most its trials, {trials}: are they swapped?"
        )
    confidence = arguments.confidence(confidence, "binomial_interval's confidence")
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
