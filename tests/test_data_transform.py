"""Data sets made from others, against counts and against what must stay the same."""

import numpy as np
import pytest

import jreg
from jreg.data import permute_pixels, random_labels, subset

DIGITS = jreg.load_dataset("digits")


def test_a_subset_has_as_many_rows_of_every_class_and_they_are_rows_of_the_data():
    small = subset(DIGITS, 7, seed=3)
    assert np.bincount(small.y).tolist() == [7] * 10
    whole = {(row.tobytes(), label) for row, label in zip(DIGITS.x, DIGITS.y, strict=True)}
    chosen = [(row.tobytes(), label) for row, label in zip(small.x, small.y, strict=True)]
    assert set(chosen) <= whole
    assert len(set(chosen)) == 70
    np.testing.assert_array_equal(small.x_test, DIGITS.x_test)


def test_a_subset_depends_on_its_seed_and_is_part_of_a_larger_one():
    small, same, other, large = (subset(DIGITS, n, seed) for n, seed in ((5, 1), (5, 1), (5, 2), (9, 1)))
    np.testing.assert_array_equal(small.x, same.x)
    assert not np.array_equal(small.x, other.x)
    assert {row.tobytes() for row in small.x} < {row.tobytes() for row in large.x}


def test_random_labels_are_wrong_at_the_expected_rate_and_test_labels_stay():
    many = jreg.Dataset(np.zeros((20_000, 1)), np.arange(20_000) % 5, np.zeros((2, 1)), [0, 4])
    for share in (0.3, 1.0):
        noisy = random_labels(many, share)
        wrong = noisy.y != many.y
        # Standard deviation of the mean at most 0.0036; 6 of them have a false-alarm probability of 2e-9.
        assert abs(wrong.mean() - share * 0.8) < 6 * 0.5 / np.sqrt(20_000)
        # Each of the 25 pairs of an old and a new label: 6 standard deviations, 5e-8 altogether.
        for old in range(5):
            seen = np.bincount(noisy.y[many.y == old], minlength=5) / 4000
            assert np.abs(seen - np.where(np.arange(5) == old, 1 - share * 0.8, share / 5)).max() < 6 * 0.5 / np.sqrt(
                4000
            )
        np.testing.assert_array_equal(noisy.y_test, many.y_test)
        np.testing.assert_array_equal(noisy.x, many.x)


def test_a_larger_share_keeps_the_wrong_labels_of_a_smaller_one():
    none, few, many = (random_labels(DIGITS, share, seed=2).y for share in (0.0, 0.2, 0.7))
    np.testing.assert_array_equal(none, DIGITS.y)
    wrong = few != DIGITS.y
    np.testing.assert_array_equal(many[wrong], few[wrong])
    assert not np.array_equal(random_labels(DIGITS, 0.2, seed=3).y, few)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 3, 4)])
def test_pixels_are_permuted_alike_in_all_rows(shape):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (8, *shape), dtype=np.uint8)
    data = jreg.Dataset(x[:5], np.zeros(5, int), x[5:], np.zeros(3, int), missing="keep")
    moved = permute_pixels(data, seed=1)
    assert moved.x.dtype == np.uint8
    before, after = (np.concatenate([d.x, d.x_test]).reshape(8, 6, -1) for d in (data, moved))
    # Each pixel's values over all rows, channels together, are found again at exactly one place.
    places = [[j for j in range(6) if np.array_equal(after[:, j], before[:, i])] for i in range(6)]
    assert sorted(place for [place] in places) == list(range(6))
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(moved.x, permute_pixels(data, seed=1).x)
    assert not np.array_equal(moved.x, permute_pixels(data, seed=4).x)


def test_names_of_features_move_with_them():
    data = jreg.Dataset([[0.0, 1.0, 2.0, 3.0]], [0], features=["0", "1", "2", "3"])
    moved = permute_pixels(data, seed=1)
    assert [float(name) for name in moved.features] == moved.x[0].tolist()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: subset(DIGITS, 1000), ValueError, "digits's class 0 has 142 rows, but subset is to take 1000"),
        (lambda: subset(DIGITS, 0), ValueError, "subset's per_class is 0, but must be at least 1"),
        (lambda: subset(DIGITS, 2.5), TypeError, "subset's per_class is 2.5, but must be a whole number"),
        (lambda: subset(DIGITS, 2, seed=-1), ValueError, "seed is -1, but must be at least 0"),
        (lambda: random_labels(DIGITS, 1.5), ValueError, r"random_labels' share is 1.5, but must lie in \[0, 1\]"),
        (lambda: random_labels(DIGITS, float("nan")), ValueError, "random_labels' share is nan"),
        (lambda: random_labels(DIGITS, 0.5, seed=2**32), ValueError, "seed is 4294967296, but must be below"),
        (lambda: permute_pixels(DIGITS, seed=0.5), TypeError, "seed is 0.5, but must be a whole number"),
        (lambda: subset(jreg.load_dataset("diabetes"), 1), ValueError, "subset got diabetes, which is for regression"),
        (
            lambda: random_labels(jreg.Dataset([[0.0]], [[0, 1]], name="tags"), 0.5),
            ValueError,
            "random_labels got tags, which is for multilabel, but needs one class per example",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
