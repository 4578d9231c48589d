"""Weights and groups of test rows; row numbers, masks and fractions, which all functions take or refuse alike."""

import dataclasses
import functools

import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn
from jreg.data import permute_pixels, random_labels, subset, summarize
from jreg.data.summary import notes_on, to_text
from jreg.splits import as_pairs, pack
from jreg.statistics import binomial_interval
from jreg.study.fingerprints import of_data
from jreg.study.refit import interval_of
from jreg.training import doors

X, Y = np.arange(24.0).reshape(12, 2), np.arange(12) % 3
PARTS = {"x_test": X[:4], "y_test": Y[:4], "name": "some"}
WEIGHED = jreg.Dataset(X, Y, **PARTS, weights_test=[1, 0, 2, 1], groups=list("aabbccddeeff"), groups_test=list("aagg"))


# Weights and groups of test rows


def test_test_rows_have_weights_and_groups():
    assert WEIGHED.weights_test.dtype == np.float32
    assert WEIGHED.weights_test.tolist() == [1, 0, 2, 1]
    assert WEIGHED.groups_test.tolist() == list("aagg")
    assert repr(WEIGHED).endswith("classification, 6 groups, 4 weighted test rows in 2 groups)")
    found = summarize(WEIGHED)
    assert found["test_weights"] == {"least": 0.0, "mean": 1.0, "most": 2.0}
    assert (found["groups"], found["test_groups"]) == (6, 2)
    assert "groups     2 of test rows" in to_text(found).splitlines()
    assert "weights    0 to 2, mean 1 of test rows" in to_text(found).splitlines()
    assert notes_on(WEIGHED) == [
        "1 of the 2 groups of test rows have training rows too, so that the test says less about new groups"
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            {"weights_test": [1, 1]},
            ValueError,
            r"some's weights_test have shape \(2,\), but must be one number per row",
        ),
        ({"weights_test": [1, 1, -1, 1]}, ValueError, "some's weights_test have a negative number"),
        ({"weights_test": [1, 1, np.nan, 1]}, ValueError, "some's weights_test have NaN"),
        ({"weights_test": [0] * 4}, ValueError, "some's weights_test are all 0"),
        ({"weights_test": list("abcd")}, TypeError, "some's weights_test has dtype <U1, but must hold real numbers"),
        ({"groups_test": [1, 2]}, ValueError, r"some's groups_test have shape \(2,\)"),
        ({"groups_test": [1, 2, None, 3]}, ValueError, "some's groups_test are missing in row 2"),
        (
            {"groups": list(range(12)), "groups_test": list("abcd")},
            TypeError,
            "groups are numbers, but its groups_test",
        ),
        (
            {"x_test": None, "y_test": None, "groups_test": [1]},
            ValueError,
            "some's groups_test are given, but there is no test set",
        ),
        ({"x_test": None, "y_test": None, "weights_test": [1]}, ValueError, "weights_test are given, but there is no"),
    ],
)
def test_they_are_checked_like_the_others(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.Dataset(X, Y, **PARTS | arguments)


def test_data_made_of_others_keep_them():
    for made in (subset(WEIGHED, 2), random_labels(WEIGHED, 0.5), permute_pixels(WEIGHED)):
        np.testing.assert_array_equal(made.weights_test, WEIGHED.weights_test)
        np.testing.assert_array_equal(made.groups_test, WEIGHED.groups_test)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_files_have_them_and_the_split_takes_them_along(tmp_path, kind):
    rows, groups = np.arange(30), np.arange(30) // 3
    arrays = {"x": rows[:, None] * 1.0, "y": rows % 3, "weights": rows + 1.0, "groups": groups}
    np.savez(tmp_path / "some.npz", **arrays)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    data = jreg.load_dataset(tmp_path / "some.npz" if kind == "npz" else tmp_path, test_size=0.3)
    assert (len(data), len(data.y_test)) == (21, 9)
    for end in ("", "_test"):
        np.testing.assert_array_equal(getattr(data, "weights" + end), getattr(data, "x" + end)[:, 0] + 1)
        np.testing.assert_array_equal(getattr(data, "groups" + end), getattr(data, "x" + end)[:, 0] // 3)
    assert not set(data.groups) & set(data.groups_test)
    arrays |= {"x_test": arrays["x"], "y_test": arrays["y"], "weights_test": arrays["weights"]}
    np.savez(tmp_path / "whole.npz", **arrays)
    np.testing.assert_array_equal(jreg.load_dataset(tmp_path / "whole.npz").weights_test, rows + 1)


def test_fingerprints_know_weights_and_groups():
    plain = jreg.Dataset(X, Y)
    others = (dataclasses.replace(plain, **more) for more in ({"weights": Y + 1}, {"groups": Y}, {"groups": Y + 1}))
    assert len({of_data(plain), *map(of_data, others)}) == 4


@pytest.mark.parametrize(
    ("more", "given"),
    [
        ({}, True),
        ({"weights_test": [1, 2, 3, 1]}, False),
        ({"groups_test": list("aabb")}, False),
        ({"groups": Y}, False),
    ],
)
def test_rows_that_are_no_trials_alike_have_no_binomial_interval(more, given):
    asked = dataclasses.replace(design(), data=jreg.Dataset(X, Y, **PARTS, **more))
    found = interval_of(asked, asked.spec.settings[0], {"accuracy": 0.75})
    assert found == (binomial_interval(3, 4) if given else None)


# Row numbers


def recipe(hp):
    return jreg.Recipe(nn.Linear(3), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))


@functools.cache
def design():
    return jreg.Design.of(recipe, jreg.Dataset(X, Y), jreg.grid(rate=[0.1]), cv=3, epochs=1)


class Splitter:
    def __init__(self, rows):
        self.rows = rows

    def split(self, x, y, groups):
        yield self.rows, [11]


def rows_of(pairs):
    return np.asarray(pairs[0][0]).tolist()


TAKERS = {
    "pairs": lambda rows: rows_of(as_pairs([(rows, [11])], WEIGHED)),
    "splitter": lambda rows: rows_of(as_pairs(Splitter(rows), WEIGHED)),
    "design": lambda rows: design().grown(folds=[(rows, [11])]).spec.folds[-1].train.tolist(),
    "spec": lambda rows: design().spec.grown(folds=[(rows, [11])]).folds[-1].train.tolist(),
    "fit": lambda rows: doors.rows_given(rows, [11], 12)[0].tolist(),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    "rows",
    [[0, 2, 3], (0, 2, 3), np.array([0, 2, 3], np.uint8), np.isin(np.arange(12), [0, 2, 3])],
    ids=["list", "tuple", "uint8", "mask"],
)
def test_rows_are_numbers_or_a_mask_everywhere(taker, rows):
    assert TAKERS[taker](rows) == [0, 2, 3]


@pytest.mark.parametrize("taker", [*TAKERS, "pack"])
@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        ([0.0, 1.5], TypeError, r"is float64 of shape \(2,\), but must be row numbers"),
        ([0.0, 1.0], TypeError, r"is float64 of shape \(2,\), but must be row numbers"),
        ([[0, 1]], TypeError, r"is int64 of shape \(1, 2\), but must be row numbers"),
        ([True, False, True], (ValueError, TypeError), "is a mask of 3 flags, but there are 12 rows|is bool of shape"),
        ([0, 40], ValueError, "names a row outside 0 to 11"),
        ([-1, 3], ValueError, "names a row outside 0 to"),
    ],
)
def test_other_rows_are_refused_everywhere(taker, rows, error, sentence):
    if taker == "pack" and rows == [0, 40]:
        return  # nobody knows how many rows there are
    take = {**TAKERS, "pack": lambda rows: pack([(rows, [3])])}[taker]
    with pytest.raises(error, match=sentence):
        take(rows)
