"""Settings compared by their scores on the same folds and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jreg import statistics
from jreg.recipe import describe
from jreg.results import selection
from jreg.results.selection import SettingResult, SettingResults

if TYPE_CHECKING:
    from jreg.results.results import Results


class Comparison(NamedTuple):
    """How one setting, a, stands to another, b.

    Attributes:
      difference: the mean score of a less that of b, in units of the score.
      low, high: the ends of its confidence interval, see `jreg.statistics.paired_difference`; NaN with one fold.
      p: two-sided p-value of no difference, of the corrected resampled t test; NaN with one fold.
      better, equivalent, worse: posterior probabilities, see `jreg.statistics.correlated_t`, that a is better than b by
        more than `rope`, that they differ by no more than that, and that a is worse by more; NaN with one fold. What is
        better is the score's own direction: a lower loss, a higher accuracy.
    """

    difference: float
    low: float
    high: float
    p: float
    better: float
    equivalent: float
    worse: float


def compare(
    results: Results, a: SettingResult, b: SettingResult, *, rope: float = 0.0, confidence: float = 0.95
) -> Comparison:
    """How much two settings differ on the same folds and seeds, and how sure that is.

    The two must have been chosen before their scores were seen. A p-value of the best one against another promises more
    than it keeps, since it is the best because its scores were lucky too: `indistinguishable` is for that.

    Args:
      results: of the study.
      a, b: two of its settings, ``results.settings[3]``.
      rope: half the width of the region of practical equivalence, in units of the score, such as 0.01 of an accuracy.
      confidence: of the interval, in (0, 1).

    Raises:
      ValueError: one of them lacks a score, or a number is out of range.
      TypeError: one of them is no `SettingResult`.
    """
    for result in (a, b):
        if not isinstance(result, SettingResult):
            raise TypeError(f"compare got {result!r}, but takes two of the settings, such as results.settings[3]")
        if not np.isfinite(result.scores).all():
            why = selection.note(results, result.number)
            raise ValueError(
                f"setting {result.number} ({describe(result.hyperparameters)}) can't be compared, because not all of "
                f"its trainings have a score: {why or 'a score is infinite'}"
            )
    share = test_share(results)
    found = statistics.paired_difference(a.scores, b.scores, share, confidence=confidence)
    left, equivalent, right = statistics.correlated_t(np.subtract(a.scores, b.scores), share, rope)
    better, worse = (right, left) if results.maximize else (left, right)
    return Comparison(*(float(value) for value in (*found, better, equivalent, worse)))


def indistinguishable(results: Results, alpha: float = 0.05) -> SettingResults:
    """The best setting and those that can't be told from it, from the best mean to the worst.

    Left out are those that are worse by the corrected resampled t test, with Holm's adjustment for as many tests as
    there are other settings, and those without all their scores. With one fold nothing can be told apart.

    The best was chosen by the scores that test it. Of two settings that are equally good this changes nothing, since
    the test is two-sided. Of many that are equally good some are left out more often than `alpha` says, but the one
    that is truly best is rarely among them; docs/statistics.md has the rates.

    Args:
      results: of the study.
      alpha: the level, in (0, 1): smaller ones keep more settings.

    Raises:
      ValueError: none has all its scores, or `alpha` is out of range.
    """
    wrong = isinstance(alpha, bool) or not isinstance(alpha, float | int | np.number) or not 0 < alpha < 1
    if wrong:
        raise ValueError(f"indistinguishable's alpha is {alpha!r}, but must lie between 0 and 1, such as 0.05")
    selection.check_finished(results)
    found = selection.order(results)
    best, others = found[0], found[1:]
    others = others[np.isfinite(selection.means(results)[0][others])]
    p = statistics.corrected_t(results.scores[best] - results.scores[others], test_share(results)).p
    # With one fold there is no p-value, and nothing that could tell.
    kept = others[statistics.holm(np.where(np.isnan(p), 1.0, p)) > alpha]
    return SettingResults(results, np.array([best, *kept], np.int64))


def test_share(results: Results) -> float:
    """The validation rows of a fold divided by those it trains and stops on, as the mean over folds."""
    folds = results.spec.numbered()
    return float(np.mean([len(fold.validation) / (len(fold.train) + len(fold.stopping)) for fold in folds]))
