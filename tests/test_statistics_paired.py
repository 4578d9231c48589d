"""Two settings on the same folds or rows: against published examples, other libraries and slow loops."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from jreg.statistics import (
    corrected_t,
    correlated_t,
    mcnemar,
    mean_and_standard_error,
    paired_bootstrap,
    paired_difference,
)

NAN = math.nan


def accuracy(targets, predicted):
    return (targets == predicted).mean()


def repeated(counts):
    """Differences ``(folds, 1)`` from each value's count."""
    return np.repeat(list(counts), list(counts.values()))[:, None]


# Accuracy of naive Bayes less that of AODE in 10 times 10 folds; data of https://github.com/BayesianTestsML/tutorial,
# whose notebook 2 prints the p-values, intervals and posterior scales below.
HEPATITIS = repeated(
    {-0.01061: 1, -0.00796: 3, -0.00795: 1, -0.00793: 1, -0.00531: 7, -0.0053: 10, -0.00529: 4, -0.00266: 12}
    | {-0.00265: 15, -0.00264: 6, 0.0: 27, 0.00264: 1, 0.00265: 8, 0.00266: 3, 0.0053: 1}
)  # fmt: skip
SQUASH = repeated({-0.6: 2, -0.4: 4, -0.33333: 2, -0.2: 18, -0.16667: 2, 0.0: 63, 0.2: 9})


def test_the_tutorial_of_benavoli_and_others():
    found = corrected_t(HEPATITIS, 1 / 9)
    assert found.degrees == 99
    np.testing.assert_allclose(found.p, 0.047573247196149436, rtol=1e-9)
    np.testing.assert_allclose(found.mean, -0.002120899768821926, rtol=2e-7)  # theirs has a prior of variance 1e6
    np.testing.assert_allclose(found.error, 0.0010572234264579394, rtol=2e-7)
    interval = paired_difference(HEPATITIS, np.zeros((100, 1)), 1 / 9)
    np.testing.assert_allclose([interval.low, interval.high], [-0.00421866, -2.31392e-5], rtol=2e-6)
    squash = corrected_t(SQUASH, 1 / 9)
    np.testing.assert_allclose(squash.error, 0.05423222985646852, rtol=2e-7)
    assert round(float(squash.p), 3) == 0.304


def test_the_example_of_scikit_learn():
    # examples/model_selection/plot_grid_search_stats.py: AUC of the kernel rbf less that of the linear one, 10 x 10
    # folds: corrected t 0.750, one-sided p 0.227, probability of rbf being better 0.773, and with a region of 0.01
    # 0.068 worse, 0.432 equivalent, 0.500 better.
    differences = repeated({-0.12: 1, -0.08: 2, -0.04: 10, 0.0: 53, 0.04: 29, 0.08: 4, 0.2: 1})
    found = corrected_t(differences, 10 / 90)
    assert (round(float(found.statistic), 3), round(float(found.p) / 2, 3)) == (0.750, 0.227)
    assert [round(float(p), 3) for p in correlated_t(differences, 10 / 90, rope=0.01)] == [0.068, 0.432, 0.500]
    assert round(float(correlated_t(differences, 10 / 90, rope=0.0).right), 3) == 0.773


@pytest.mark.parametrize("seeds", [1, 3])
def test_without_the_share_it_is_the_paired_t_test(seeds):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 7, seeds))
    expected = stats.ttest_rel(a.mean(axis=-1), b.mean(axis=-1), axis=-1)
    found, interval = corrected_t(a - b, 0.0), paired_difference(a, b, 0.0, confidence=0.9)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-11)
    np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-11)
    low, high = expected.confidence_interval(0.9)
    np.testing.assert_allclose([interval.low, interval.high], [low, high], rtol=1e-10)
    np.testing.assert_allclose(found.mean, mean_and_standard_error(a - b)[0], rtol=1e-12)
    np.testing.assert_allclose(found.error, mean_and_standard_error(a - b)[1], rtol=1e-12)


@pytest.mark.parametrize(("folds", "share"), [(2, 1.0), (5, 0.25), (30, 1 / 9)])
def test_both_tests_agree(folds, share):
    differences = np.random.default_rng(folds).normal(0.3, size=(50, folds, 2))
    p, posterior = corrected_t(differences, share).p, correlated_t(differences, share, rope=0.0)
    np.testing.assert_allclose(2 * np.minimum(posterior.left, posterior.right), p, rtol=1e-9)
    assert (posterior.rope < 1e-12).all()
    # The interval of confidence has that posterior probability: a region that reaches to its end on one side.
    found = paired_difference(differences, np.zeros_like(differences), share, confidence=0.8)
    for one, low, high in zip(differences, found.low, found.high, strict=True):
        half = (high - low) / 2
        shifted = correlated_t(one - (low + high) / 2, share, rope=half)
        np.testing.assert_allclose(shifted, [0.1, 0.8, 0.1], rtol=1e-7)


def test_the_posterior_is_the_integral_of_a_likelihood_with_correlated_folds():
    # p(mu, s | d) with the covariance s (1 - rho) I + s rho 1 1' and the prior 1 / s, on a grid.
    d, rho = np.array([0.3, -0.1, 0.5, 0.2]), 0.2
    precision = np.linalg.inv((1 - rho) * np.eye(4) + rho)
    mu, log_s = np.meshgrid(np.arange(-6, 6, 0.01) + 0.005, np.linspace(-9, 9, 301), indexing="ij")
    left = d[:, None, None] - mu
    quadratic = np.einsum("iab,ij,jab->ab", left, precision, left)
    density = np.exp(-2 * log_s - quadratic * np.exp(-log_s) / 2)
    shares = [(density * part).sum() / density.sum() for part in (mu < -0.1, abs(mu) <= 0.1, mu > 0.1)]
    np.testing.assert_allclose(correlated_t(d[:, None], rho / (1 - rho), rope=0.1), shares, atol=5e-4)


def test_differences_that_are_all_equal_leave_no_doubt():
    differences = np.array([0.0, 0.25, -0.25])[:, None, None] * np.ones((4, 1))
    found = corrected_t(differences, 1 / 3)
    assert found.p.tolist() == [1.0, 0.0, 0.0]
    assert found.statistic.tolist() == [0.0, math.inf, -math.inf]
    assert np.stack(correlated_t(differences, 1 / 3, rope=0.0)).T.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert np.stack(correlated_t(differences, 1 / 3, rope=0.25)).T.tolist() == [[0, 1, 0]] * 3


def test_what_can_not_be_known_is_nan():
    one_fold = np.array([[0.1, 0.2, 0.3]])
    assert np.isnan(corrected_t(one_fold, 0.25)[1:4]).all()
    assert corrected_t(one_fold, 0.25).mean == pytest.approx(0.2)
    assert np.isnan(correlated_t(one_fold, 0.25, 0.1)).all()
    assert np.isnan(paired_difference(one_fold, 0 * one_fold, 0.25)[1:]).all()
    lost = np.array([[[0.1], [NAN]], [[0.1], [0.3]], [[math.inf], [0.1]]])
    assert np.isnan(corrected_t(lost, 1.0).p).tolist() == [True, False, True]
    assert np.isnan(correlated_t(lost, 1.0, 0.01).right).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: corrected_t(np.zeros(3), 0.1), ValueError, r"differences have shape \(3,\), but must have one of"),
        (lambda: corrected_t(np.zeros((0, 1)), 0.1), ValueError, r"differences have shape \(0, 1\)"),
        (lambda: corrected_t(np.array([["a"]]), 0.1), TypeError, "differences have dtype <U1, but must be numbers"),
        (
            lambda: corrected_t(np.zeros((2, 1)), -0.1),
            ValueError,
            "test_share is -0.1, but must be finite and at least",
        ),
        (lambda: corrected_t(np.zeros((2, 1)), NAN), ValueError, "test_share is nan"),
        (lambda: corrected_t(np.zeros((2, 1)), True), TypeError, "test_share is True, but must be the validation rows"),
        (lambda: corrected_t(np.zeros((2, 1)), "0.1"), TypeError, "test_share is '0.1'"),
        (lambda: correlated_t(np.zeros((2, 1)), 0.1, -1), ValueError, "rope is -1, but must be at least 0"),
        (lambda: correlated_t(np.zeros((2, 1)), 0.1, NAN), ValueError, "rope is nan"),
        (lambda: correlated_t(np.zeros((2, 1)), 0.1, (0, 1)), TypeError, r"rope is \(0, 1\), but must be a number"),
        (
            lambda: paired_difference(np.zeros((3, 1)), np.zeros((1, 1)), 0.1),
            ValueError,
            r"shapes \(3, 1\) and \(1, 1\), but must be of the same folds",
        ),
        (lambda: paired_difference(*np.zeros((2, 3, 1)), 0.1, confidence=95), ValueError, "confidence is 95, but"),
        (lambda: mcnemar(np.ones(3), np.ones(3)), TypeError, "dtypes float64 and float64, but must be flags"),
        (lambda: mcnemar(np.ones(3, bool), np.ones(2, bool)), ValueError, r"shapes \(3,\) and \(2,\)"),
        (lambda: mcnemar(np.ones(0, bool), np.ones(0, bool)), ValueError, r"shapes \(0,\) and \(0,\)"),
        (lambda: bootstrap(targets=np.zeros(2)), ValueError, r"shapes \(2,\), \(4,\), \(4,\), but must be of the same"),
        (lambda: bootstrap(seed=-1), ValueError, "seed is -1, but must be at least 0"),
        (lambda: bootstrap(seed=0.5), TypeError, "seed is 0.5, but must be a whole number"),
        (lambda: bootstrap(resamples=0), ValueError, "resamples is 0"),
        (lambda: bootstrap(confidence=1), ValueError, "confidence is 1, but must lie between"),
        (
            lambda: bootstrap(groups=np.zeros(3)),
            ValueError,
            r"groups have shape \(3,\), but must have one for each of 4",
        ),
        (lambda: bootstrap(metric=lambda t, p: NAN), ValueError, "metric differs by nan for some of the rows"),
    ],
)
def test_what_is_no_comparison_is_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def bootstrap(seed=0, metric=accuracy, targets=(0, 0, 0, 0), **options):
    return paired_bootstrap(seed, metric, targets, [0, 0, 0, 0], [1, 1, 1, 1], **options)


# predictions


def test_mcnemar_is_a_sum_of_binomial_coefficients():
    for only_a, only_b, neither in [(0, 0, 3), (5, 1, 2), (1, 5, 0), (4, 4, 1), (86, 150, 9), (0, 7, 0)]:
        a = np.repeat([True, False, True], [only_a, only_b, neither])
        b = np.repeat([False, True, True], [only_a, only_b, neither])
        total = only_a + only_b
        tail = sum(math.comb(total, i) for i in range(min(only_a, only_b) + 1))
        found = mcnemar(a, b)
        assert (found.only_a, found.only_b) == (only_a, only_b)
        assert found.p == pytest.approx(min(1, 2 * tail / 2**total), rel=1e-12)


def test_a_bootstrap_of_few_rows_is_the_average_over_all_resamples():
    targets, a, b = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.5]), np.array([2.0, 2.5, 4.5])

    def error(targets, predicted):
        return np.abs(targets - predicted).max()  # not additive, so that pairs of rows matter

    resamples = map(list, itertools.product(range(3), repeat=3))
    every = np.array([error(targets[rows], a[rows]) - error(targets[rows], b[rows]) for rows in resamples])
    found = paired_bootstrap(0, error, targets, a, b, resamples=4000, confidence=0.8)
    assert found.difference == error(targets, a) - error(targets, b)
    assert {found.low, found.high} <= set(every)
    # Of 4,000 the shares lie within 5 standard errors, which fails with probability 1e-6.
    below, above = (every <= 0).mean(), (every >= 0).mean()
    allowed = 2 * 5 * math.sqrt(0.25 / 4000)
    assert found.p == pytest.approx(min(1, 2 * min(below, above)), abs=allowed)
    again = paired_bootstrap(0, error, targets, a, b, resamples=4000, confidence=0.8)
    assert again == found


def test_the_interval_of_an_additive_metric_is_that_of_scipy():
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 3, 200)
    a, b = (np.where(rng.random(200) < share, targets, 9) for share in (0.9, 0.75))
    found = paired_bootstrap(1, accuracy, targets, a, b, resamples=2000)
    differences = (targets == a).astype(float) - (targets == b)
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    # Standard errors of the quantiles are about 1/40 of the interval's half width at 2,000 resamples.
    half = (theirs.high - theirs.low) / 2
    np.testing.assert_allclose([found.low, found.high], theirs, atol=0.2 * half)
    assert found.p <= 2 * 3 / 2001


def test_groups_are_drawn_whole():
    # Each group has one right and one wrong row of a, so that whole groups leave no doubt.
    groups = np.array(["x", "y", "z", "z", "y", "x"])
    targets, a, b = np.zeros(6), np.array([0, 0, 0, 1, 1, 1]), np.ones(6)
    found = paired_bootstrap(0, accuracy, targets, a, b, groups=groups, resamples=200)
    assert (found.difference, found.low, found.high) == (0.5, 0.5, 0.5)
    alone = paired_bootstrap(0, accuracy, targets, a, b, resamples=200)
    assert alone.low < 0.5 < alone.high


def test_scores_of_classes_may_have_several_columns():
    rng = np.random.default_rng(5)
    targets = np.arange(60) % 3
    a, b = rng.dirichlet(np.ones(3), (2, 60))

    def auc(targets, scores):
        return roc_auc_score(targets, scores, multi_class="ovr")

    found = paired_bootstrap(0, auc, targets, a, b, resamples=20)
    assert found.difference == auc(targets, a) - auc(targets, b)
    assert found.low <= found.difference <= found.high


@pytest.mark.parametrize("folds", [5, 20])
def test_equally_good_settings_are_told_apart_as_often_as_alpha_says(folds):
    # The correlation for which the test is exact; the bounds leave a right test with probability 1e-6.
    share, trials, alpha = 1 / (folds - 1), 20_000, 0.05
    rho = share / (1 + share)
    rng = np.random.default_rng(folds)
    differences = math.sqrt(rho) * rng.normal(size=(trials, 1)) + math.sqrt(1 - rho) * rng.normal(size=(trials, folds))
    low, high = stats.binom.ppf([0.5e-6, 1 - 0.5e-6], trials, alpha)
    assert low <= (corrected_t(differences[..., None], share).p <= alpha).sum() <= high
    assert (corrected_t(differences[..., None], 0.0).p <= alpha).sum() > high
    posterior = correlated_t(differences[..., None], share, rope=0.0)
    assert low <= (np.maximum(posterior.left, posterior.right) >= 1 - alpha / 2).sum() <= high
