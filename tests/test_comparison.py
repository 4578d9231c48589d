"""Settings of a study compared, and those that can't be told from the best."""

import math

import numpy as np
import optax
import pytest
from scipy import stats
from scored import results_of

import jreg
from jreg import losses, nn, statistics
from jreg.results import compare, indistinguishable
from jreg.training import Status

NAN = math.nan


def spaced(count):
    return jreg.grid(l2=[float(n) for n in range(count)])


@pytest.mark.parametrize("maximize", [True, False])
def test_a_comparison_is_that_of_the_scores(maximize):
    scores = np.random.default_rng(0).normal(0.8, 0.05, (3, 5, 2)).astype(np.float32)
    results = results_of(spaced(3), scores, maximize=maximize)
    found = compare(results, results.settings[2], results.settings[0], rope=0.02, confidence=0.9)
    a, b = scores[2].astype(float).mean(axis=1), scores[0].astype(float).mean(axis=1)
    error = math.sqrt((a - b).var(ddof=1) * (1 / 5 + 40 / 120))
    t, difference = stats.t(4, (a - b).mean(), error), (a - b).mean()
    better, worse = t.sf(0.02), t.cdf(-0.02)
    expected = [difference, *t.interval(0.9), 2 * stats.t.sf(abs(difference) / error, 4)]
    expected += [better, 1 - better - worse, worse] if maximize else [worse, 1 - better - worse, better]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert all(type(value) is float for value in found)
    # The other way round everything is mirrored.
    back = compare(results, results.settings[0], results.settings[2], rope=0.02, confidence=0.9)
    np.testing.assert_allclose(
        [-back.difference, -back.high, -back.low, back.p, back.worse, back.equivalent, back.better], found, rtol=1e-9
    )


def test_a_setting_without_all_its_scores_is_compared_with_none():
    status = np.full((3, 3, 1), Status.COMPLETED)
    status[1, 2] = Status.DIVERGED
    results = results_of(spaced(3), np.full((3, 3, 1), 0.5), status=status)
    for a, b in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match=r"setting 1 \(l2=1\) can't be compared, because not all .*: diverged"):
            compare(results, results.settings[a], results.settings[b])
    # With a score for errors it counts.
    counted = results_of(spaced(3), np.full((3, 3, 1), 0.5), status=status, error_score=0.0)
    assert compare(counted, *counted.settings[:2]).difference == pytest.approx(0.5 / 3)


def test_numbers_are_no_settings():
    results = results_of(spaced(2), np.full((2, 2, 1), 0.5))
    with pytest.raises(
        TypeError, match=r"compare got 1, but takes two of the settings, such as results\.settings\[3\]"
    ):
        compare(results, results.best, 1)
    with pytest.raises(ValueError, match="rope is -1, but must be at least 0"):
        compare(results, *results.settings, rope=-1)
    with pytest.raises(ValueError, match="confidence is 95, but must lie between 0 and 1"):
        compare(results, *results.settings, confidence=95)


def test_one_fold_tells_a_difference_and_not_how_sure_it_is():
    results = results_of(spaced(2), np.array([[[0.5, 0.625]], [[0.25, 0.25]]]))
    found = compare(results, *results.settings)
    assert found.difference == 0.3125
    assert np.isnan(found[1:]).all()
    assert [result.number for result in indistinguishable(results)] == [0, 1]


# the settings that can't be told from the best


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.6])
def test_those_are_left_out_that_holm_rejects_by_hand(maximize, alpha):
    rng = np.random.default_rng(1)
    level = rng.choice([0.5, 0.51, 0.53, 0.6], size=(30, 1, 1))
    scores = (level + 0.02 * rng.normal(size=(30, 6, 2))).astype(np.float32).astype(float)
    scores[7, 3, 1] = NAN
    found = indistinguishable(results_of(spaced(30), scores, maximize=maximize), alpha)
    by_fold, sign = scores.mean(axis=2), 1 if maximize else -1
    means = sign * scores.mean(axis=(1, 2))
    best = int(np.nanargmax(means))
    p = {}
    for other in set(range(30)) - {best, 7}:
        statistic = stats.ttest_rel(by_fold[best], by_fold[other]).statistic * math.sqrt((1 / 6) / (1 / 6 + 1 / 3))
        p[other] = 2 * stats.t.sf(abs(statistic), 5)
    for other in sorted(p, key=p.__getitem__):
        if p[other] * len(p) > alpha:
            break
        del p[other]
    assert [result.number for result in found] == sorted([best, *p], key=lambda n: -means[n])
    assert found[0].number == best


def test_settings_that_are_all_equal_are_told_apart_from_none():
    results = results_of(spaced(4), np.tile(np.random.default_rng(2).random((1, 5, 2)), (4, 1, 1)))
    assert [result.number for result in indistinguishable(results)] == [0, 1, 2, 3]
    alone = results_of(spaced(1), np.random.default_rng(3).random((1, 5, 2)))
    assert [result.number for result in indistinguishable(alone, 0.5)] == [0]


@pytest.mark.parametrize("alpha", [0, 1, -0.1, NAN, "0.05", True, None])
def test_a_level_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match=r"indistinguishable's alpha is .*, but must lie between 0 and 1"):
        indistinguishable(results_of(spaced(2), np.ones((2, 2, 1))), alpha)


def test_a_study_without_a_best_setting_says_why():
    status = np.full((2, 2, 1), Status.PRUNED)
    with pytest.raises(ValueError, match="no setting has all its scores, so there is no best"):
        indistinguishable(results_of(spaced(2), np.ones((2, 2, 1)), status=status))


@pytest.mark.slow
def test_the_truly_best_setting_is_kept_although_the_best_was_chosen():
    # 12 settings, of which a half is as good as the best: how often is a given one of these left out? The test is
    # two-sided, so of two settings each goes with probability alpha / 2; the bound leaves a rule that keeps to alpha
    # with probability 1e-6.
    trials, share, folds = 400, 1 / 3, 5
    rho = share / (1 + share)
    rng = np.random.default_rng(4)
    lost = 0
    for _ in range(trials):
        common, own = rng.normal(size=(12, 1)), rng.normal(size=(12, folds))
        scores = math.sqrt(rho) * common + math.sqrt(1 - rho) * own + np.where(np.arange(12) < 6, 0.0, -9.0)[:, None]
        kept = [result.number for result in indistinguishable(results_of(spaced(12), scores[..., None]), 0.05)]
        lost += 0 not in kept
    assert lost <= stats.binom.ppf(1 - 1e-6, trials, 0.05)


# a study's verbs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def study(folder):
    def recipe(hp):
        return jreg.Recipe(nn.MLP((2,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)).astype(np.float32)
    data = jreg.Dataset(x, (x[:, 0] + rng.normal(size=100) > 0).astype(int))
    return jreg.cross_validate(
        recipe, data, jreg.grid(rate=[1e-4, 0.1, 0.3]), cv=5, seeds=2, epochs=3, store=folder, progress=False
    )


def test_the_verbs_of_a_study(study):
    best, other = study.best, study.ranking[2]
    assert study.compare(other) == study.compare(other, best) == study.compare(other.hyperparameters, None)
    found = study.compare(best, other, rope=0.01)
    np.testing.assert_allclose(found.difference, best.mean - other.mean, rtol=1e-6)
    expected = statistics.paired_difference(best.scores, other.scores, 0.25)
    np.testing.assert_allclose(found[:4], expected, rtol=1e-12)
    assert found.better + found.equivalent + found.worse == pytest.approx(1)
    assert study.indistinguishable()[0].number == best.number
    with pytest.raises(ValueError, match=r"the study has no setting {'rate': 7}"):
        study.compare({"rate": 7})


def test_results_from_a_folder_say_the_same(study, folder):
    results = jreg.load_results(folder)
    assert compare(results, results.settings[0], results.best) == study.compare(study.settings[0])
    assert [r.number for r in indistinguishable(results)] == [r.number for r in study.indistinguishable()]
    assert jreg.results.check(results) == study.checks()


def test_out_of_fold_predictions_are_compared_by_rows(study):
    ours, theirs = (study.out_of_fold(setting) for setting in (study.best, study.ranking[2]))
    right = [found.predictions == found.targets for found in (ours, theirs)]
    found = statistics.mcnemar(*right)
    assert found.only_a - found.only_b == right[0].sum() - right[1].sum()
    resampled = statistics.paired_bootstrap(
        0, lambda t, p: (t == p).mean(), ours.targets, ours.predictions, theirs.predictions, resamples=50
    )
    assert resampled.difference == pytest.approx(right[0].mean() - right[1].mean())
