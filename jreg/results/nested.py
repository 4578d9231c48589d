"""What a nested study found: the honest estimate of a whole procedure, beside the one that people report."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jreg import statistics
from jreg._base.brief import brief
from jreg.results.selection import SettingResult
from jreg.search.space import Setting
from jreg.training import Status

if TYPE_CHECKING:
    from jreg.results.results import Results
    from jreg.results.spec import Spec

# What the policy of such a study is called.
NESTED = "nested cross-validation"


class Estimate(NamedTuple):
    """A mean over outer folds.

    Attributes:
      mean: of the scores; NaN where one is.
      standard_error: of that mean, over outer folds.
      scores: ``(outer folds, seeds)``, one column where seeds are averaged already.
    """

    mean: float
    standard_error: float
    scores: np.ndarray

    __repr__ = brief

    @classmethod
    def of(cls, scores: np.ndarray) -> Estimate:
        """The estimate from these scores."""
        mean, error = statistics.mean_and_standard_error(scores)
        return cls(float(mean), float(error), scores)


class Nested:
    r"""What the trainings of a nested study say, as `Results.nested` gives it.

    .. math:: \text{estimate} = \frac1K \sum_k s_k(\hat\lambda_k), \qquad
       \text{naive} = \frac1K \sum_k \bar s_k(\hat\lambda_k), \qquad
       \text{optimism} = \pm(\text{naive} - \text{estimate})

    where :math:`\hat\lambda_k` is the setting that outer fold k's inner folds chose, :math:`s_k` the score on the outer
    fold's validation rows, which had no part in the choice, and :math:`\bar s_k` the mean score on the inner folds,
    which made it.

    Args:
      results: of a nested study.

    Raises:
      ValueError: they are of another one.

    Source: Varma and Simon, Bias in error estimation when using cross-validation for model selection (2006); Cawley and
    Talbot, On over-fitting in model selection and subsequent selection bias (2010).
    """

    def __init__(self, results: Results):
        self.results = results
        self._inner, self._outer = inner_folds(results.spec), [fold.number for fold in results.spec.numbered("outer")]

    def __repr__(self) -> str:
        return f"Nested({len(self._outer)} outer folds, {self.missing} trainings missing)"

    def inner(self, outer: int) -> Results:
        """The inner study of an outer fold, by its place: results that choose, rank and show as any do."""
        return self.results.part(self._inner[outer])

    @functools.cached_property
    def choices(self) -> list[SettingResult | None]:
        """By outer fold the setting that was chosen, as its inner folds judged it; None where no outer one has ended.

        Its `mean` is the inner mean score.
        """
        ended = (self._of_outer.status != Status.WAITING).any(axis=2)
        chosen = zip(ended.any(axis=0).tolist(), ended.argmax(axis=0).tolist(), strict=True)
        return [self.inner(k).settings[number] if known else None for k, (known, number) in enumerate(chosen)]

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """``(outer folds, seeds)``, of the chosen settings on rows that had no part in the choice; NaN where none."""
        found = np.full((len(self._outer), len(self.results.spec.seeds)), np.nan)
        for k, choice in enumerate(self.choices):
            if choice is not None:
                found[k] = self._of_outer.scores[choice.number, k]
        return found

    @functools.cached_property
    def epochs(self) -> np.ndarray:
        """``(outer folds, seeds)``, for how many epochs the outer trainings ran; 0 where they have not ended."""
        return self._of_outer.epochs.sum(axis=0)

    @functools.cached_property
    def undecided(self) -> list[int]:
        """The outer folds whose inner trainings have ended and left no setting with all its scores."""
        inner = {k: self.inner(k) for k, choice in enumerate(self.choices) if choice is None}
        return [k for k, found in inner.items() if (found.status != Status.WAITING).all() and not found.finished]

    def missing_of(self, outer: int) -> tuple[int, int]:
        """How many trainings of an outer fold, by its place, are still to end, and how many it has."""
        inner, seeds = self.inner(outer).status, self._of_outer.status.shape[2]
        wanted = 0 if outer in self.undecided else seeds
        ended = int((self._of_outer.status[:, outer] != Status.WAITING).sum())
        return int((inner == Status.WAITING).sum()) + wanted - ended, inner.size + wanted

    @property
    def missing(self) -> int:
        """How many trainings are still to end."""
        return sum(self.missing_of(k)[0] for k in range(len(self._outer)))

    @property
    def finished(self) -> bool:
        """Whether all trainings have ended, and each outer fold has chosen."""
        return not self.missing and not self.undecided

    @property
    def trouble(self) -> str:
        """Why there is no estimate, in words; "" where there is one."""
        if self.missing:
            return f"{self.missing} trainings are missing"
        if self.undecided:
            return (
                f"no setting has all its inner scores in outer fold {self.undecided[0]}, so that none was chosen there"
            )
        return ""

    @property
    def estimate(self) -> Estimate:
        """The honest one: the mean outer score of the whole procedure, the choice of a setting included.

        It is of a network that trains on the rows of an outer fold, some fewer than there are. Folds share rows, so its
        standard error is the customary one.

        Raises:
          ValueError: a training is missing, or an outer fold could choose nothing.
        """
        return Estimate.of(self._known(self.scores))

    @property
    def naive(self) -> Estimate:
        """The one that people report: the mean inner score of each outer fold's choice, on the rows that made it.

        Raises:
          ValueError: a training is missing, or an outer fold could choose nothing.
        """
        means = [np.nan if choice is None else choice.mean for choice in self.choices]
        return Estimate.of(self._known(np.array(means)[:, None]))

    @property
    def optimism(self) -> Estimate:
        """By how much the naive one flatters, fold by fold; above 0 it is better than the honest one.

        The inner networks trained on fewer rows than the outer ones, which hides a part of it.

        Raises:
          ValueError: a training is missing, or an outer fold could choose nothing.
        """
        flatters = self.naive.scores - self.estimate.scores.mean(axis=1, keepdims=True)
        return Estimate.of(flatters if self.results.maximize else -flatters)

    @property
    def stability(self) -> list[tuple[Setting, int]]:
        """The settings that were chosen and by how many outer folds, the most frequent first."""
        numbers = Counter(choice.number for choice in self.choices if choice is not None)
        return [(self.results.spec.settings[number], count) for number, count in numbers.most_common()]

    @functools.cached_property
    def _of_outer(self) -> Results:
        return self.results.part(self._outer)

    def _known(self, scores: np.ndarray) -> np.ndarray:
        if self.trouble:
            raise ValueError(f"the nested study has no estimate: {self.trouble}")
        return scores


def inner_folds(spec: Spec) -> list[list[int]]:
    """The numbers of the inner folds of each outer fold.

    Raises:
      ValueError: what is asked is no nested study.
    """
    numbers = spec.policy.get("numbers") if spec.policy.get("kind") == NESTED else None
    counts = numbers.get("inner") if isinstance(numbers, Mapping) else None
    numbers, outer = [fold.number for fold in spec.numbered("inner")], spec.numbered("outer")
    if (
        not isinstance(counts, list | tuple)
        or not all(isinstance(count, int) and count > 0 for count in counts)
        or not 0 < len(counts) == len(outer)
        or sum(counts) != len(numbers)
    ):
        raise ValueError("these are no results of jreg.nested_cross_validate, so they have no honest estimate")
    ends = list(itertools.accumulate(counts, initial=0))
    return [numbers[first:last] for first, last in itertools.pairwise(ends)]
