"""Every splitter of scikit-learn's as `cv`, the repeats of a k-fold and their standard error, and bootstrap bags."""

import jax
import numpy as np
import optax
import pytest
from sklearn import model_selection
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    LeavePGroupsOut,
    LeavePOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)

import jreg
from jreg import losses, nn, report
from jreg.report.ranked import paired_interval
from jreg.results.selection import Baseline
from jreg.splits import as_pairs, bootstrap, hold_out, k_fold, repeats
from jreg.statistics import mean_and_standard_error

RNG = np.random.default_rng(0)
Y = np.arange(24) % 2
X = RNG.normal(size=(24, 2)) + np.eye(2)[Y]
PLAIN = jreg.Dataset(X, Y, name="plain")
GROUPED = jreg.Dataset(X, Y, groups=np.arange(24) // 4)

SPLITTERS = [
    KFold(3),
    StratifiedKFold(3),
    GroupKFold(3),
    StratifiedGroupKFold(3),
    ShuffleSplit(4, test_size=0.25, random_state=0),
    StratifiedShuffleSplit(4, test_size=0.25, random_state=0),
    GroupShuffleSplit(4, test_size=0.34, random_state=0),
    TimeSeriesSplit(4),
    LeaveOneOut(),
    LeavePOut(2),
    LeaveOneGroupOut(),
    LeavePGroupsOut(2),
    PredefinedSplit(np.r_[np.full(8, -1), np.arange(16) % 4]),
    RepeatedKFold(n_splits=3, n_repeats=4, random_state=0),
    RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
]
# What later versions have beside these.
SPLITTERS += [
    getattr(model_selection, name)(n_splits=3, n_repeats=2, random_state=0)
    for name in ("RepeatedGroupKFold", "RepeatedStratifiedGroupKFold")
    if hasattr(model_selection, name)
]
REPEATS = {"RepeatedKFold": 4, "RepeatedStratifiedKFold": 2, "RepeatedGroupKFold": 2, "RepeatedStratifiedGroupKFold": 2}


def name_of(splitter):
    return type(splitter).__name__


@pytest.mark.parametrize("splitter", SPLITTERS, ids=name_of)
def test_every_splitter_of_scikit_learn_is_followed_and_its_repeats_are_known(splitter):
    data = GROUPED if "Group" in name_of(splitter) else PLAIN
    expected = list(splitter.split(X, Y, data.groups))
    found = as_pairs(splitter, data)
    assert len(found) == len(expected)
    for pair, wanted in zip(found, expected, strict=True):
        for part, rows in zip(pair, wanted, strict=True):
            np.testing.assert_array_equal(part, rows)
    count = REPEATS.get(name_of(splitter))
    of = repeats(validation for _, validation in found)
    if count is None:
        assert of is None
    else:
        np.testing.assert_array_equal(of, np.repeat(np.arange(count), 3))


def test_all_splitters_of_this_version_are_among_them():
    there = {
        name
        for name in dir(model_selection)
        if isinstance(kind := getattr(model_selection, name), type)
        and hasattr(kind, "split")
        and not name.startswith(("Base", "_"))
    }
    assert there == {name_of(splitter) for splitter in SPLITTERS}


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ([[0, 1], [2, 3], [1, 3], [0, 2]], [0, 0, 1, 1]),
        # Folds of other sizes and numbers, and rows that are never validated.
        ([[5], [7, 9], [9], [5], [7]], [0, 0, 1, 1, 1]),
        ([[0, 1], [2, 3]], None),
        ([[0, 1]], None),
        ([], None),
        # Folds that overlap, an unfinished repeat, a row twice in a fold, the same rows with other training rows.
        ([[0, 1], [1, 2], [0, 2]], None),
        ([[0, 1], [2, 3], [1, 3]], None),
        ([[0, 0], [1], [0], [1]], None),
        ([[0, 1], [0, 1]], None),
    ],
)
def test_repeats_are_consecutive_partitions(validation, expected):
    found = repeats(validation)
    assert (None if found is None else found.tolist()) == expected


def test_repeats_by_hand_are_repeats_too():
    pairs = [pair for seed in range(3) for pair in k_fold(PLAIN, 4, seed)]
    assert repeats(validation for _, validation in pairs).tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert repeats(out for _, out in bootstrap(PLAIN, 6)) is None
    assert repeats(validation for _, validation in hold_out(PLAIN)) is None


# Standard errors


def test_the_standard_error_of_repeats_is_that_of_one():
    scores = RNG.normal(size=(2, 6, 3))
    of = np.array([0, 0, 0, 1, 1, 1])
    means, errors = mean_and_standard_error(scores, of)
    np.testing.assert_array_equal(means, mean_and_standard_error(scores)[0])
    each = [mean_and_standard_error(scores[:, part])[1] for part in (slice(3), slice(3, 6))]
    np.testing.assert_allclose(errors, np.sqrt((each[0] ** 2 + each[1] ** 2) / 2), rtol=1e-12)
    # The same repeat several times is worth one of them.
    np.testing.assert_allclose(mean_and_standard_error(np.tile(scores[:, :3], (1, 2, 1)), of)[1], each[0], rtol=1e-12)
    for one in (None, np.zeros(6, int)):
        for ours, plain in zip(mean_and_standard_error(scores, one), mean_and_standard_error(scores), strict=True):
            np.testing.assert_array_equal(ours, plain)


def test_repeats_do_not_make_the_standard_error_smaller():
    """Of a mean over 10 repeats of 5 folds, against the spread of such means over 500 data sets.

    The score of a row is 0 or 1, as that of a classifier that always predicts the same, so that the mean over all
    repeats is that of the rows, of variance 1/4n. The error that takes all 50 folds for independent is smaller by
    sqrt(10) or more. The variance of 500 means is off by 35% with probability 4e-8 (5.5 standard deviations); a squared
    error, about chi-squared with 4 degrees of freedom, deviates by 71% at most, and the mean of 500 by 20% with less.
    """
    rng, n, k, r = np.random.default_rng(1), 100, 5, 10
    of = np.repeat(np.arange(r), k)
    means, squares, naive = [], [], []
    for _ in range(500):
        right = rng.random(n) < 0.5
        scores = np.stack([right[rng.permutation(n)].reshape(k, -1).mean(axis=1) for _ in range(r)]).reshape(-1, 1)
        mean, error = mean_and_standard_error(scores, of)
        means.append(float(mean))
        squares.append(float(error) ** 2)
        naive.append(float(mean_and_standard_error(scores)[1]) ** 2)
    true = 1 / (4 * n)
    assert np.var(means) == pytest.approx(true, rel=0.35)
    assert np.mean(squares) == pytest.approx(true, rel=0.2)
    assert np.mean(naive) < 0.13 * true


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        ([0, 0, 1], r"repeats have shape \(3,\), but must be one number for each of the 4 folds"),
        ([0, 0, 0, 1], "repeat 1 has one fold alone, but needs two or more"),
    ],
)
def test_repeats_that_are_none_are_refused(of, sentence):
    with pytest.raises(ValueError, match=f"mean_and_standard_error's {sentence}"):
        mean_and_standard_error(np.zeros((4, 1)), np.array(of))


def test_the_interval_of_differences_respects_repeats():
    once = RNG.normal(size=(3, 4))
    means, widths = paired_interval(once)
    again = paired_interval(np.tile(once, 5), np.repeat(np.arange(5), 4))
    np.testing.assert_allclose(again, (means, widths), rtol=1e-12)


def test_the_baselines_error_respects_repeats():
    once, twice = Baseline("majority class", (0.25, 0.5)), Baseline("majority class", (0.25, 0.5) * 2, (0, 0, 1, 1))
    assert twice.standard_error == pytest.approx(once.standard_error)


# A study of repeats, and one of one-row folds that leave rows out


def recipe(hp):
    return jreg.Recipe(nn.Linear(2), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))


OPTIONS = {"epochs": 2, "batch_size": 24, "progress": False}


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    with jax.numpy_dtype_promotion("strict"):
        cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
        folder = tmp_path_factory.mktemp("repeated")
        return jreg.cross_validate(recipe, PLAIN, jreg.grid(rate=[0.1, 0.5]), cv=cv, store=folder, **OPTIONS), folder


def test_a_study_knows_its_repeats(repeated):
    study, folder = repeated
    assert study.spec.repeats.tolist() == [0, 0, 0, 1, 1, 1]
    scores = study.scores[..., 0].astype(np.float64).reshape(2, 2, 3)
    expected = np.sqrt((scores.var(axis=2, ddof=1) / 3).mean(axis=1))
    for results in (study.results, jreg.load_results(folder)):
        np.testing.assert_allclose([one.standard_error for one in results.settings], expected, rtol=1e-5)
        np.testing.assert_allclose([one.mean for one in results.settings], scores.mean(axis=(1, 2)), rtol=1e-5)
        assert "over 3 folds x 2 repeats x 1 seeds" in repr(results.best)
        assert "over 3 folds x 2 repeats, 1 seed" in " ".join(report.table(results).split())
        assert results.baseline.repeats == (0, 0, 0, 1, 1, 1)


def test_rows_predicted_several_times_are_averaged_to_one(repeated):
    found = repeated[0].out_of_fold()
    assert found.rows.tolist() == np.repeat(np.arange(24), 2).tolist()
    once = found.averaged()
    assert once.rows.tolist() == list(range(24))
    assert set(once.folds) == {-1}
    np.testing.assert_array_equal(once.targets, Y)
    np.testing.assert_allclose(once.probabilities, found.probabilities.reshape(24, 2, 2).mean(axis=1), rtol=1e-6)
    # Of rows predicted once nothing changes.
    first = found._replace(
        rows=found.rows[::2], folds=found.folds[::2], targets=found.targets[::2], outputs=found.outputs[:, ::2]
    )
    np.testing.assert_allclose(first.averaged().probabilities, first.probabilities, rtol=1e-6)
    np.testing.assert_array_equal(first.averaged().folds, first.folds)


@pytest.mark.slow
def test_one_row_folds_have_scores_and_rows_may_be_left_out():
    study = jreg.cross_validate(recipe, PLAIN, jreg.grid(rate=[0.5]), cv=TimeSeriesSplit(6, test_size=1), **OPTIONS)
    assert set(study.scores.ravel().tolist()) <= {0.0, 1.0}
    found = study.out_of_fold()
    assert found.rows.tolist() == list(range(18, 24))
    assert study.best.mean == pytest.approx(np.mean(found.predictions == Y[18:]))
    assert study.spec.repeats is None
    np.testing.assert_array_equal(found.averaged().predictions, found.predictions)
    assert study.score("accuracy") == pytest.approx(study.best.mean)
