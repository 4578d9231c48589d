"""Adjusted p-values, variance components and power: against published examples, slow loops and simulated truth."""

import math

import numpy as np
import pytest
from scipy import stats

from jreg.statistics import (
    VarianceComponents,
    benjamini_hochberg,
    corrected_t,
    holm,
    needed,
    power,
    variance_components,
)

NAN = math.nan
# Benjamini and Hochberg (1995), section 3.2: 15 p-values, of which their procedure rejects four at 0.05, and
# Bonferroni's and Hochberg's three.
FIFTEEN = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1]
)


@pytest.mark.parametrize("seed", range(4))
def test_the_published_example_in_any_order(seed):
    order = np.random.default_rng(seed).permutation(15)
    assert (benjamini_hochberg(FIFTEEN[order]) <= 0.05).tolist() == (order < 4).tolist()
    assert (holm(FIFTEEN[order]) <= 0.05).tolist() == (order < 3).tolist()
    np.testing.assert_array_equal(holm(FIFTEEN[order]), holm(FIFTEEN)[order])


def test_adjusted_p_values_are_the_smallest_levels_that_reject():
    def holm_rejects(p, alpha):
        left = sorted(range(len(p)), key=lambda i: p[i])
        rejected = set()
        while left and p[left[0]] * len(left) <= alpha:
            rejected.add(left.pop(0))
        return rejected

    def step_up_rejects(p, alpha):
        order = sorted(range(len(p)), key=lambda i: p[i])
        last = max((i + 1 for i, number in enumerate(order) if p[number] * len(p) / (i + 1) <= alpha), default=0)
        return set(order[:last])

    rng = np.random.default_rng(0)
    for _ in range(200):
        p = np.round(rng.random(rng.integers(1, 8)) ** 3, 2)  # with ties and zeros
        for adjust, rejects in ((holm, holm_rejects), (benjamini_hochberg, step_up_rejects)):
            adjusted = adjust(p)
            for alpha in [*adjusted * (1 + 1e-9), *adjusted * (1 - 1e-9), 0.05]:
                if alpha < 1:
                    assert set(np.flatnonzero(adjusted <= alpha)) == rejects(p, alpha)
        np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12)


def test_no_tests_and_whole_numbers_are_fine():
    assert holm([]).shape == benjamini_hochberg([]).shape == (0,)
    assert holm([0, 1]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize(
    ("p", "error", "sentence"),
    [
        ([0.1, NAN], ValueError, r"p-values have nan, but must lie in \[0, 1\]"),
        ([0.1, 1.5], ValueError, "p-values have 1.5"),
        ([-0.1], ValueError, "p-values have -0.1"),
        ([[0.1]], ValueError, r"p-values have shape \(1, 1\), but must have one axis"),
        (0.1, ValueError, r"p-values have shape \(\)"),
        (["0.1"], TypeError, "p-values have dtype <U3"),
        ([True], TypeError, "p-values have dtype bool"),
    ],
)
def test_what_is_no_p_value_is_refused(adjust, p, error, sentence):
    with pytest.raises(error, match=f"^{adjust.__name__}'s {sentence}"):
        adjust(p)


# where the spread comes from


def test_components_are_those_of_the_table_of_an_analysis_of_variance():
    scores = np.random.default_rng(0).normal(size=(20, 5, 3)) + np.random.default_rng(1).normal(size=(5, 1))
    for one, *found in zip(scores, *variance_components(scores), strict=True):
        whole = one.mean()
        between = 3 * sum((row.mean() - whole) ** 2 for row in one) / 4
        seeds = 5 * sum((column.mean() - whole) ** 2 for column in one.T) / 2
        cells = [one[k, s] - one[k].mean() - one[:, s].mean() + whole for k in range(5) for s in range(3)]
        rest = sum(cell**2 for cell in cells) / 8
        np.testing.assert_allclose(found, [(between - rest) / 3, (seeds - rest) / 5, rest], rtol=1e-10)


@pytest.mark.parametrize("truth", [(4.0, 0.0, 1.0), (0.0, 2.0, 1.0), (1.0, 1.0, 0.25)])
def test_components_are_unbiased(truth):
    trials, folds, seeds = 20_000, 5, 4
    rng = np.random.default_rng(2)
    shapes = ((trials, folds, 1), (trials, 1, seeds), (trials, folds, seeds))
    scores = sum(math.sqrt(value) * rng.normal(size=shape) for value, shape in zip(truth, shapes, strict=True))
    for found, value in zip(variance_components(scores), truth, strict=True):
        # Five standard errors: each fails with probability 6e-7.
        assert abs(found.mean() - value) < 5 * found.std() / math.sqrt(trials)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_fold_or_seed_tells_nothing_apart(shape):
    with pytest.raises(ValueError, match=f"{shape[0]} folds and {shape[1]} seeds, but at least two of each"):
        variance_components(np.zeros(shape))


# plans


@pytest.mark.parametrize(
    ("folds", "seeds", "share", "alpha"), [(5, 1, 0.25, 0.05), (5, 4, 0.25, 0.01), (30, 2, 1 / 9, 0.05), (2, 3, 1, 0.2)]
)
def test_power_is_how_often_a_simulated_study_sees_the_difference(folds, seeds, share, alpha):
    components, trials = VarianceComponents(*np.array([1.0, 0.0, 2.0])), 20_000
    rho = share / (1 + share)
    rng = np.random.default_rng(folds)
    # The spread within one data set is what the components say; what all folds share comes on top of it.
    variance = (1 + 2 / seeds) / (1 - rho)
    common, own = rng.normal(size=(trials, 1)), rng.normal(size=(trials, folds))
    by_fold = math.sqrt(variance) * (math.sqrt(rho) * common + math.sqrt(1 - rho) * own)
    for difference in (0.0, 1.0, 3.0):
        seen = (corrected_t(by_fold[..., None] + difference, share).p <= alpha).sum()
        expected = power(difference, components, folds, seeds, share, alpha=alpha)
        low, high = stats.binom.ppf([1e-7, 1 - 1e-7], trials, expected)
        assert low <= seen <= high
        assert power(-difference, components, folds, seeds, share, alpha=alpha) == expected


def test_power_without_a_share_is_that_of_the_paired_t_test():
    components = VarianceComponents(*np.array([0.5, 9.0, 0.5]))
    for folds, difference in ((5, 0.5), (20, 1.0)):
        limit = stats.t.isf(0.025, folds - 1)
        # An integral over the sample's standard deviation instead of the noncentral t.
        q = (np.arange(20_000) + 0.5) / 20_000
        ratio = np.sqrt(stats.chi2.ppf(q, folds - 1) / (folds - 1))
        away = difference * math.sqrt(folds)
        expected = (stats.norm.sf(limit * ratio - away) + stats.norm.cdf(-limit * ratio - away)).mean()
        assert power(difference, components, folds, 1, 0.0) == pytest.approx(expected, abs=1e-5)


def test_power_at_its_ends():
    nothing = VarianceComponents(*np.array([-1.0, 0.0, 0.0]))
    assert power(0.1, nothing, 5, 1, 0.25) == 1.0
    assert power(0.0, nothing, 5, 1, 0.25, alpha=0.01) == 0.01
    some = VarianceComponents(*np.array([1.0, 0.0, 1.0]))
    for folds in (2, 3, 5, 100):
        rising = [power(d, some, folds, 2, 0.1) for d in (0.0, 1e-6, 1.0, 10.0, 100.0, 1e4, 1e9)]
        assert rising == sorted(rising)
        assert rising[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.25, 1 / 9])
@pytest.mark.parametrize("components", [(1e-4, 0, 1e-3), (1e-3, 0, 1e-5), (0, 0, 1e-2)])
def test_needed_is_the_best_of_all_plans(share, components):
    components = VarianceComponents(*np.array(components))
    plans = [
        (folds * seeds, seeds, folds)
        for folds in range(2, 61)
        for seeds in range(1, 60 // folds + 1)
        if power(0.06, components, folds, seeds, share) >= 0.7
    ]
    if not plans:
        with pytest.raises(ValueError, match=r"finds no folds and seeds of at most 60 trainings for a power of 0\.7"):
            needed(0.06, components, share, wanted=0.7, most=60)
        return
    _, seeds, folds = min(plans)
    found = needed(0.06, components, share, wanted=0.7, most=60)
    assert (found.folds, found.seeds) == (folds, seeds)
    assert found.power == power(0.06, components, folds, seeds, share) >= 0.7


SOME = VarianceComponents(*np.array([1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: power(0.1, SOME, 1, 1, 0.1), ValueError, "power's folds is 1, but must be at least 2"),
        (lambda: power(0.1, SOME, 5, 0, 0.1), ValueError, "power's seeds is 0"),
        (lambda: power(0.1, SOME, 5.0, 1, 0.1), TypeError, "power's folds is 5.0, but must be a whole number"),
        (lambda: power(NAN, SOME, 5, 1, 0.1), ValueError, "power's difference is nan, but must be finite"),
        (lambda: power("1", SOME, 5, 1, 0.1), TypeError, "power's difference is '1'"),
        (lambda: power(0.1, SOME, 5, 1, 0.1, alpha=0), ValueError, "power's alpha is 0, but must lie between"),
        (lambda: power(0.1, SOME, 5, 1, -1), ValueError, "power's test_share is -1"),
        (
            lambda: power(0.1, VarianceComponents(*np.ones((3, 2))), 5, 1, 0.1),
            ValueError,
            r"components have array\(\[1., 1.\]\), but must be one finite number each",
        ),
        (lambda: power(0.1, VarianceComponents(*np.full(3, NAN)), 5, 1, 0.1), ValueError, "components have"),
        (lambda: needed(0.1, SOME, 0.1, wanted=0.05), ValueError, "wanted is 0.05, but must be above its alpha"),
        (lambda: needed(0.1, SOME, 0.1, wanted=1.0), ValueError, "wanted is 1.0, but must lie between"),
        (lambda: needed(0.1, SOME, 0.1, most=1), ValueError, "most is 1, but must be at least 2"),
        (lambda: needed(0.0, SOME, 0.1, most=50), ValueError, "the difference of 0 has 0.05 there"),
    ],
)
def test_what_is_no_plan_is_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
