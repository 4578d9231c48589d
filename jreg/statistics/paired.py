"""Two settings on the same folds: how much they differ, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jreg.statistics import _arguments as arguments


class CorrectedT(NamedTuple):
    """What the corrected resampled t test finds, an array ``(...)`` each.

    Attributes:
      mean: of the differences over the folds.
      error: its corrected standard error; NaN where there is one fold.
      statistic: mean / error; 0 where all differences are 0, infinite where they are all equal otherwise.
      p: two-sided p-value; NaN where there is one fold.
      degrees: of freedom, the folds less one.
    """

    mean: np.ndarray
    error: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    degrees: int


class PairedDifference(NamedTuple):
    """How much better one setting's scores are than another's, an array ``(...)`` each.

    Attributes:
      difference: the mean of a less that of b.
      low, high: the ends of its confidence interval; NaN where there is one fold.
      p: two-sided p-value of no difference; NaN where there is one fold.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


class Posterior(NamedTuple):
    """The posterior probabilities of a difference, an array ``(...)`` each; they add up to 1.

    Attributes:
      left: that it is below -rope.
      rope: that it lies in the region of practical equivalence.
      right: that it is above rope.
    """

    left: np.ndarray
    rope: np.ndarray
    right: np.ndarray


def corrected_t(differences: np.ndarray, test_share: float) -> CorrectedT:
    r"""The corrected resampled t test of differences between two settings on the same folds.

    .. math:: t = \frac{\bar d}{\sqrt{\left(\frac1J + \frac{n_2}{n_1}\right) \hat\sigma^2_d}}, \qquad J - 1
       \text{ degrees of freedom}

    where d are the differences in each of J folds, averaged over seeds, which share a fold's rows. Folds share training
    rows, so their differences are correlated; :math:`n_2 / n_1` stands for that. It is exact for normal differences
    with the correlation :math:`n_2 / (n_1 + n_2)`, and a rule of thumb otherwise. Repeats of k-fold cross-validation
    are folds like others. With a share of 0 it is the paired t test, which is wrong more often than it says.

    Args:
      differences: ``(..., folds, seeds)``, in units of the score; NaN gives NaN.
      test_share: :math:`n_2 / n_1`, the validation rows of a fold divided by its training rows; 1 / (k - 1) in k folds.

    Raises:
      ValueError, TypeError: there are fewer than two axes, no folds or seeds, no numbers, or `test_share` is negative.

    >>> found = corrected_t(np.array([[0.03], [0.03], [0.005], [0.02], [0.0]]), test_share=0.25)
    >>> round(float(found.statistic), 2), round(float(found.p), 3), found.degrees
    (1.81, 0.144, 4)

    Source: Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003), section 3; for
    repeats: Bouckaert and Frank, Evaluating the replicability of significance tests, PAKDD (2004).
    """
    from scipy.stats import t

    share = arguments.test_share(test_share, "corrected_t's test_share")
    differences = arguments.scores(differences, "corrected_t's differences")
    # Infinite scores, such as perplexities, have no difference, and differences that are all equal no error.
    with np.errstate(divide="ignore", invalid="ignore"):
        by_fold = differences.mean(axis=-1)
        folds, mean = by_fold.shape[-1], by_fold.mean(axis=-1)
        if folds == 1:
            nothing = np.full(mean.shape, np.nan)
            return CorrectedT(mean, nothing, nothing, nothing, 0)
        error = np.sqrt(by_fold.var(axis=-1, ddof=1) * (1 / folds + share))
        statistic = np.where((mean == 0) & (error == 0), 0.0, mean / error)
    return CorrectedT(mean, error, statistic, 2 * t.sf(np.abs(statistic), folds - 1), folds - 1)


def paired_difference(a: np.ndarray, b: np.ndarray, test_share: float, *, confidence: float = 0.95) -> PairedDifference:
    r"""The mean difference of two settings' scores on the same folds and seeds, with its confidence interval.

    .. math:: \bar d \pm t_{J-1,\,(1+\gamma)/2} \sqrt{\left(\frac1J + \frac{n_2}{n_1}\right) \hat\sigma^2_d}

    with the symbols of `corrected_t` and the confidence :math:`\gamma`. It is also the credible interval of
    `correlated_t`.

    Args:
      a, b: ``(..., folds, seeds)``, scores of the same folds and seeds.
      test_share: the validation rows of a fold divided by its training rows.
      confidence: of the interval, in (0, 1).

    Raises:
      ValueError, TypeError: the shapes don't fit, or a number is out of range.

    >>> a, b = np.array([[0.93], [0.95], [0.91], [0.94]]), np.array([[0.90], [0.91], [0.90], [0.90]])
    >>> found = paired_difference(a, b, test_share=1 / 3)
    >>> [round(float(value), 4) for value in found]
    [0.03, -0.0044, 0.0644, 0.0691]

    Source: as `corrected_t`.
    """
    from scipy.stats import t

    wanted = arguments.confidence(confidence, "paired_difference's confidence")
    a, b = (arguments.scores(scores, "paired_difference's scores") for scores in (a, b))
    if a.shape[-2:] != b.shape[-2:]:
        raise ValueError(
            f"paired_difference's scores have shapes {a.shape} and {b.shape}, but must be of the same folds and seeds"
        )
    found = corrected_t(a - b, test_share)
    half = t.isf((1 - wanted) / 2, found.degrees) * found.error if found.degrees else found.error
    return PairedDifference(found.mean, found.mean - half, found.mean + half, found.p)


def correlated_t(differences: np.ndarray, test_share: float, rope: float) -> Posterior:
    r"""The Bayesian correlated t test: how likely a difference is negative, negligible, or positive.

    .. math:: \mu \mid d \;\sim\; \bar d + t_{J-1} \sqrt{\left(\frac1J + \frac{\rho}{1-\rho}\right) \hat\sigma^2_d},
       \qquad \rho = \frac{n_2}{n_1 + n_2}

    with the symbols of `corrected_t`: the posterior under the prior that makes both tests agree. Unlike a p-value it
    also says how sure it is that two settings are as good as equal. Where all differences are equal, all probability
    lies at them.

    Args:
      differences: ``(..., folds, seeds)``, in units of the score; NaN gives NaN.
      test_share: the validation rows of a fold divided by its training rows, :math:`\rho / (1 - \rho)`.
      rope: half the width of the region of practical equivalence, in units of the score, at least 0; for accuracies
        0.01 is customary. With 0 only differences that are all 0 are equivalent.

    Raises:
      ValueError, TypeError: the shape or a number is wrong.

    >>> found = correlated_t(np.array([[0.03], [0.03], [0.005], [0.02], [0.0]]), test_share=0.25, rope=0.01)
    >>> [round(float(probability), 3) for probability in found]
    [0.022, 0.226, 0.752]

    Source: Benavoli, Corani, Demsar and Zaffalon, Time for a change: a tutorial for comparing multiple classifiers
    through Bayesian analysis, JMLR 18 (2017), section 4.1.
    """
    from scipy.stats import t

    half = arguments.number(rope, "correlated_t's rope", "a number of at least 0, in units of the score")
    if not half >= 0:
        raise ValueError(f"correlated_t's rope is {rope}, but must be at least 0, in units of the score, such as 0.01")
    arguments.test_share(test_share, "correlated_t's test_share")
    found = corrected_t(arguments.scores(differences, "correlated_t's differences"), test_share)
    if not found.degrees:
        return Posterior(found.p, found.p, found.p)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = t.cdf((-half - found.mean) / found.error, found.degrees)
        right = t.sf((half - found.mean) / found.error, found.degrees)
    sure = found.error == 0
    left = np.where(sure, found.mean < -half, left)
    right = np.where(sure, found.mean > half, right)
    return Posterior(left, np.maximum(0.0, 1 - left - right), right)
