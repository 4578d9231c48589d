import math
import warnings

import numpy as np
import pytest
from scipy.stats import binom, t, ttest_rel
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  unlocks the next import
from sklearn.model_selection import HalvingGridSearchCV, KFold

import jreg
from jreg.search.racing import History, Race, hyperband, merits, paired_elimination, successive_halving

NAN, INF = math.nan, math.inf


def run(race, curves, maximize=True, test_share=0.25):
    """The engine, slow and obvious: a list of (epochs, settings in the race, trainings run), one a round.

    `curves` are (settings, folds, seeds, epochs); a training that has NaN has diverged.
    """
    settings, folds, seeds, epochs = curves.shape
    reached = np.zeros(curves.shape[:3], int)
    kept = np.zeros(settings, bool)
    rounds = race.rounds(curves.shape[:3], epochs)
    log = []
    for number, step in enumerate(rounds):
        assert step.trainings.shape == (folds, seeds)
        assert step.joins.shape == (settings,)
        kept |= step.joins
        ran = 0
        for setting in np.flatnonzero(kept):
            for fold, seed in np.argwhere(step.trainings):
                ran += reached[setting, fold, seed] < step.epochs
                reached[setting, fold, seed] = max(reached[setting, fold, seed], step.epochs)
        log.append((step.epochs, np.flatnonzero(kept).tolist(), int(ran)))
        if number + 1 < len(rounds):
            run_until = np.where(np.arange(epochs) < reached[..., None], curves, NAN)
            last = np.take_along_axis(run_until, np.maximum(reached - 1, 0)[..., None], axis=-1)[..., 0]
            shown = History(last, run_until, reached > 0, kept.copy(), number, step.epochs, maximize, test_share)
            keep = race.pruner(shown)
            assert keep.dtype == bool
            assert keep.shape == (settings,)
            kept &= keep
    assert rounds[-1].epochs == epochs
    return log


class Lookup(BaseEstimator):
    """Its score is read from a table: (setting, fold, epoch); the only row of a fold is its number."""

    def __init__(self, table=None, setting=0, n_epochs=1):
        self.table, self.setting, self.n_epochs = table, setting, n_epochs

    def fit(self, x, y=None):
        return self

    def score(self, x, y=None):
        return self.table.scores[self.setting, int(x[0, 0]), self.n_epochs - 1]


class Table:
    """Not an array, so that clone copies a few bytes."""

    def __init__(self, scores):
        self.scores = scores

    def __deepcopy__(self, memo):
        return self


def scikit_learn(scores, least, factor):
    settings, folds, epochs = scores.shape
    search = HalvingGridSearchCV(
        Lookup(Table(scores)),
        {"setting": list(range(settings))},
        resource="n_epochs",
        min_resources=least,
        max_resources=epochs,
        factor=factor,
        cv=KFold(folds),
        refit=False,
        return_train_score=False,
    )
    with warnings.catch_warnings():
        # A diverged setting is what some of the tables are about.
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        search.fit(np.arange(folds)[:, None], np.zeros(folds))
    results = search.cv_results_
    taken = [
        (int(epochs), sorted(int(p["setting"]) for p in np.array(results["params"])[results["iter"] == number]))
        for number, epochs in enumerate(search.n_resources_)
    ]
    return taken, int(results["params"][search.best_index_]["setting"]), search


HALVINGS = [
    (settings, epochs, least, factor)
    for settings, epochs, factor in [
        (1, 30, 3), (2, 30, 3), (3, 27, 3), (8, 30, 3), (9, 30, 3), (9, 50, 3), (10, 50, 3), (26, 81, 3), (27, 81, 3),
        (28, 81, 3), (40, 9, 3), (40, 1, 3), (16, 16, 2), (13, 100, 2), (30, 50, 4), (25, 20, 5), (12, 7, 13),
    ]
    for least in (1, 3, 7, "exhaust")
    if least == "exhaust" or least <= epochs
]  # fmt: skip


@pytest.mark.some(30)
@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(("settings", "epochs", "least", "factor"), HALVINGS)
def test_successive_halving_is_scikit_learns(settings, epochs, least, factor, maximize):
    scores = np.random.default_rng(settings * epochs + factor).normal(size=(settings, 3, epochs))
    taken, best, search = scikit_learn(scores, least, factor)
    log = run(successive_halving(least, factor), scores[:, :, None] * (1 if maximize else -1), maximize)
    assert [kept for _, kept, _ in log][: len(taken)] == [kept for _, kept in taken]
    assert [ran for *_, ran in log] == [3 * len(kept) for _, kept, _ in log]
    assert search.n_candidates_ == [len(kept) for _, kept, _ in log][: len(taken)]
    resources = [rung for rung, *_ in log]
    assert resources[-1] == epochs
    if len(log) == len(taken):
        # The last rung alone is moved up; where it needn't be, or one is left, the best is the same.
        assert resources[:-1] == search.n_resources_[:-1]
        if search.n_resources_[-1] == epochs or search.n_candidates_[-1] == 1:
            final = scores[log[-1][1], :, -1].mean(axis=1)
            assert log[-1][1][int(np.argmax(final))] == best
    else:
        # One round more, for scikit-learn's best alone.
        assert resources[:-1] == search.n_resources_
        assert log[len(taken) :] == [(epochs, [best], 3)]
        assert search.n_resources_[-1] * factor <= epochs


def test_the_three_endings_by_hand():
    def rungs(settings, epochs, least, factor=3):
        return [step.epochs for step in successive_halving(least, factor).rounds((settings, 2, 1), epochs)]

    assert rungs(27, 27, 1) == [1, 3, 9, 27]  # scikit-learn's own
    assert rungs(27, 30, 3) == [3, 9, 30]  # 27 moved up to 30: three are left
    assert rungs(8, 30, 3) == [3, 9, 30]  # 8, 3, and the winner at 9 to the end
    assert rungs(9, 100, 3) == [3, 9, 100]  # 9, 3, 1: the last rung, at 27, would decide nothing
    assert rungs(1, 30, 3) == [30]
    assert rungs(9, 50, "exhaust") == [5, 15, 50]
    assert rungs(3**12, 2, "exhaust") == [2]


def test_logarithms_are_exact():
    for factor in range(2, 12):
        for power in range(1, 7):
            for settings in (factor**power - 1, factor**power, factor**power + 1):
                rounds = successive_halving(1, factor).rounds((settings, 1, 1), factor**9)
                required, left = 1, settings
                while left >= factor:  # each rung but the last leaves one in `factor`, rounded down
                    required, left = required + 1, left // factor
                assert len(rounds) == required + (settings > factor ** (required - 1))


def halving_by_hand(means, least, factor, rungs):
    """scikit-learn's loop with a sort that leaves equals in order; NaN first."""
    candidates = list(range(len(means)))
    taken = []
    for number in range(rungs):
        taken.append(sorted(candidates))
        score = [means[c][least * factor**number - 1] for c in candidates]
        worst_first = sorted(range(len(candidates)), key=lambda i: (not math.isnan(score[i]), np.nan_to_num(score[i])))
        candidates = [candidates[i] for i in worst_first][-math.ceil(len(candidates) / factor) :]
    return taken


@pytest.mark.some(6)
@pytest.mark.parametrize("seed", range(20))
def test_ties_and_diverged_trainings_rank_as_in_scikit_learns_loop(seed):
    # scikit-learn's own sort promises nothing for equals, so it is asked for the scores at the second rung alone.
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 2, size=(32, 2, 16)) / 4  # exact sums, many ties
    diverged = rng.random((32, 2)) < 0.3
    scores[diverged[..., None] & (np.arange(16) >= rng.integers(0, 16, size=(32, 2, 1)))] = NAN
    means = scores.mean(axis=1)
    log = run(successive_halving(1, 2), scores[:, :, None])
    assert [kept for _, kept, _ in log] == halving_by_hand(means.tolist(), 1, 2, 5)
    taken, _, search = scikit_learn(scores, 1, 2)
    assert sorted(means[taken[1][1], 0].tolist()) == sorted(means[log[1][1], 0].tolist())
    assert search.n_candidates_ == [len(kept) for _, kept, _ in log] == [32, 16, 8, 4, 2]


@pytest.mark.parametrize("seed", range(5))
def test_diverged_settings_go_first_as_in_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(27, 2, 27))
    scores[rng.permutation(27)[:9], rng.integers(0, 2)] = NAN
    log = run(successive_halving(1, 3), scores[:, :, None])
    taken, best, _ = scikit_learn(scores, 1, 3)
    assert [(epochs, kept) for epochs, kept, _ in log] == taken
    assert log[-1][1] == [best]


def history(scores, kept=None, maximize=True, number=0, epochs=1, trained=None, test_share=0.25):
    scores = np.asarray(scores, float)
    kept = np.ones(len(scores), bool) if kept is None else np.asarray(kept)
    trained = np.ones(scores.shape, bool) if trained is None else trained
    return History(scores, scores[..., None], trained, kept, number, epochs, maximize, test_share)


@pytest.mark.parametrize("maximize", [True, False])
def test_settings_that_are_not_finite_rank_last(maximize):
    scores = np.array([NAN, 0.5, INF, 0.25, -INF, 0.75])[:, None, None]
    keep = successive_halving(1, 2).pruner(history(scores, maximize=maximize))
    assert np.flatnonzero(keep).tolist() == [1, 3, 5]
    opposite = np.array([[[INF], [-INF]], [[1.0], [2.0]]])
    assert merits(history(opposite, maximize=maximize)).tolist() == [-INF, 1.5 if maximize else -1.5]


def test_only_settings_in_the_race_are_kept_and_counted():
    scores = np.array([9.0, 1.0, 8.0, 2.0, 3.0, 0.0])[:, None, None]
    keep = successive_halving(1, 2).pruner(history(scores, kept=[False, True, False, True, True, True]))
    assert np.flatnonzero(keep).tolist() == [3, 4]


def test_merits_are_means_over_what_was_trained():
    trained = np.array([[[True, False], [True, False]], [[True, True], [False, False]], [[False] * 2] * 2])
    scores = np.where(trained, [[[1.0, 5.0], [2.0, 5.0]]], NAN)
    assert merits(history(scores, trained=trained)).tolist() == [1.5, 3.0, -INF]
    assert merits(history(scores, trained=trained, maximize=False)).tolist() == [-1.5, -3.0, -INF]


def test_a_race_at_rungs_of_ones_own():
    shown = []

    def above_the_median(seen):
        shown.append((seen.round, seen.epochs))
        return merits(seen) >= np.median(merits(seen)[seen.kept])

    curves = np.linspace(0, 1, 8)[:, None, None, None] * np.ones((8, 3, 2, 20))
    log = run(Race.at([2, 5], above_the_median), curves)
    assert log == [(2, list(range(8)), 48), (5, [4, 5, 6, 7], 24), (20, [6, 7], 12)]
    assert shown == [(0, 2), (1, 5)]
    assert [step.epochs for step in Race.at([2, 20], above_the_median).rounds((8, 3, 2), 20)] == [2, 20]
    assert [step.epochs for step in Race.at([], above_the_median).rounds((8, 3, 2), 20)] == [20]


# Li et al. (2018), table 1: R = 81, eta = 3; for each s the pairs (n_i, r_i).
TABLE = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


def test_hyperband_is_the_table_of_the_paper():
    settings = sum(rungs[0][0] for rungs in TABLE.values())
    curves = np.random.default_rng(0).normal(size=(settings, 2, 1, 81))
    race = hyperband(1, 3, seed=0)
    rounds = race.rounds((settings, 2, 1), 81)
    log = run(race, curves)
    assert [epochs for epochs, *_ in log] == [1, 3, 9, 27, 81]
    for s, rungs in TABLE.items():
        joined = np.flatnonzero(rounds[4 - s].joins)
        counts = [(len(np.intersect1d(joined, kept)), epochs) for epochs, kept, _ in log[4 - s :]]
        assert counts == rungs


def hyperband_by_hand(curves, brackets, factor):
    """Algorithm 1 of the paper, bracket by bracket; `brackets` lists those from the largest s to 0."""
    epochs = curves.shape[-1]
    runs = set()
    for s, members in zip(reversed(range(len(brackets))), brackets, strict=True):
        left = list(members)
        for i in range(s + 1):
            resource = int(epochs / factor ** (s - i) + 1e-9)
            runs |= {(resource, setting) for setting in left}
            number = max(1, math.floor(len(members) / factor ** (i + 1) + 1e-9))
            left = sorted(left, key=lambda setting: curves[setting, ..., resource - 1].mean())[-number:]
    return runs


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(
    ("settings", "epochs", "least", "factor"),
    [(143, 81, 1, 3), (24, 30, 3, 3), (50, 100, 1, 2), (5, 81, 1, 3), (1, 9, 1, 3), (300, 27, 2, 3), (7, 4, 4, 3)],
)
def test_hyperband_is_the_loop_of_the_paper(settings, epochs, least, factor, maximize):
    curves = np.random.default_rng(settings).normal(size=(settings, 2, 2, epochs))
    race = hyperband(least, factor, seed=3)
    rounds = race.rounds((settings, 2, 2), epochs)
    assert np.sum([step.joins for step in rounds], axis=0).tolist() == [1] * settings
    assert rounds[0].epochs >= least > rounds[0].epochs // factor
    brackets = [np.flatnonzero(step.joins) for step in rounds]
    log = run(race, curves if maximize else -curves, maximize)
    assert {(rung, setting) for rung, kept, _ in log for setting in kept} == hyperband_by_hand(curves, brackets, factor)
    # Sizes in proportion to the paper's, each less than one setting off.
    top = len(rounds) - 1
    paper = np.array([math.ceil((top + 1) / (s + 1) * factor**s - 1e-9) for s in reversed(range(top + 1))])
    sizes = np.array([len(members) for members in brackets])
    assert np.all(np.abs(sizes - settings * paper / paper.sum()) < 1)


def test_brackets_are_rounded_by_largest_remainders():
    # For R / r = 10 and eta = 3 the paper's brackets are 9, 5 and 3 of 17.
    def sizes(settings):
        return [int(step.joins.sum()) for step in hyperband(3, 3, seed=0).rounds((settings, 1, 1), 30)]

    assert sizes(24) == [13, 7, 4]  # 12.71, 7.06, 4.24
    assert sizes(30) == [16, 9, 5]  # 15.88, 8.82, 5.29
    assert sizes(1) == [1, 0, 0]


def test_a_bracket_with_fewer_settings_than_may_go_on_keeps_them():
    race, epochs = hyperband(1, 3, seed=0), 9
    joined = np.flatnonzero(race.rounds((36, 1, 1), epochs)[0].joins)  # 19, of which 6 go on
    kept = np.isin(np.arange(36), joined[:4])
    seen = history(np.arange(36.0)[:, None, None], kept=kept)
    seen = seen._replace(curves=np.zeros((36, 1, 1, epochs)))
    assert race.pruner(seen).tolist() == kept.tolist()


def test_hyperband_deals_by_its_seed_and_to_all_brackets_alike():
    def deal(seed):
        return np.array([step.joins for step in hyperband(1, 3, seed=seed).rounds((143, 1, 1), 81)])

    assert np.array_equal(deal(7), deal(7))
    assert not np.array_equal(deal(7), deal(8))
    # Each setting begins in the first bracket with probability 81/143: of 400 deals a binomial number, and the
    # chance that one of the 143 lies outside is below 1e-6 in all.
    times = sum(deal(seed)[0].astype(int) for seed in range(400))
    low, high = binom.ppf([0.5e-6 / 143, 1 - 0.5e-6 / 143], 400, 81 / 143)
    assert low <= times.min() <= times.max() <= high


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5])
@pytest.mark.parametrize(("folds", "seeds", "test_share"), [(2, 1, 1.0), (5, 1, 0.25), (5, 3, 0.25), (10, 2, 1 / 9)])
def test_paired_elimination_is_ttest_rel_with_the_correction(folds, seeds, test_share, alpha, maximize):
    rng = np.random.default_rng(folds * seeds)
    scores = rng.normal(size=(40, folds, seeds)) + rng.normal(scale=3, size=(40, 1, 1)) + rng.normal(size=(folds, 1))
    keep = paired_elimination(alpha).pruner(history(scores, maximize=maximize, test_share=test_share))
    # Seeds of a fold are averaged: they are no pairs of their own.
    flat, sign = scores.mean(axis=2), 1 if maximize else -1
    best = int(np.argmax(sign * flat.mean(axis=1)))
    for setting in range(40):
        if setting == best:
            assert keep[setting]
            continue
        statistic = sign * ttest_rel(flat[best], flat[setting]).statistic
        corrected = statistic * math.sqrt((1 / folds) / (1 / folds + test_share))
        assert keep[setting] == (t.sf(corrected, folds - 1) >= alpha)


def test_copies_of_seeds_add_no_evidence():
    # t = 1.81 with 4 degrees of freedom, p = .072; as 50 pairs t would be 2.59 and p .006.
    differences = np.array([0.03, 0.03, 0.005, 0.02, 0.0])
    for seeds in (1, 10):
        scores = np.stack([differences, np.zeros(5)])[:, :, None].repeat(seeds, axis=2)
        for alpha, kept in ((0.01, True), (0.07, True), (0.074, False)):
            assert paired_elimination(alpha).pruner(history(scores, test_share=0.25)).tolist() == [True, kept]


def test_one_training_of_each_setting_after_another():
    rounds = paired_elimination(0.01).rounds((4, 3, 2), 7)
    assert {step.epochs for step in rounds} == {7}
    assert [np.argwhere(step.trainings).tolist() for step in rounds] == [
        [[0, 0]], [[1, 0]], [[2, 0]], [[0, 1]], [[1, 1]], [[2, 1]]
    ]  # fmt: skip
    assert [step.joins.tolist() for step in rounds] == [[True] * 4] + [[False] * 4] * 5


def test_a_paired_race_from_beginning_to_end():
    rng = np.random.default_rng(0)
    level = np.array([0.9, 0.2, 0.899, 0.9])[:, None, None]
    scores = level + 0.01 * rng.normal(size=(4, 5, 2))
    scores[3, 2, 0] = NAN
    log = run(paired_elimination(0.01, least=4), scores[..., None])
    # The bad one goes after four trainings, the diverged one after the third, which diverged.
    assert [kept for _, kept, _ in log] == [[0, 1, 2, 3]] * 3 + [[0, 1, 2]] + [[0, 2]] * 6
    assert [ran for *_, ran in log] == [4, 4, 4, 3] + [2] * 6


def test_before_least_trainings_only_diverged_settings_are_dropped():
    scores = np.array([[0.9, 0.9], [0.1, 0.1], [NAN, 0.9]])[:, :, None]
    assert paired_elimination(0.5, least=3).pruner(history(scores)).tolist() == [True, True, False]
    assert paired_elimination(0.5, least=2).pruner(history(scores)).tolist() == [True, False, False]


def test_differences_without_variance():
    scores = np.array([[0.75, 0.5, 0.25], [0.75, 0.5, 0.25], [0.625, 0.375, 0.125], [0.5, 0.75, 0.25]])[:, :, None]
    assert paired_elimination(1e-9).pruner(history(scores)).tolist() == [True, True, False, True]
    assert paired_elimination(1e-9).pruner(history(-scores, maximize=False)).tolist() == [True, True, False, True]


def test_a_race_in_which_all_diverged_keeps_one():
    scores = np.full((3, 2, 1), NAN)
    assert paired_elimination(0.05).pruner(history(scores, kept=[False, True, True])).tolist() == [False, True, False]
    assert successive_halving(1).pruner(history(scores)).sum() == 1


@pytest.mark.parametrize("seed", range(50))
def test_the_best_is_never_dropped(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(30, 5, 2)).round(1)
    scores[rng.random(scores.shape) < 0.05] = NAN
    kept = rng.random(30) < 0.7
    seen = history(scores, kept=kept)
    best = int(np.argmax(np.where(kept, merits(seen), -INF)))
    for race in (paired_elimination(0.5), successive_halving(1, 30)):
        keep = race.pruner(seen)
        assert keep[best]
        assert not (keep & ~kept).any()


@pytest.mark.some(1)
@pytest.mark.parametrize(("folds", "seeds", "alpha"), [(3, 1, 0.05), (10, 1, 0.05), (5, 1, 0.2), (5, 10, 0.02)])
def test_a_setting_that_is_as_good_is_dropped_with_probability_alpha(folds, seeds, alpha):
    # Differences with the correlation rho for which the correction is exact, rho / (1 - rho) = n2 / n1: then t has
    # Student's distribution. Of two settings that are equally good each is dropped with probability alpha. The
    # bounds are those of the binomial distribution that a right rule leaves with probability 1e-6.
    share, trials = 1 / (folds - 1), 4000
    rho = share / (1 + share)
    rng = np.random.default_rng(1)
    common, own = rng.normal(size=(trials, 1)), rng.normal(size=(trials, folds))
    differences = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
    rule = paired_elimination(alpha)
    dropped = [0, 0]
    for difference in differences:
        scores = np.stack([difference, np.zeros(folds)])[:, :, None].repeat(seeds, axis=2)
        keep = rule.pruner(history(scores, test_share=share))
        dropped = [n + (not k) for n, k in zip(dropped, keep, strict=True)]
    low, high = binom.ppf([0.25e-6, 1 - 0.25e-6], trials, alpha)
    assert low <= min(dropped) <= max(dropped) <= high
    # Without the correction it would be far more: the bound can tell.
    statistic = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / math.sqrt(folds))
    assert (statistic > t.isf(alpha, folds - 1)).sum() > high


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: successive_halving(0), ValueError, "least is 0, but must be at least 1"),
        (lambda: successive_halving(1.5), TypeError, r"least is 1\.5, but must be a whole number"),
        (lambda: successive_halving("all"), TypeError, "least is 'all', but must be a whole number"),
        (lambda: successive_halving(1, factor=1), ValueError, "factor is 1, but must be at least 2"),
        (lambda: successive_halving(1, factor=2.5), TypeError, r"factor is 2\.5, but must be a whole number"),
        (lambda: hyperband(0, seed=0), ValueError, "least is 0, but must be at least 1"),
        (lambda: hyperband(1, 1, seed=0), ValueError, "factor is 1, but must be at least 2"),
        (lambda: hyperband(1, seed=-1), ValueError, "seed is -1, but must be at least 0"),
        (lambda: hyperband(1, seed=None), TypeError, "seed is None, but must be a whole number"),
        (lambda: paired_elimination(0.0), ValueError, r"alpha is 0\.0, but must be above 0 and at most 0\.5"),
        (lambda: paired_elimination(0.51), ValueError, r"alpha is 0\.51, but must be above 0"),
        (lambda: paired_elimination(NAN), ValueError, "alpha is nan, but must be above 0"),
        (lambda: paired_elimination(0.1, least=1), ValueError, "least is 1, but must be at least 2"),
        (lambda: Race.at([3, 3], merits), ValueError, r"rungs are \[3, 3\], but must ascend"),
        (lambda: Race.at([9, 3], merits), ValueError, r"rungs are \[9, 3\], but must ascend"),
        (lambda: Race.at([0, 3], merits), ValueError, "a rung is 0, but must be at least 1"),
        (lambda: Race.at([0.5], merits), TypeError, r"a rung is 0\.5, but must be a whole number"),
        (lambda: Race.at([3], None), TypeError, "pruner is None, but must be a function"),
        (lambda: Race.at([3, 11], merits).rounds((4, 2, 1), 10), ValueError, "11 epochs, but the study has only 10"),
        (lambda: successive_halving(11).rounds((4, 2, 1), 10), ValueError, "11 epochs, but the study has only 10"),
        (lambda: hyperband(11, seed=0).rounds((4, 2, 1), 10), ValueError, "11 epochs, but the study has only 10"),
        (lambda: paired_elimination(0.1, 6).rounds((4, 3, 2), 10), ValueError, "least is 6, but must be below 6"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("race", [successive_halving(1), hyperband(1, seed=0), paired_elimination(0.1)])
def test_a_race_shows_its_numbers(race):
    assert "factor=3" in repr(race) or "alpha=0.1" in repr(race)


def test_the_names_are_public():
    assert (jreg.Race, jreg.successive_halving, jreg.hyperband) == (Race, successive_halving, hyperband)
    assert jreg.paired_elimination is paired_elimination
