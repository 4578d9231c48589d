"""Evidence that stays valid however often one looks, and the races that go by it."""

import itertools
import math

import jax
import numpy as np
import optax
import pytest
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta, binom
from test_racing import run as slow_race

import jreg
from jreg import losses, nn
from jreg.data import standardize
from jreg.search import History, Race
from jreg.search.race import one_by_one
from jreg.statistics import betting_evalue, mcnemar_evalue
from jreg.study import replay
from jreg.study.row_scores import row_scores
from jreg.training import Column
from jreg.training.keep import RowScores

NAN = math.nan


def rejected(pairs, alternative="two-sided", alpha=0.05):
    """The probability that a fair coin is ever rejected in so many tosses: all sequences, by counts of heads."""
    alive, out = np.ones(1), 0.0
    for tosses in range(1, pairs + 1):
        alive = 0.5 * (np.append(alive, 0.0) + np.append(0.0, alive))
        heads = np.arange(tosses + 1)
        over = mcnemar_evalue(heads, tosses - heads, alternative=alternative) >= 1 / alpha
        out += alive[over].sum()
        alive[over] = 0.0
    return out


@pytest.mark.parametrize(("pairs", "probability"), [(20, 0.0224), (100, 0.0311), (500, 0.0354), (2000, 0.0374)])
def test_how_often_a_fair_coin_is_ever_rejected(pairs, probability):
    assert round(rejected(pairs), 4) == probability


def test_against_no_larger_it_stays_below_the_level_as_well():
    assert 0.02 < rejected(1000, "greater") < 0.05


@pytest.mark.parametrize(("n10", "n01"), [(0, 0), (3, 1), (1, 3), (25, 10), (10, 25)])
def test_mcnemar_is_a_likelihood_ratio_of_a_mixture(n10, n01):
    def ratio(p):
        return 2 ** (n10 + n01) * p**n10 * (1 - p) ** n01 * beta.pdf(p, 0.5, 0.5)

    low, high = quad(ratio, 0, 0.5)[0], quad(ratio, 0.5, 1)[0]
    np.testing.assert_allclose(mcnemar_evalue(n10, n01), low + high, rtol=1e-6)
    np.testing.assert_allclose(mcnemar_evalue(n10, n01, alternative="greater"), 2 * high, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 60])
def test_mcnemar_has_expectation_one_and_less_where_the_first_is_better(n):
    heads = np.arange(n + 1)
    for alternative in ("two-sided", "greater"):
        values = mcnemar_evalue(heads, n - heads, alternative=alternative)
        np.testing.assert_allclose(binom.pmf(heads, n, 0.5) @ values, 1, rtol=1e-12)
    assert binom.pmf(heads, n, 0.4) @ values < 1


def test_mcnemar_of_very_many_pairs():
    assert mcnemar_evalue([5000, 0], [0, 5000]).tolist() == [math.inf, math.inf]
    assert mcnemar_evalue([5000, 0], [0, 5000], alternative="greater").tolist() == [math.inf, 0.0]


def test_betting_has_expectation_one_over_all_sequences():
    values, chances = np.array([-0.5, 0.0, 1.0]), np.array([0.5, 0.25, 0.25])  # mean 0, of a bound of 1
    places = np.array(list(itertools.product(range(3), repeat=7)))
    found = betting_evalue(values[places], 1.0)
    np.testing.assert_allclose(chances[places].prod(axis=1) @ found, 1, rtol=1e-12)
    # Rows that aren't alike, with means 0.25 and -0.25.
    two = np.array(list(itertools.product([-0.75, 1.25], [-1.25, 0.75])))
    assert betting_evalue(two, 1.25).mean() < 1


def test_betting_is_mcnemar_where_losses_are_0_and_1_and_knows_no_order():
    rng = np.random.default_rng(0)
    for ones, minus in ((0, 0), (4, 1), (40, 22), (3, 9)):
        differences = np.concatenate([np.ones(ones), -np.ones(minus), np.zeros(400)])
        found = betting_evalue(np.stack([differences, rng.permutation(differences)]), 1.0)
        np.testing.assert_allclose(found, mcnemar_evalue(ones, minus, alternative="greater"), rtol=2e-3)


def test_betting_of_many_rows_is_the_slow_product():
    rng = np.random.default_rng(1)
    differences = rng.uniform(-2, 2.3, size=(2, 3000)).clip(-2, 2)
    shares = [math.sin(math.pi * (j - 0.5) / 128) for j in range(1, 65)]
    for row, found in zip(differences, betting_evalue(differences, 2.0), strict=True):
        gained = [sum(math.log1p(share * d / 2) for d in row) for share in shares]
        np.testing.assert_allclose(math.log(found), math.log(sum(map(math.exp, gained)) / 64), rtol=1e-9)
    assert betting_evalue(np.zeros((3, 0)), 1.0).tolist() == [1, 1, 1]


def shown(rows, seen, *, maximize=True, kept=None):
    """The history of a race after `seen` trainings; `rows` are (settings, folds, seeds, n)."""
    settings, folds, seeds, _ = rows.shape
    place = np.arange(folds * seeds).reshape(seeds, folds).T
    order = place < seen
    scores = np.where(order, rows.mean(axis=-1), NAN)
    kept = np.ones(settings, bool) if kept is None else kept
    trained = np.broadcast_to(order, (settings, folds, seeds))
    return History(scores, scores[..., None], trained, kept, seen - 1, 1, maximize, 0.25, lambda f, k: rows[:, f, k])


def test_the_rule_is_its_formula():
    rng = np.random.default_rng(2)
    level = np.array([0.9, 0.88, 0.75, 0.8, 0.7, 0.6])[:, None, None, None]
    right = (rng.random((6, 4, 2, 150)) < level).astype(float)
    dropped = 0
    for seen in range(1, 8):
        for maximize in (True, False):
            history = shown(right if maximize else 1 - right, seen, maximize=maximize)
            means = [np.mean([right[a, t % 4, t // 4] for t in range(seen)]) for a in range(6)]
            expected = []
            for a in range(6):
                total = 0.0
                for t in range(seen):
                    for b in (b for b in range(6) if means[b] > means[a]):
                        mine, other = right[a, t % 4, t // 4], right[b, t % 4, t // 4]
                        n10, n01 = int((mine < other).sum()), int((mine > other).sum())
                        two = math.exp((n10 + n01) * math.log(2) + betaln(n10 + 0.5, n01 + 0.5)) / math.pi
                        total += two * 2 * beta.sf(0.5, n10 + 0.5, n01 + 0.5)
                expected.append(total / (8 * 5) < 6 / 0.05)
            assert jreg.anytime_elimination(0.05).pruner(history).tolist() == expected
            dropped += 6 - sum(expected)
    assert 10 < dropped < 60


def test_losses_without_a_bound_are_cut():
    rng = np.random.default_rng(3)
    rows = rng.exponential(np.array([0.3, 0.31, 0.6])[:, None, None, None], size=(3, 5, 1, 300))
    rows[0, 0, 0, 0] = 1e6  # one row that would decide the mean; cut it's a row like others
    history = shown(rows, 2, maximize=False)._replace(scores=rows.clip(0, 2).mean(axis=-1))
    assert jreg.anytime_elimination(0.05, clip=2.0).pruner(history).tolist() == [True, True, False]
    with pytest.raises(ValueError, match=r"has the score .*, but without clip all must lie in \[0, 1\]"):
        jreg.anytime_elimination(0.05).pruner(history)
    with pytest.raises(ValueError, match="needs the scores of validation rows"):
        jreg.anytime_elimination(0.05).pruner(history._replace(rows=None))
    # Between 0 and 1, but not only 0 and 1: shares of labels.
    halves = (rng.random((2, 5, 1, 200, 2)) < np.array([0.9, 0.5])[:, None, None, None, None]).mean(axis=-1)
    assert jreg.anytime_elimination(0.05).pruner(shown(halves, 1)).tolist() == [True, False]


def test_diverged_settings_and_few_settings():
    right = np.stack([np.ones((2, 1, 300)), np.zeros((2, 1, 300)), np.full((2, 1, 300), NAN)])
    for race in (jreg.anytime_elimination(0.05), jreg.forgiving_elimination(1)):
        assert race.pruner(shown(right, 1)).tolist() == [True, False, False]
        # The last one in the race stays, also if all have diverged.
        assert race.pruner(shown(right, 1, kept=np.array([False, True, False]))).tolist() == [False, True, False]
        assert race.pruner(shown(right, 1, kept=np.array([False, False, True]))).tolist() == [False, False, True]
        assert race.pruner(shown(right[2:], 1)).tolist() == [True]
    # With error_score a diverged network has a score, and is wrong in each row.
    history = shown(right[[0, 2]], 1)
    scored = history._replace(scores=np.where(history.trained & np.isnan(history.scores), 0.0, history.scores))
    assert jreg.anytime_elimination(0.05).pruner(scored).tolist() == [True, False]


def test_what_was_dropped_on_a_part_of_the_trainings_is_dropped_on_all():
    # A mean over the trainings so far could take back what it found.
    rng = np.random.default_rng(4)
    right = (rng.random((2, 6, 2, 100)) < np.array([0.9, 0.5])[:, None, None, None]).astype(float)
    right[1, 2:] = right[0, 2:]
    kept = [bool(jreg.anytime_elimination(0.01).pruner(shown(right, seen))[1]) for seen in range(1, 12)]
    assert kept == sorted(kept, reverse=True)
    assert not kept[-1]


def false_alarms(races, settings, folds, rows, seed, alpha=0.05):
    """How many of so many races among settings that are equally good give one up: by e-values, by the paired t-test."""
    rng = np.random.default_rng(seed)
    found = np.zeros(2, int)
    for _ in range(races):
        # Networks agree on hard rows.
        chance = rng.beta(4, 1, size=(folds, 1, rows))
        right = (rng.random((settings, folds, 1, rows)) < chance).astype(float)
        for number, race in enumerate((jreg.anytime_elimination(alpha), jreg.paired_elimination(alpha))):
            found[number] += any(not race.pruner(shown(right, seen)).all() for seen in range(1, folds))
    return found


def test_races_among_equals():
    # A rule whose level is 0.05 exceeds the bound with probability below 1e-6; the paired test with its many looks and
    # leaders gives some setting up in more than a quarter of the races (at 0.25 the bound fails with probability 1e-6).
    races = 150
    valid, paired = false_alarms(races, settings=6, folds=6, rows=60, seed=5)
    assert valid <= binom.isf(1e-6, races, 0.05)
    assert paired >= binom.ppf(1e-6, races, 0.25)


@pytest.mark.slow
def test_many_races_among_equals():
    # experiments/racing has the shares of 10,000.
    races = 2000
    valid, paired = false_alarms(races, settings=6, folds=6, rows=60, seed=6)
    assert valid <= binom.isf(1e-6, races, 0.02)
    assert paired >= binom.ppf(1e-6, races, 0.5)


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(("folds", "seeds", "seen"), [(4, 1, 2), (4, 2, 4), (4, 2, 6), (3, 3, 8)])
def test_forgiving_compares_with_the_leaders_worst_fold(folds, seeds, seen, maximize):
    rng = np.random.default_rng(folds * seen)
    scores = rng.normal(size=(30, folds, seeds)) + 0.5 * rng.normal(size=(30, 1, 1))
    keep = jreg.forgiving_elimination(2).pruner(shown(scores[..., None], seen, maximize=maximize))
    sign = 1 if maximize else -1
    taken = [(t % folds, t // folds) for t in range(seen)]
    means = [sign * np.mean([scores[a, f, k] for f, k in taken]) for a in range(30)]
    best = int(np.argmax(means))
    by_fold = [np.mean([sign * scores[best, f, k] for f, k in taken if f == fold]) for fold in {f for f, _ in taken}]
    assert keep.tolist() == [mean >= min(by_fold) or a == best for a, mean in enumerate(means)]
    assert 1 <= keep.sum() < 30
    assert jreg.forgiving_elimination(seen + 1).pruner(shown(scores[..., None], seen, maximize=maximize)).all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: jreg.anytime_elimination(0.0), ValueError, r"alpha is 0\.0, but must be above 0 and at most 0\.5"),
        (lambda: jreg.anytime_elimination(NAN), ValueError, "alpha is nan, but must be above 0"),
        (lambda: jreg.anytime_elimination(True), ValueError, "alpha is True, but must be above 0"),
        (lambda: jreg.anytime_elimination("5%"), ValueError, "alpha is '5%', but must be above 0"),
        (lambda: jreg.anytime_elimination(0.1, clip=0.0), ValueError, "clip is 0, but must be a finite number above 0"),
        (lambda: jreg.anytime_elimination(0.1, clip=NAN), ValueError, "clip is nan, but must be a finite number"),
        (lambda: jreg.forgiving_elimination(0), ValueError, "least is 0, but must be at least 1"),
        (lambda: jreg.forgiving_elimination(1.5), TypeError, r"least is 1\.5, but must be a whole number"),
        (lambda: jreg.forgiving_elimination(4).rounds((3, 4, 1), 5), ValueError, "least is 4, but must be below 4"),
        (lambda: mcnemar_evalue(-1, 2), ValueError, "n10 is -1, but must be whole numbers of at least 0"),
        (lambda: mcnemar_evalue(1, [2, 0.5]), ValueError, r"n01 is \[2, 0\.5\], but must be whole numbers"),
        (lambda: mcnemar_evalue(NAN, 2), ValueError, "n10 is nan, but must be whole"),
        (lambda: mcnemar_evalue(1, 2, alternative="less"), ValueError, "alternative is 'less', but must"),
        (lambda: betting_evalue([0.5, 1.5], 1.0), ValueError, r"difference is 1\.5, but must lie within the bound, 1"),
        (lambda: betting_evalue([0.5, NAN], 1.0), ValueError, "difference is nan, but must lie within the bound"),
        (lambda: betting_evalue(0.5, 1.0), ValueError, "single number, but must have a last axis of rows"),
        (lambda: betting_evalue([0.5], 0.0), ValueError, r"bound is 0\.0, but must be a finite number above 0"),
        (lambda: betting_evalue([0.5], math.inf), ValueError, "bound is inf, but must be a finite number above 0"),
        (lambda: betting_evalue([0.5], "1"), ValueError, "bound is '1', but must be a finite number above 0"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((4, 3)), losses.softmax_cross_entropy, optax.sgd(hp["lr"], momentum=0.5), preprocess=standardize()
    )


ACCURACY = Column("validation", "metric", "accuracy", maximize=True)
KEEP = [jreg.keep.outputs, RowScores(ACCURACY, "classification")]
OPTIONS = {"cv": 5, "seeds": 2, "epochs": 6, "batch_size": 16, "layout": jreg.Layout(tuple(jax.devices()), 1)}
SPACE = jreg.grid(lr=[1e-6, 1e-5, 1e-1, 3e-1])
RACES = {
    "anytime": jreg.anytime_elimination(0.2),
    "forgiving": jreg.forgiving_elimination(2),
    "paired": jreg.paired_elimination(0.05),
    "halving": jreg.successive_halving(1, 2),
}


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def full(wine):
    """A study without a race."""
    return jreg.cross_validate(recipe, wine, SPACE, keep=KEEP, progress=False, **OPTIONS)


def test_row_scores_are_those_of_the_outputs(wine, full):
    for fold, rows in enumerate(full.spec.numbered()):
        for seed in range(2):
            found = row_scores(full.results, wine, fold, seed)
            np.testing.assert_allclose(found.mean(axis=1), full.scores[:, fold, seed], rtol=1e-6)
            for setting in range(4):
                outputs = full.results.get(setting, rows.number, seed).kept["outputs"][: len(rows.validation)]
                np.testing.assert_array_equal(found[setting], outputs.argmax(-1) == wine.y[rows.validation])


@pytest.mark.some(2)
@pytest.mark.parametrize("name", RACES)
def test_a_replay_is_the_race(wine, full, name):
    raced = jreg.cross_validate(recipe, wine, SPACE, keep=KEEP, race=RACES[name], progress=False, **OPTIONS)
    found = replay(full.results, RACES[name])
    assert found.kept.tolist() == np.isfinite(raced.scores).all(axis=(1, 2)).tolist()
    np.testing.assert_array_equal(found.reached, raced.epochs_run)
    np.testing.assert_array_equal(found.scores, raced.scores)
    np.testing.assert_array_equal(raced.scores[found.kept], full.scores[found.kept])
    assert 1 <= found.kept.sum() < 4
    assert found.epochs < full.epochs_run.sum()
    if name != "anytime":
        slow = slow_race(RACES[name], full.curve("val_accuracy").astype(float), test_share=0.25)
        assert np.flatnonzero(found.kept).tolist() == slow[-1][1]


def test_a_race_that_is_interrupted_goes_on(wine, full, tmp_path):
    def stop(progress):
        if progress.round == 3:
            raise InterruptedError

    ask = {"race": RACES["anytime"], "store": tmp_path, **OPTIONS}
    with pytest.raises(InterruptedError):
        jreg.cross_validate(recipe, wine, SPACE, progress=stop, **ask)
    begun = jreg.load_results(tmp_path)
    assert begun.spec.keep == ("outputs", "RowScores")
    assert 0 < len(begun) < 40
    found = replay(full.results, RACES["anytime"])
    for study in (jreg.resume(tmp_path, recipe, wine, progress=False),
                  jreg.cross_validate(recipe, wine, SPACE, progress=False, **ask)):  # fmt: skip
        np.testing.assert_array_equal(study.scores, found.scores)
        np.testing.assert_array_equal(study.epochs_run, found.reached)
    loaded = jreg.load_results(tmp_path)
    assert row_scores(loaded, None, 0, 0).shape == (4, 29)


def test_folds_in_another_order(full):
    order = [3, 1, 4, 0, 2]
    race = RACES["forgiving"]
    found = replay(full.results, race, folds=order)
    slow = slow_race(race, full.curve("val_accuracy")[:, order].astype(float), test_share=0.25)
    assert np.flatnonzero(found.kept).tolist() == slow[-1][1]
    assert found.epochs == 6 * sum(ran for *_, ran in slow)
    # The first two folds that were met are those that all settings have.
    assert (found.reached[:, [3, 1], 0] == 6).all()
    for wrong in ([0, 1, 2], [0, 1, 2, 3, 3], [1, 2, 3, 4, 5]):
        with pytest.raises(ValueError, match="the order of the folds is"):
            replay(full.results, race, folds=wrong)


def test_what_cannot_be_replayed(wine, full):
    raced = jreg.cross_validate(recipe, wine, SPACE, keep=KEEP, race=RACES["forgiving"], progress=False, **OPTIONS)
    with pytest.raises(ValueError, match="some trainings are missing or were given up"):
        replay(raced.results, RACES["paired"])
    asked = Race(lambda history: history.kept, one_by_one, needs_rows=True)
    assert replay(full.results, asked).kept.all()


def test_rows_with_weights_and_groups(wine, full):
    weights = np.random.default_rng(0).uniform(0, 2, len(wine))
    weights[:20] = 0
    groups = np.array([f"patient {row // 3}" for row in range(len(wine))])
    plain = row_scores(full.results, None, 0, 0)
    rows = full.spec.numbered()[0].validation
    for own in ({"weights": weights}, {"groups": groups}, {"weights": weights, "groups": groups}):
        data = jreg.Dataset(wine.x, wine.y, **own)
        w, g = own.get("weights", np.ones(len(wine))), own.get("groups", np.arange(len(wine)))
        totals = {name: float(w[g == name].sum()) for name in g}
        found = row_scores(full.results, data, 0, 0)
        expected = [
            [sum(w[row] * score for row, score in zip(rows, scores, strict=True) if g[row] == name) for name in
             sorted(set(g[rows].tolist()))] for scores in plain
        ]  # fmt: skip
        np.testing.assert_allclose(found, np.array(expected) / max(totals.values()), rtol=1e-6)
        assert found.max() <= 1 + 1e-12


def test_a_score_that_is_no_mean_over_rows_is_refused(wine):
    def regression(hp):
        return jreg.Recipe(nn.MLP((1,)), losses.squared_error, optax.sgd(hp["lr"]))

    data = jreg.Dataset(wine.x, wine.x[:, 0], name="alcohol")
    with pytest.raises(ValueError, match="ranks by 'val_r2', which is no mean over rows: take a score that is"):
        jreg.cross_validate(
            regression, data, [{"lr": 1e-3}], race=jreg.anytime_elimination(0.05), epochs=1, progress=False
        )
