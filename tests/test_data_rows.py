"""Rows of all kinds: several arrays, dtypes that are kept, tasks, weights and groups."""

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jreg
from jreg.data import permute_pixels, random_labels, subset, summarize
from jreg.data.load import split
from jreg.data.summary import to_text

TOKENS = np.array([[5, 2, 8], [1, 1, 0], [7, 0, 0], [2, 2, 2]])
AGE = np.array([30.0, 41.0, 29.0, 55.0])
PARTS = {"tokens": TOKENS, "age": AGE}
Y = np.array([0, 1, 1, 0])
X = np.zeros((4, 2))


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


def kept(x, y=Y, **options):
    return jreg.Dataset(x, y, **options)


# Dtypes


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        *((name, name) for name in ("uint8", "bool", "int8", "int16", "int32", "uint16", "uint32")),
        *((name, name) for name in ("float16", "bfloat16", "float32")),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("float64", "float32"),
        (">i4", "int32"),
        (">i8", "int32"),
        (">u2", "uint16"),
        (">f4", "float32"),
        (">f8", "float32"),
        ("longdouble", "float32"),
    ],
)
def test_examples_keep_their_dtype_but_for_64_bits(given, wanted):
    x = np.arange(8).reshape(4, 2)
    dtype = jnp.bfloat16 if given == "bfloat16" else np.dtype(given)
    data = kept(x.astype(dtype), x_test=x.astype(dtype), y_test=Y)
    assert (data.x.dtype, data.x_test.dtype) == (wanted, wanted)
    np.testing.assert_array_equal(data.x.astype(float), x != 0 if wanted == "bool" else x)
    # What a data set holds goes to the device as it is.
    assert jnp.asarray(data.x).dtype == wanted
    assert kept({"a": x.astype(dtype)}).x["a"].dtype == wanted


@pytest.mark.parametrize(
    ("values", "dtype"), [([2**31 - 1, -(2**31)], np.int64), ([2**32 - 1, 0], np.uint64), ([3.4e38, -3.4e38], float)]
)
def test_the_largest_numbers_that_32_bits_hold_are_kept(values, dtype):
    found = jreg.Dataset(np.array([values], dtype), [0.5]).x
    np.testing.assert_array_equal(found, np.array([values], dtype).astype(found.dtype))


@pytest.mark.parametrize(
    ("value", "dtype", "sentence"),
    [
        (2**31, np.int64, "x has 2147483648, which int32 can't hold: subtract an offset, or make it floating"),
        (-(2**31) - 1, np.int64, "x has -2147483649, which int32 can't hold"),
        (2**32, np.uint64, "x has 4294967296, which uint32 can't hold"),
        (1e39, float, r"x has 1e\+39, which float32 can't hold: scale it down"),
    ],
)
def test_numbers_that_32_bits_can_not_hold_are_refused(value, dtype, sentence):
    with pytest.raises(ValueError, match=f"^data's {sentence}"):
        kept(np.full((4, 2), value, dtype))


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize(("value", "missing"), [(np.nan, "reject"), (np.inf, "reject"), (np.inf, "keep")])
def test_floating_examples_of_every_width_are_checked(dtype, value, missing):
    x = np.zeros((4, 2), dtype)
    x[2, 1] = value
    with pytest.raises(ValueError, match=r"data's x has .*infinity \(first in row 2\)"):
        kept(x, missing=missing)


def test_targets_are_int32_or_float32():
    for dtype in (np.int8, np.uint8, np.int64, np.uint64, bool):
        assert kept(X, Y.astype(dtype)).y.dtype == np.int32
    for dtype in (np.float16, jnp.bfloat16, np.float64):
        assert kept(X, Y.astype(dtype)).y.dtype == np.float32


def test_a_data_set_does_not_change_with_the_array_it_is_made_from():
    x, y = X.astype(np.float32), Y.astype(np.int32)
    data = kept(x, y)
    x[0], y[0] = 7, 7
    assert data.x[0].tolist() == [0, 0]
    assert data.y[0] == 0


def test_the_test_set_has_the_dtypes_of_the_others():
    with pytest.raises(ValueError, match="data's test examples are int32, the others float32"):
        kept(X, x_test=X.astype(int), y_test=Y)
    with pytest.raises(ValueError, match="data's test examples are uint8 in x/a, the others float32"):
        kept({"a": X}, x_test={"a": X.astype(np.uint8)}, y_test=Y)


# Several arrays


def test_a_dict_of_arrays_with_the_same_rows():
    data = jreg.Dataset(PARTS, Y, PARTS, Y, "texts", weights=[1, 2, 0, 1], groups=list("abca"))
    assert {name: part.dtype for name, part in data.x.items()} == {"tokens": np.int32, "age": np.float32}
    np.testing.assert_array_equal(data.x["tokens"], TOKENS)
    np.testing.assert_array_equal(data.x_test["age"], AGE)
    assert (len(data), data.task, data.classes) == (4, "classification", 2)
    shown = "4 rows of age () float32, tokens (3,) int32, classification, weighted, 3 groups, 4 test rows"
    assert repr(data) == f"Dataset(texts: {shown})"


@pytest.mark.parametrize(
    "x",
    [
        (TOKENS, AGE),
        Pair(TOKENS, AGE),
        OrderedDict(tokens=TOKENS, age=AGE),
        {"deep": {"tokens": TOKENS.tolist(), "both": (AGE, jnp.asarray(X))}},
        {0: TOKENS, 1: AGE},
        [TOKENS[0], TOKENS[1], TOKENS[2], TOKENS[3]],
        ((1, 2), (3, 4), (5, 6), (7, 8)),
        [[1.0], [2.0], [3.0], [4.0]],
        jnp.asarray(X),
    ],
    ids=["tuple", "namedtuple", "ordered", "nested", "numbers", "rows", "tuples", "lists", "jax"],
)
def test_what_is_several_arrays_and_what_is_one(x):
    data = kept(x)
    several = isinstance(x, dict) or (isinstance(x, tuple) and not isinstance(x[0], tuple))
    assert isinstance(data.x, np.ndarray) != several
    if several:
        # The structure stays, but for lists of numbers, which are arrays.
        like = jax.tree.map(lambda part: 0, x, is_leaf=lambda part: isinstance(part, list))
        assert jax.tree.structure(data.x) == jax.tree.structure(like)
    assert all(isinstance(part, np.ndarray) and len(part) == 4 for part in jax.tree.leaves(data.x))
    assert len(data) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"x": {"a": X, "b": X[:3]}}, ValueError, "texts has 4 rows in x/a but 3 in x/b"),
        ({"x": {"a": X[:3], "b": X[:3]}}, ValueError, "texts has 3 rows in x/a but 4 in y"),
        ({"x": (X, X[:2])}, ValueError, "texts has 4 rows in x/0 but 2 in x/1"),
        ({"x": {"a": {"b": 5.0}}}, ValueError, r"texts's x/a/b has shape \(\), but must be one row per example, \(n,"),
        ({"x": {"a": np.zeros((4, 0))}}, ValueError, r"texts's x/a has shape \(4, 0\), but must be one row per exam"),
        ({"x": {}}, ValueError, "texts's x is an empty dict, but must hold at least one array"),
        ({"x": {"a": {}}}, ValueError, "texts's x is an empty dict"),
        ({"x": {"a": X, "b": None}}, TypeError, "texts's x/b has dtype object, but must hold real numbers"),
        ({"x": {"a": X, "b": list("abcd")}}, TypeError, "texts's x/b has dtype <U1, but must hold real numbers"),
        ({"x": {"a": X, "b": X * np.nan}}, ValueError, r"texts's x/b has NaN or infinity \(first in row 0\): remove"),
        ({"x": {"a": TOKENS + 2**31}}, ValueError, f"texts's x/a has {2**31}, which int32 can't hold"),
        (
            {"x": [TOKENS, AGE]},
            ValueError,
            "texts's x is a list of rows of different shapes, but must be one array, or a dict or tuple of arrays",
        ),
        (
            {"x_test": {"tokens": TOKENS}, "y_test": Y},
            ValueError,
            "texts's x has the parts age, tokens, but its x_test the parts tokens: both need the same",
        ),
        (
            {"x_test": X, "y_test": Y},
            ValueError,
            "texts's x has the parts age, tokens, but its x_test one array: both need the same",
        ),
        (
            {"x_test": PARTS | {"tokens": TOKENS[:, :2]}, "y_test": Y},
            ValueError,
            r"texts's test examples have shape \(2,\) in x/tokens, the others \(3,\)",
        ),
        (
            {"y": {"a": Y}, "x_test": PARTS, "y_test": {"a": AGE}, "task": "regression"},
            ValueError,
            "texts's y/a is int32, but its y_test/a is float32",
        ),
        (
            {"y": {"a": X}, "x_test": PARTS, "y_test": {"a": AGE}, "task": "regression"},
            ValueError,
            r"texts's y/a has shape \(4, 2\), but its y_test/a \(4,\): one row per example each, and as many columns",
        ),
        ({"y": {"a": Y, "b": Y[:2]}, "task": "regression"}, ValueError, "texts has 4 rows in x/age but 2 in y/b"),
        ({"y": {"a": AGE * np.nan}, "task": "regression"}, ValueError, "texts's y/a has NaN or infinity"),
        ({"y": {"a": Y + 2**31}, "task": "regression"}, ValueError, "texts's y/a has .* which int32 can't hold"),
    ],
)
def test_bad_parts_are_named_in_one_sentence(arguments, error, sentence):
    with pytest.raises(error, match=f"^{sentence}") as found:
        jreg.Dataset(**({"x": PARTS, "y": Y} | arguments), name="texts")
    assert "\n" not in str(found.value)


def test_only_floating_parts_have_missing_values():
    data = kept({"a": np.where(X == 0, np.nan, X), "tokens": TOKENS, "image": X.astype(np.uint8)}, missing="keep")
    assert np.isnan(data.x["a"]).all()
    with pytest.raises(ValueError, match=r"data's x/a has infinity \(first in row 0\), but a missing value is NaN"):
        kept({"a": X + np.inf}, missing="keep")


def test_names_are_those_of_one_array():
    data = kept(PARTS, {"kind": Y}, task="classification", labels=["cat", "dog"], features=["a"])
    assert (data.labels, data.features) == (("cat", "dog"), ("a",))


def test_a_data_set_with_braces_in_its_name_is_refused_as_any_other():
    with pytest.raises(ValueError, match=r"\{mine\}'s x/\{a\} has NaN or infinity \(first in row 0\)"):
        kept({"{a}": X * np.nan}, name="{mine}")


# The task


@pytest.mark.parametrize(
    ("y", "task", "classes", "shape"),
    [
        (Y, "classification", 2, (4,)),
        (TOKENS, "classification", 9, (4, 3)),
        (np.arange(4 * 5 * 6).reshape(4, 5, 6) % 7, "classification", 7, (4, 5, 6)),
        (np.eye(4, dtype=int), "multilabel", 4, (4, 4)),
        (np.arange(4 * 5 * 6).reshape(4, 5, 6) % 2, "multilabel", 6, (4, 5, 6)),
        (np.zeros((4, 2)), "regression", 2, (4, 2)),
        (np.zeros((4, 2, 3)), "regression", 6, (4, 2, 3)),
    ],
)
def test_targets_of_any_shape_with_the_task_given(y, task, classes, shape):
    data = jreg.Dataset(X, y, X, y, task=task)
    assert (data.task, data.classes, data.y.shape, len(data)) == (task, classes, shape, 4)
    assert dataclasses.replace(data, name="other").task == task


def test_the_task_is_seen_where_it_can_be():
    seen = {"classification": Y, "multilabel": np.eye(4, dtype=int), "regression": np.zeros((4, 2, 3))}
    for task, y in seen.items():
        assert kept(X, y).task == task


def test_several_arrays_of_targets_have_the_task_that_is_given():
    y = {"boxes": np.zeros((4, 4)), "kinds": Y - 1}
    for task in ("classification", "multilabel", "regression"):
        data = kept(X, y, task=task)
        assert (data.task, data.classes, len(data)) == (task, 0, 4)
        assert {name: part.dtype for name, part in data.y.items()} == {"boxes": np.float32, "kinds": np.int32}


WANTED = (
    r"give task='classification' \(class labels; one per example has shape \(n,\)\), 'multilabel' or 'regression' "
    r"\(floating\)$"
)


@pytest.mark.parametrize(
    ("y", "task", "sentence"),
    [
        (TOKENS, None, rf"y has integers of shape \(4, 3\) that aren't all 0 and 1, which doesn't show .*: {WANTED}"),
        (
            np.zeros((4, 1, 1), int),
            None,
            rf"y has integers of shape \(4, 1, 1\), which doesn't show the task: {WANTED}",
        ),
        ({"a": Y, "b": AGE}, None, f"y has the parts a, b, which doesn't show the task: {WANTED}"),
        (Y, "ranking", "task is 'ranking', but must be 'classification', 'multilabel' or 'regression'"),
        (
            AGE / 4,
            "classification",
            r"y has floating numbers, but task='classification' needs whole ones \(n,\), such a",
        ),
        (np.eye(4), "classification", r"y has floating .* needs whole ones \(n,\), such as y.argmax\(-1\) of one-hot"),
        (np.eye(4) / 2, "multilabel", "y has floating numbers, but task='multilabel' needs 0 and 1"),
        (Y, "multilabel", r"y has shape \(4,\), but task='multilabel' needs a column per label, \(n, k\)"),
        (TOKENS, "multilabel", "y has 5 in a column of labels, but must have 0 and 1: numbers to predict are float"),
        (TOKENS - 1, "classification", "y has label -1, out of range: labels are 0 to K - 1"),
        (TOKENS + 2**20, "classification", rf"y has label {2**20 + 8}, out of range: .*, K at most 2\*\*20"),
    ],
)
def test_targets_that_do_not_fit_the_task_are_refused(y, task, sentence):
    with pytest.raises(ValueError, match=f"^data's {sentence}") as found:
        kept(X, y, task=task)
    assert "\n" not in str(found.value)


def test_labels_of_the_test_set_are_in_range_in_any_shape():
    with pytest.raises(ValueError, match="data's y_test has label 9, out of range: y has labels 0 to 8"):
        kept(X, TOKENS, x_test=X, y_test=TOKENS + 1, task="classification")
    assert kept(X, {"a": Y}, x_test=X, y_test={"a": Y + 5}, task="classification").y_test["a"].max() == 6


# Weights and groups


def test_weights_are_float32_and_groups_are_what_they_are():
    data = kept(X, weights=np.array([1, 0, 3, 2]), groups=np.array(["a", "b", "a", None])[[0, 1, 2, 0]])
    assert (data.weights.dtype, data.weights.tolist()) == (np.float32, [1, 0, 3, 2])
    assert data.groups.tolist() == ["a", "b", "a", "a"]
    assert data.groups.dtype.kind == "U"
    assert kept(X, groups=[3, 1, 3, 2]).groups.dtype.kind == "i"
    assert kept(X, groups=np.array(["2020-01-01"] * 4, "datetime64[D]")).groups.dtype.kind == "M"
    assert repr(kept(X, groups=[1, 1, 1, 1])).endswith("classification, 1 groups, no test set)")
    assert kept(X).weights is None
    assert kept(X).groups is None


class Missing:
    """As pandas' NA: comparing it gives something that is neither true nor false."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    ("field", "values", "error", "sentence"),
    [
        ("weights", [1, 2], ValueError, r"weights have shape \(2,\), but must be one number per row, \(4,\)"),
        ("weights", np.ones((4, 1)), ValueError, r"weights have shape \(4, 1\), but must be one number per row"),
        ("weights", [1, np.nan, 1, 1], ValueError, r"weights have NaN or infinity \(first in row 1\): 0 leaves a row"),
        ("weights", [1, 1, np.inf, 1], ValueError, r"weights have NaN or infinity \(first in row 2\)"),
        ("weights", [1, 1, 1, -0.5], ValueError, r"weights have a negative number \(first in row 3\), but must be at"),
        ("weights", [0, 0, 0, 0], ValueError, "weights are all 0 in float32, but at least one row must count"),
        ("weights", [1e-60] * 4, ValueError, "weights are all 0 in float32"),
        ("weights", [1e60] * 4, ValueError, r"weights has 1e\+60, which float32 can't hold: scale it down"),
        ("weights", list("abcd"), TypeError, "weights has dtype <U1, but must hold real numbers"),
        ("groups", [1, 2], ValueError, r"groups have shape \(2,\), but must be one group per row, \(4,\)"),
        ("groups", [1, 2, np.nan, 1], ValueError, "groups are missing in row 2: remove the row, or give it a group of"),
        ("groups", ["a", None, "b", "c"], ValueError, "groups are missing in row 1"),
        ("groups", np.array(["a", "b", "c", Missing()], object), ValueError, "groups are missing in row 3"),
        ("groups", np.array(["NaT"] * 4, "datetime64[D]"), ValueError, "groups are missing in row 0"),
        ("groups", np.array([{}, {}, {}, {}]), TypeError, "groups are of type dict, but must be numbers or texts"),
    ],
)
def test_weights_and_groups_are_one_per_row(field, values, error, sentence):
    with pytest.raises(error, match=f"^data's {sentence}") as found:
        kept(X, **{field: values})
    assert "\n" not in str(found.value)


# What is made of them


MANY = jreg.Dataset(
    {"tokens": np.arange(60).reshape(20, 3), "age": np.arange(20) / 4},
    np.arange(20) % 2,
    name="many",
    weights=1 + np.arange(20),
    groups=[f"g{number // 4}" for number in range(20)],
)


def test_a_subset_takes_parts_weights_and_groups_along():
    small = subset(MANY, 3, seed=1)
    rows = small.x["tokens"][:, 0] // 3
    assert np.bincount(small.y).tolist() == [3, 3]
    np.testing.assert_array_equal(small.y, MANY.y[rows])
    np.testing.assert_array_equal(small.x["age"], MANY.x["age"][rows])
    np.testing.assert_array_equal(small.weights, MANY.weights[rows])
    np.testing.assert_array_equal(small.groups, MANY.groups[rows])
    assert small.task == "classification"


def test_random_labels_and_permuted_pixels_keep_weights_and_groups():
    flat = dataclasses.replace(MANY, x=MANY.x["tokens"])
    for made in (random_labels(MANY, 1.0), permute_pixels(flat)):
        np.testing.assert_array_equal(made.weights, MANY.weights)
        np.testing.assert_array_equal(made.groups, MANY.groups)
        assert made.task == "classification"
    assert permute_pixels(flat).x.dtype == np.int32


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: permute_pixels(MANY),
            "permute_pixels got many, whose examples have the parts age, tokens, but needs one array of pixels or feat",
        ),
        (
            lambda: subset(kept(X, TOKENS, task="classification"), 1),
            r"subset got data, whose y has shape \(4, 3\), but needs one class per example",
        ),
        (
            lambda: random_labels(kept(X, {"a": Y, "b": Y}, task="classification"), 1),
            "random_labels got data, whose y has the parts a, b, but needs one class per example",
        ),
        (lambda: subset(kept(X, AGE), 1), "subset got data, which is for regression, but needs one class per example"),
    ],
)
def test_what_needs_one_array_says_so(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call()


def test_rows_are_split_in_classes_only_where_each_has_one():
    first, second = split(kept(np.zeros((4, 1)), TOKENS, task="classification"), 0.25, 0)
    assert sorted([*first, *second]) == [0, 1, 2, 3]
    first, second = split(dataclasses.replace(MANY, groups=None), 0.5, 0)
    assert np.bincount(MANY.y[second]).tolist() == [5, 5]


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_files_of_tokens_stay_integers_and_take_a_task(tmp_path, kind):
    path = tmp_path / "texts.npz" if kind == "npz" else tmp_path
    np.savez(tmp_path / "texts.npz", x=TOKENS[:, :-1], y=TOKENS[:, 1:])
    np.save(tmp_path / "x.npy", TOKENS[:, :-1])
    np.save(tmp_path / "y.npy", TOKENS[:, 1:])
    with pytest.raises(ValueError, match=r"y has integers of shape .*: give task='classification'"):
        jreg.load_dataset(path)
    data = jreg.load_dataset(path, task="classification", test_size=0.25)
    assert (data.x.dtype, data.y.dtype, data.task) == (np.int32, np.int32, "classification")
    assert (len(data), len(data.y_test)) == (3, 1)


def test_tables_have_float32_features(tmp_path):
    (tmp_path / "whole.csv").write_text("a,b,y\n1,2,0\n3,4,1\n5,6,0\n")
    assert jreg.load_dataset(tmp_path / "whole.csv", test_size=0).x.dtype == np.float32
    assert jreg.load_dataset(tmp_path / "whole.csv", test_size=0, task="regression").task == "regression"
    for name in ("digits", "wine", "breast_cancer", "diabetes"):
        assert jreg.load_dataset(name, test_size=0).x.dtype == np.float32
    numbers = jreg.load_dataset("digits", task="regression", test_size=0)
    assert (numbers.task, numbers.y.dtype, numbers.labels) == ("regression", np.float32, ())
    np.testing.assert_array_equal(numbers.y, jreg.load_dataset("digits", test_size=0).y)


def test_items_of_tokens_stay_integers_and_take_a_task():
    items = [(row[:-1], row[1:]) for row in TOKENS]
    data = jreg.data.from_items(items, task="classification", name="texts")
    assert (data.x.dtype, data.task, data.classes) == (np.int32, "classification", 9)


# What is in them


def test_parts_weights_and_groups_are_summarized():
    x = {"tokens": TOKENS, "age": np.where(AGE > 50, np.nan, AGE)}
    data = jreg.Dataset(x, Y, x, Y, "texts", "keep", weights=[1, 2, 0, 1], groups=list("abca"))
    assert summarize(data) == {
        "name": "texts",
        "task": "classification",
        "rows": 4,
        "test_rows": 4,
        "bytes": 2 * 4 * 4 * 4,
        "missing": 2,
        "missing_rows": 2,
        "parts": [
            {"part": "age", "shape": [], "dtype": "float32", "least": 29.0, "most": 41.0, "missing": 2},
            {"part": "tokens", "shape": [3], "dtype": "int32", "least": 0.0, "most": 8.0, "missing": 0},
        ],
        "targets": [{"target": "0", "rows": 2, "test_rows": 2}, {"target": "1", "rows": 2, "test_rows": 2}],
        "features": [],
        "weights": {"least": 0.0, "mean": 1.0, "most": 2.0},
        "groups": 3,
    }
    assert to_text(summarize(data)).splitlines()[:10] == [
        "texts: classification",
        "rows       4, 4 for the test",
        "examples   2 parts, 0.000128 MB",
        "missing    2 in 2 rows",
        "weights    0 to 2, mean 1",
        "groups     3",
        "",
        "part    shape    dtype  least  most  missing",
        "age        ()  float32     29    41        2",
        "tokens   (3,)    int32      0     8        0",
    ]


@pytest.mark.parametrize(
    ("y", "task", "expected"),
    [
        (
            {"boxes": np.arange(8.0).reshape(4, 2), "kinds": Y},
            "regression",
            [
                {"target": "boxes", "shape": [2], "dtype": "float32", "least": 0.0, "mean": 3.5, "most": 7.0},
                {"target": "kinds", "shape": [], "dtype": "int32", "least": 0.0, "mean": 0.5, "most": 1.0},
            ],
        ),
        (
            [[0, 1, 1], [1, 1, 2], [0, 0, 0], [2, 1, 2]],
            "classification",
            [
                {"target": "0", "labels": 4, "test_labels": 0},
                {"target": "1", "labels": 5, "test_labels": 0},
                {"target": "2", "labels": 3, "test_labels": 0},
            ],
        ),
        (
            [[[0, 1], [1, 1]]] * 4,
            "multilabel",
            [{"target": "0", "labels": 4, "test_labels": 0}, {"target": "1", "labels": 8, "test_labels": 0}],
        ),
        (
            [[[0.0, 1.0]]] * 4,
            "regression",
            [
                {"target": "0,0", "least": 0.0, "mean": 0.0, "most": 0.0},
                {"target": "0,1", "least": 1.0, "mean": 1.0, "most": 1.0},
            ],
        ),
    ],
)
def test_targets_of_every_form_are_summarized(y, task, expected):
    found = summarize(kept(X, y, task=task))
    assert found["targets"] == expected
    assert to_text(found).splitlines()[5].split()[0] == "target"


def test_bfloat16_and_bool_are_summarized():
    found = summarize(kept({"a": jnp.full((4, 1), 1.5, jnp.bfloat16), "b": X == 0}))
    assert [(part["dtype"], part["least"], part["most"]) for part in found["parts"]] == [
        ("bfloat16", 1.5, 1.5),
        ("bool", 1.0, 1.0),
    ]
