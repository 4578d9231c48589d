import math
import re

import numpy as np
import pytest
from scipy.stats import norm

from jreg.statistics import best_of, binomial_interval, mean_and_standard_error, one_standard_error

NAN, INF = math.nan, math.inf


def test_mean_and_standard_error_over_folds_of_the_means_over_seeds():
    # Folds' means 2, 4 and 9: mean 5, deviations -3, -1 and 4, so SE = sqrt(26 / (3 * 2)).
    mean, error = mean_and_standard_error(np.array([[1.0, 3.0], [4.0, 4.0], [7.0, 11.0]]))
    assert mean == 5.0
    np.testing.assert_allclose(error, math.sqrt(26 / 6), rtol=1e-15)


def test_one_fold_takes_its_seeds_in_the_folds_place():
    mean, error = mean_and_standard_error(np.array([[1.0, 2.0, 6.0]]))  # deviations -2, -1, 3
    assert mean == 3.0
    np.testing.assert_allclose(error, math.sqrt(14 / 6), rtol=1e-15)


def test_one_seed_and_one_fold_have_no_error():
    mean, error = mean_and_standard_error(np.array([[[0.5]], [[0.75]]]))
    assert mean.tolist() == [0.5, 0.75]
    assert np.isnan(error).tolist() == [True, True]


@pytest.mark.parametrize("shape", [(5, 3), (4, 5, 3), (2, 4, 5, 1)])
def test_leading_axes_are_kept(shape):
    scores = np.random.default_rng(0).normal(size=shape)
    mean, error = mean_and_standard_error(scores)
    folds = scores.mean(axis=-1)
    deviations = folds - folds.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(mean, folds.sum(axis=-1) / 5, rtol=1e-14)
    np.testing.assert_allclose(error, np.sqrt((deviations**2).sum(axis=-1) / (5 * 4)), rtol=1e-14)
    assert mean.shape == error.shape == shape[:-2]


def test_a_diverged_fold_makes_its_setting_nan_and_no_other():
    mean, error = mean_and_standard_error(np.array([[[1.0], [NAN]], [[1.0], [2.0]]]))
    assert np.isnan([mean[0], error[0]]).all()
    assert (mean[1], error[1]) == (1.5, 0.5)


@pytest.mark.parametrize(
    ("means", "maximize", "best"),
    [
        ([0.1, 0.3, 0.2], True, 1),
        ([0.1, 0.3, 0.2], False, 0),
        ([NAN, 0.3, 0.2], True, 1),
        ([NAN, 0.3, 0.2], False, 2),
        ([0.2, INF, -INF], True, 0),
        ([0.2, INF, -INF], False, 0),
        ([0.3, 0.3], True, 0),
        ([-5.0, NAN], True, 0),
    ],
)
def test_best_of_ranks_what_is_not_finite_last(means, maximize, best):
    assert best_of(np.array(means), maximize) == best


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("means", [[NAN, NAN], [INF, -INF], [NAN]])
def test_no_finite_mean_has_no_best(means, maximize):
    with pytest.raises(ValueError, match="every setting has a training that diverged"):
        best_of(np.array(means), maximize)
    with pytest.raises(ValueError, match="every setting has a training that diverged"):
        one_standard_error(np.array(means), np.ones(len(means)), np.arange(len(means)), maximize)


@pytest.mark.parametrize(
    ("means", "errors", "strengths", "maximize", "chosen"),
    [
        # Best is 1 with 0.75; within 0.25 are 0.5 and more: settings 1, 2, 3; the strongest of them is 3.
        ([0.25, 0.75, 0.625, 0.5, 0.375], [0.25] * 5, [0, 1, 2, 3, 4], True, 3),
        # The error that counts is the best setting's own.
        ([0.25, 0.75, 0.625, 0.5, 0.375], [9, 0.125, 9, 9, 9], [0, 1, 2, 3, 4], True, 2),
        # Stronger settings that are worse by more than the error are out, weaker ones are never chosen.
        ([0.75, 0.5, 0.25], [0.125] * 3, [1, 2, 3], True, 0),
        ([0.75, 0.6875], [0.125] * 2, [1, 0], True, 0),
        # Minimized: best is 0 with 0.25, within 0.25 are 0.5 and less.
        ([0.25, 0.5, 0.75], [0.25] * 3, [0, 1, 2], False, 1),
        ([0.25, 0.5, 0.5], [0.25] * 3, [0, 1, 1], False, 1),
        # Of equal strength the better mean wins.
        ([0.75, 0.625, 0.6875], [0.25] * 3, [0, 2, 2], True, 2),
        ([0.25, 0.375, 0.3125], [0.25] * 3, [0, 2, 2], False, 2),
        # NaN is never chosen, however strong.
        ([0.75, NAN, 0.625], [0.25] * 3, [0, 9, 1], True, 2),
        ([0.75, NAN, 0.875], [0.25] * 3, [0, 9, 1], False, 2),
        # Without an error (one fold, one seed) only a tie with the best counts.
        ([0.75, 0.7421875, 0.75], [NAN] * 3, [0, 5, 1], True, 2),
    ],
)
def test_one_standard_error_by_hand(means, errors, strengths, maximize, chosen):
    arrays = (np.array(values, float) for values in (means, errors, strengths))
    number = one_standard_error(*arrays, maximize)
    assert number == chosen
    assert isinstance(number, int)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "trials"), [(95, 100), (0, 10), (10, 10), (1, 1), (3, 7), (9_500, 10_000)])
def test_binomial_interval_is_wilsons_formula(successes, trials, confidence):
    z, p = norm.ppf((1 + confidence) / 2), successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    low, high = binomial_interval(successes, trials, confidence)
    np.testing.assert_allclose([low, high], [centre - half, centre + half], rtol=1e-12, atol=1e-14)
    assert -1e-15 <= low <= p <= high <= 1 + 1e-15


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((1, 0), ValueError, "trials is 0, but must be at least 1"),
        ((1, -2), ValueError, "trials is -2, but must be at least 1"),
        ((1, 2.0), TypeError, "trials is 2.0, but must be a whole number"),
        ((-1, 3), ValueError, "successes is -1, but must be at least 0"),
        ((0.5, 3), TypeError, "successes is 0.5, but must be a whole number"),
        # scipy 1.18 gives NaN here.
        ((5, 3), ValueError, "successes is 5, but must be at most its trials, 3"),
        ((1, 2, 1.5), ValueError, "confidence is 1.5, but must lie between 0 and 1"),
        ((1, 2, 0), ValueError, "confidence is 0, but must lie between 0 and 1"),
        ((1, 2, NAN), ValueError, "confidence is nan, but must lie between 0 and 1"),
    ],
)
def test_binomial_interval_refuses_what_is_out_of_range(arguments, error, sentence):
    with pytest.raises(error, match=f"^binomial_interval's {sentence}"):
        binomial_interval(*arguments)


@pytest.mark.parametrize("shape", [(), (3,), (4, 0, 2), (4, 2, 0)])
def test_scores_without_folds_or_seeds_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"scores have shape {re.escape(str(shape))}, but must have one of \(..., folds"
    ):
        mean_and_standard_error(np.zeros(shape))


@pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
def test_means_that_are_not_one_a_setting_are_refused(shape):
    with pytest.raises(ValueError, match=rf"means have shape {re.escape(str(shape))}, but must have \(settings,\)"):
        best_of(np.zeros(shape))


@pytest.mark.parametrize(
    ("errors", "strengths", "sentence"),
    [
        ([0.1], [0, 1], r"errors have shape \(1,\), but its means \(2,\)"),
        ([0.1, 0.1], [0, 1, 2], r"strengths have shape \(3,\), but its means \(2,\)"),
        ([0.1, -0.1], [0, 1], "errors have -0.1, but a standard error is at least 0"),
        ([0.1, 0.1], [0, NAN], "strengths have NaN, but must be numbers"),
    ],
)
def test_one_standard_error_refuses_what_ranks_no_settings(errors, strengths, sentence):
    with pytest.raises(ValueError, match=f"^one_standard_error's {sentence}"):
        one_standard_error(np.array([0.5, 0.75]), np.array(errors), np.array(strengths))


def lambda_1se(strengths, cvm, cvsd):
    """glmnet's definition (getmin in its R/getOptcv.glmnet.R): of errors, and the larger strength of equal ones."""
    lambda_min = max(s for s, m in zip(strengths, cvm, strict=True) if m <= min(cvm))
    at = list(strengths).index(lambda_min)
    return max(s for s, m in zip(strengths, cvm, strict=True) if m <= cvm[at] + cvsd[at])


def test_one_strength_is_chosen_as_glmnet_does_in_whatever_order_it_is_listed():
    rng = np.random.default_rng(0)
    for _ in range(300):
        # Coarse numbers, so that means tie and lie exactly at the limit.
        count = int(rng.integers(1, 8))
        strengths = rng.permutation(10)[:count] / 8
        cvm, cvsd = rng.integers(0, 4, count) / 8, rng.integers(0, 4, count) / 8
        expected = lambda_1se(strengths, cvm, cvsd)
        for order in (np.arange(count), np.arange(count)[::-1], rng.permutation(count)):
            found = one_standard_error(cvm[order], cvsd[order], strengths[order], maximize=False)
            assert strengths[order][found] == expected
            assert one_standard_error(-cvm[order], cvsd[order], strengths[order]) == found


def test_an_axis_that_is_not_named_does_not_decide_in_whatever_order_it_is_listed():
    rng = np.random.default_rng(1)
    for _ in range(300):
        # Two axes: the first one is the strength, the second one says nothing.
        means, errors = rng.integers(0, 5, (3, 4)) / 8, rng.integers(0, 4, (3, 4)) / 8
        strengths = np.broadcast_to(np.arange(3.0)[:, None], (3, 4))
        chosen = set()
        for order in (np.arange(4), np.arange(4)[::-1], rng.permutation(4)):
            arrays = (array[:, order].ravel() for array in (means, errors, strengths))
            row, column = divmod(one_standard_error(*arrays), 4)
            # Among the equally regularized ones it has the best mean.
            assert means[row, order[column]] == means[row].max()
            chosen.add((row, means[row].max()))
        assert len(chosen) == 1
