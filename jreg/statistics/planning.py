"""Where the spread of scores comes from, and how many folds and seeds it takes to see a difference through it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jreg._base import checks
from jreg.statistics import _arguments as arguments


class VarianceComponents(NamedTuple):
    """Where the variance of scores comes from, an array ``(...)`` each; unbiased, so below 0 now and then.

    Attributes:
      folds: between folds, whatever the seed.
      seeds: between seeds, whatever the fold.
      rest: of one training, that neither says.
    """

    folds: np.ndarray
    seeds: np.ndarray
    rest: np.ndarray


class Needed(NamedTuple):
    """What it takes to see a difference.

    Attributes:
      folds, seeds: how many of each.
      power: the probability to see it with them.
    """

    folds: int
    seeds: int
    power: float


def variance_components(scores: np.ndarray) -> VarianceComponents:
    r"""Splits the variance of scores, or of paired differences, into folds, seeds and the rest.

    .. math:: \hat\sigma^2 = \mathrm{MS}_{\text{rest}}, \qquad
       \hat\sigma^2_{\text{folds}} = \frac{\mathrm{MS}_{\text{folds}} - \mathrm{MS}_{\text{rest}}}{S}, \qquad
       \hat\sigma^2_{\text{seeds}} = \frac{\mathrm{MS}_{\text{seeds}} - \mathrm{MS}_{\text{rest}}}{K}

    the estimators of a two-way layout of random effects with K folds, S seeds and one score in each cell. In a study a
    training's key comes from its seed and its fold together, so what a seed changes is in the rest, and a seed's own
    part is 0 but for chance. Folds share training rows: their part is what this data set shows, not what others would.

    Args:
      scores: ``(..., folds, seeds)`` with at least two of each; NaN gives NaN.

    Raises:
      ValueError, TypeError: the shape is another one.

    >>> found = variance_components(np.array([[0.90, 0.92], [0.80, 0.84], [0.85, 0.87]]))
    >>> [round(float(value), 6) for value in found]
    [0.002, 0.000333, 6.7e-05]

    Source: Searle, Casella and McCulloch, Variance components (1992), section 4.3.
    """
    found = arguments.scores(scores, "variance_components' scores")
    folds, seeds = found.shape[-2:]
    if folds < 2 or seeds < 2:
        raise ValueError(
            f"variance_components' scores are of {folds} folds and {seeds} seeds, but at least two of each are "
            "needed to tell them apart"
        )
    by_fold, by_seed = found.mean(axis=-1), found.mean(axis=-2)
    whole = found.mean(axis=(-2, -1))[..., None, None]
    left = found - by_fold[..., :, None] - by_seed[..., None, :] + whole
    rest = (left**2).sum(axis=(-2, -1)) / ((folds - 1) * (seeds - 1))
    return VarianceComponents(
        by_fold.var(axis=-1, ddof=1) - rest / seeds, by_seed.var(axis=-1, ddof=1) - rest / folds, rest
    )


def power(
    difference: float, components: VarianceComponents, folds: int, seeds: int, test_share: float, *, alpha: float = 0.05
) -> float:
    r"""The probability that `corrected_t` sees a difference.

    .. math:: \Pr\big(|t'_{J-1}(\delta)| > t_{J-1,\,1-\alpha/2}\big), \qquad
       \delta = \frac{\Delta}{\sqrt{\left(\frac1J + \frac{n_2}{n_1}\right)
       \left(\sigma^2_{\text{folds}} + \sigma^2_{\text{rest}} / S\right)}}

    with a noncentral t of J folds and S seeds, for normal differences whose folds are correlated as the test assumes.
    Components below 0 count as 0; that of the seeds doesn't count, because in a study there is none. They come from few
    folds, so the result is a plan and no promise.

    Args:
      difference: the true one between two settings, in units of the score.
      components: of the *paired differences* between them, ``variance_components(a - b)``.
      folds: how many, at least 2; repeats of k-fold count as folds.
      seeds: how many, at least 1.
      test_share: the validation rows of a fold divided by its training rows.
      alpha: the level of the two-sided test.

    Raises:
      ValueError, TypeError: a number is out of range.

    >>> components = VarianceComponents(*np.array([1e-4, 0.0, 4e-4]))
    >>> [round(power(0.02, components, folds=5, seeds=seeds, test_share=0.25), 3) for seeds in (1, 4, 16)]
    [0.179, 0.366, 0.525]

    Source: Student's noncentral t; the correction is that of `corrected_t`.
    """
    from scipy.stats import nct, t

    difference = arguments.number(difference, "power's difference", "a number in units of the score")
    folds, seeds = checks.count(folds, "power's folds", least=2), checks.count(seeds, "power's seeds")
    share = arguments.test_share(test_share, "power's test_share")
    alpha = arguments.level(alpha, "power's alpha")
    between, rest = (_variance(value, "power's components") for value in (components[0], components[2]))
    if not np.isfinite(difference):
        raise ValueError(f"power's difference is {difference}, but must be finite, in units of the score")
    variance = (between + rest / seeds) * (1 / folds + share)
    if not difference:
        return alpha
    if not variance:
        return 1.0
    away, limit = abs(difference) / np.sqrt(variance), t.isf(alpha / 2, folds - 1)
    # On the other side scipy has NaN where the probability is below 1e-40.
    return float(min(1.0, nct.sf(limit, folds - 1, away) + np.nan_to_num(nct.cdf(-limit, folds - 1, away))))


def needed(
    difference: float,
    components: VarianceComponents,
    test_share: float,
    *,
    wanted: float = 0.8,
    alpha: float = 0.05,
    most: int = 1000,
) -> Needed:
    """The fewest trainings of a setting, folds times seeds, with which `power` is at least `wanted`.

    All folds have the same `test_share`, so more than 1 + 1 / test_share of them are repeats of k-fold. More of them
    help only so far, since all repeats share one data set: where no number is enough, more rows are.

    Args:
      difference: the true one between two settings, in units of the score.
      components: of the paired differences between them.
      test_share: the validation rows of a fold divided by its training rows.
      wanted: the power, above `alpha` and below 1.
      alpha: the level of the two-sided test.
      most: trainings of a setting that are still thought of, at least 2.

    Raises:
      ValueError, TypeError: a number is out of range, or that many trainings aren't enough.

    >>> found = needed(0.02, VarianceComponents(*np.array([1e-5, 0.0, 1e-4])), test_share=1 / 9)
    >>> found.folds, found.seeds, round(found.power, 3)
    (6, 1, 0.822)

    Source: as `power`.
    """
    alpha, most = arguments.level(alpha, "needed's alpha"), checks.count(most, "needed's most", least=2)
    if not alpha < arguments.level(wanted, "needed's wanted"):
        raise ValueError(f"needed's wanted is {wanted}, but must be above its alpha, {alpha}, and below 1")

    def enough(folds: int, seeds: int) -> bool:
        return power(difference, components, folds, seeds, test_share, alpha=alpha) >= wanted

    best: tuple[int, int] | None = None
    seeds, limit = 1, most
    while 2 * seeds <= limit:
        # Power rises with folds, so the first number that is enough lies where it changes.
        low, high = 2, limit // seeds
        if enough(high, seeds):
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if enough(middle, seeds) else (middle + 1, high)
            best = (low, seeds)
            limit = low * seeds - 1
        seeds += 1
    if best is None:
        reached = max(power(difference, components, most // s, s, test_share, alpha=alpha) for s in (1, most // 2))
        raise ValueError(
            f"needed finds no folds and seeds of at most {most} trainings for a power of {wanted}: the difference of "
            f"{difference:g} has {reached:.2g} there; look for a larger one, or take more rows"
        )
    return Needed(*best, power(difference, components, *best, test_share, alpha=alpha))


def _variance(value: np.ndarray | float, name: str) -> float:
    """A variance component as one number of at least 0."""
    if np.size(value) != 1 or not np.isfinite(value).all():
        raise ValueError(f"{name} have {value!r}, but must be one finite number each: those of one pair of settings")
    return max(0.0, float(np.asarray(value).reshape(())))
