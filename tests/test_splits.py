"""Folds: against scikit-learn's splitters, and what is refused."""

import jax
import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, ShuffleSplit, StratifiedKFold, train_test_split

import jreg
from jreg.splits import Folds, as_pairs, hold_out, k_fold, pack


def labels(*counts: int) -> jreg.Dataset:
    """Data with so many examples of each class, in a fixed disorder."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return jreg.Dataset(np.zeros((len(y), 1)), y, name="labels")


def numbers(rows: int) -> jreg.Dataset:
    return jreg.Dataset(np.zeros((rows, 1)), np.linspace(0, 1, rows), name="numbers")


@pytest.mark.parametrize("folds", [2, 3, 7])
@pytest.mark.parametrize("seed", [0, 5])
def test_classification_folds_are_those_of_scikit_learn(folds, seed):
    data = labels(20, 13, 9)
    expected = StratifiedKFold(folds, shuffle=True, random_state=seed).split(data.x, data.y)
    for (train, validation), (other_train, other_validation) in zip(k_fold(data, folds, seed), expected, strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(validation, other_validation)


@pytest.mark.parametrize("folds", [2, 5, 11])
def test_regression_folds_are_those_of_scikit_learn(folds):
    data = numbers(11)
    expected = KFold(folds, shuffle=True, random_state=3).split(data.x)
    for (train, validation), (other_train, other_validation) in zip(k_fold(data, folds, 3), expected, strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(validation, other_validation)


@pytest.mark.parametrize("data", [labels(20, 13, 9), numbers(41)], ids=["classification", "regression"])
def test_folds_partition_the_rows(data):
    pairs = k_fold(data, 5)
    rows = np.arange(len(data.y))
    np.testing.assert_array_equal(np.sort(np.concatenate([validation for _, validation in pairs])), rows)
    for train, validation in pairs:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), rows)
    sizes = [len(validation) for _, validation in pairs]
    assert max(sizes) - min(sizes) <= 1


def test_classes_keep_their_shares_in_every_fold():
    data = labels(50, 20, 10)
    for _, validation in k_fold(data, 10):
        assert np.bincount(data.y[validation]).tolist() == [5, 2, 1]


def test_a_class_without_examples_is_no_obstacle():
    data = jreg.Dataset(np.zeros((8, 1)), [0, 2] * 4)
    assert [np.bincount(data.y[validation]).tolist() for _, validation in k_fold(data, 4)] == [[1, 0, 1]] * 4


def test_packing_pads_with_row_zero_and_counts_what_is_meant():
    folds = pack([([5, 6, 7], [1]), ([2], [3, 4])])
    assert folds.train.tolist() == [[5, 6, 7], [2, 0, 0]]
    assert folds.train_count.tolist() == [3, 1]
    assert folds.validation.tolist() == [[1, 0], [3, 4]]
    assert folds.validation_count.tolist() == [1, 2]
    assert folds.number.tolist() == [0, 1]
    assert [leaf.dtype for leaf in jax.tree.leaves(folds)] == [np.dtype(np.int32)] * 4 + [np.dtype(np.uint32)]


def test_packing_keeps_the_numbers_that_it_is_given():
    folds = pack([([0], [1]), ([1], [0])], numbers=[7, 2**31])
    assert folds.number.tolist() == [7, 2**31]
    assert folds.number.dtype == np.uint32


def test_packing_without_validation_rows():
    folds = pack([([0, 1], [])])
    assert folds.validation.shape == (1, 0)
    assert folds.validation_count.tolist() == [0]


def unpack(folds: Folds) -> list[tuple[list[int], list[int]]]:
    return [
        (train[:n].tolist(), validation[:m].tolist()) for train, n, validation, m, _ in zip(*folds[:5], strict=True)
    ]


def followed(cv, data: jreg.Dataset) -> list[tuple[list[int], list[int]]]:
    return unpack(pack(as_pairs(cv, data)))


def test_a_number_of_folds_shuffles_with_seed_zero():
    data = labels(7, 7)
    expected = [(train.tolist(), validation.tolist()) for train, validation in k_fold(data, 3, seed=0)]
    assert followed(3, data) == expected
    assert followed(np.int64(3), data) == expected


@pytest.mark.parametrize(
    "splitter",
    [StratifiedKFold(4), KFold(3), ShuffleSplit(2, test_size=0.3, random_state=1), LeaveOneOut()],
    ids=lambda splitter: type(splitter).__name__,
)
def test_a_splitter_of_scikit_learn_is_followed(splitter):
    data = labels(6, 5)
    expected = [(train.tolist(), rest.tolist()) for train, rest in splitter.split(data.x, data.y)]
    assert followed(splitter, data) == expected


def test_pairs_are_followed_and_rows_may_be_left_out():
    pairs = [(np.array([0, 1, 2]), [3]), ((4, 5), range(6, 8))]
    assert followed(pairs, labels(5, 5)) == [([0, 1, 2], [3]), ([4, 5], [6, 7])]


def test_a_generator_of_pairs_is_followed():
    assert followed((([0], [1]) for _ in range(2)), labels(2, 2)) == [([0], [1])] * 2


@pytest.mark.parametrize(
    ("cv", "error", "sentence"),
    [
        (1, ValueError, "the number of folds is 1, but must be at least 2"),
        (0, ValueError, "the number of folds is 0, but must be at least 2"),
        (-3, ValueError, "the number of folds is -3, but must be at least 2"),
        (11, ValueError, "labels has 10 rows, fewer than the 11 folds asked for"),
        (5, ValueError, "labels's class 1 has 4 examples, fewer than the 5 folds asked for"),
        ([], ValueError, "cv has no folds, but needs at least one pair"),
        ([([0, 1], [1, 2])], ValueError, "fold 0 trains and validates on the same row"),
        ([([0], [1]), ([2], [10])], ValueError, "fold 1's validation names a row outside 0 to 9"),
        ([([-1], [1])], ValueError, "fold 0's train names a row outside 0 to 9"),
        ([([], [1])], ValueError, "fold 0 has 0 training and 1 validation rows"),
        ([([0, 1], [])], ValueError, "fold 0 has 2 training and 0 validation rows"),
        (2.0, TypeError, r"cv is 2.0, but must be a number of folds, a scikit-learn splitter, or pairs of \("),
        (None, TypeError, "cv is None, but must be a number of folds"),
    ],
)
def test_folds_that_make_no_sense_are_refused(cv, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        as_pairs(cv, labels(6, 4))


@pytest.mark.parametrize("folds", ["3", 3.0, None, True])
def test_the_number_of_folds_is_a_whole_number(folds):
    with pytest.raises(TypeError, match=f"the number of folds is {folds!r}, but must be a whole number of at least 2"):
        k_fold(labels(6, 4), folds)


def test_regression_needs_as_many_rows_as_folds():
    with pytest.raises(ValueError, match="numbers has 4 rows, fewer than the 5 folds asked for"):
        k_fold(numbers(4), 5)


@pytest.mark.parametrize("data", [labels(20, 13, 9), numbers(41)], ids=["classification", "regression"])
def test_the_hold_out_fold_is_scikit_learns(data):
    strata = data.y if data.task == "classification" else None
    train, rest = train_test_split(np.arange(len(data.y)), test_size=0.3, random_state=4, stratify=strata)
    assert followed(hold_out(data, 0.3, seed=4), data) == [(sorted(train), sorted(rest))]


def test_several_labels_an_example_are_shuffled_without_strata():
    data = jreg.Dataset(np.zeros((10, 1)), np.random.default_rng(0).integers(0, 2, (10, 3)))
    [(train, validation)] = hold_out(data, 0.2)
    assert sorted([*train, *validation]) == list(range(10))
    expected = [(train.tolist(), rest.tolist()) for train, rest in KFold(5, shuffle=True, random_state=0).split(data.x)]
    assert followed(5, data) == expected


@pytest.mark.parametrize("size", [0, 1, -0.1, float("nan")])
def test_the_hold_out_share_lies_between_zero_and_one(size):
    with pytest.raises(ValueError, match=f"hold_out's size is {size}, but must lie between 0 and 1"):
        hold_out(numbers(5), size)


def test_hold_out_refuses_what_leaves_a_class_out():
    with pytest.raises(ValueError, match=r"labels can't be split with test_size=0.1: "):
        hold_out(labels(9, 1), 0.1)


def test_the_seed_of_hold_out_is_a_whole_number():
    with pytest.raises(TypeError, match=r"seed is 0.5, but must be a whole number of at least 0"):
        hold_out(numbers(5), 0.2, seed=0.5)


@pytest.mark.parametrize("y", [np.arange(30) % 2, np.linspace(0, 1, 30)])
def test_rows_of_a_group_are_never_in_both_parts(y):
    """As many folds are asked for as a plain number, which has no groups in scikit-learn."""
    groups = np.arange(30) // 3
    data = jreg.Dataset(np.zeros((30, 1)), y, groups=groups)
    for pairs in (as_pairs(4, data), hold_out(data, 0.3)):
        for train, validation in pairs:
            assert not set(groups[train]) & set(groups[validation])
            assert sorted([*train, *validation]) == list(range(30))
    assert sorted(np.concatenate([validation for _, validation in as_pairs(4, data)])) == list(range(30))
    with pytest.raises(ValueError, match=r"has 10 groups of rows, fewer than the 11 folds"):
        as_pairs(11, data)


def test_a_splitter_of_groups_that_there_are_none_of_says_where_they_go():
    with pytest.raises(ValueError, match=r"GroupKFold splits groups of rows, but numbers has none: .*groups=\.\.\."):
        as_pairs(GroupKFold(3), numbers(30))
