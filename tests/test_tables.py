"""Tables as people have them: files and frames alike, how numbers are written, what no column silently becomes."""

import csv
import dataclasses
import datetime
import importlib
import json
from pathlib import Path

import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn
from jreg.data import Encoder, from_csv, from_frame, load_dataset, standardize
from jreg.data.summary import in_short, notes_on

RNG = np.random.default_rng(0)
ROWS = 40
# Every kind of column, with values missing, and dates that are dropped.
TABLE = {
    "whole": [None if n % 9 == 0 else n * 7 % 23 for n in range(ROWS)],
    "size": [None if n % 11 == 0 else round(v, 3) for n, v in enumerate(RNG.normal(size=ROWS))],
    "city": [("Bonn", "Köln", "NA", "a, b")[n % 4] for n in range(ROWS)],
    "smoker": [None if n == 5 else n % 3 == 0 for n in range(ROWS)],
    "code": [None if n == 3 else n % 5 for n in range(ROWS)],
    "time": [1.7e9 + n * 37 % 600 + 0.25 for n in range(ROWS)],
    "day": [datetime.date(2020, 1, 1) + datetime.timedelta(n) for n in range(ROWS)],
    "patient": [n // 4 for n in range(ROWS)],
    "weight": [1 + n % 3 / 4 for n in range(ROWS)],
}
TARGETS = {
    "texts": [("yes", "no", "perhaps")[n % 3] for n in range(ROWS)],
    "truths": [n % 2 == 0 for n in range(ROWS)],
    "labels": [n % 3 + 1 for n in range(ROWS)],
    "signs": [2 * (n % 2) - 1 for n in range(ROWS)],
    "numbers": [n * 0.37 for n in range(ROWS)],
}
OPTIONS = {"groups": "patient", "weights": "weight", "drop": ["day"], "categorical": ["code"], "missing": "keep"}


def written(path: Path, table: dict, separator: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return path


def framed(library: str, table: dict):
    module = pytest.importorskip(library, reason=f"{library} is not installed: its data frames are compared with files")
    return module.table(table) if library == "pyarrow" else module.DataFrame(table)


def same(one: jreg.Dataset, other: jreg.Dataset) -> None:
    for field in ("x", "y", "x_test", "y_test", "weights", "groups", "weights_test", "groups_test"):
        left, right = getattr(one, field), getattr(other, field)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
    for field in ("task", "labels", "features", "missing", "encoder"):
        assert getattr(one, field) == getattr(other, field)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("library", ["dict", "polars", "pandas", "pyarrow"])
def test_a_file_and_a_frame_give_the_same_data(library, target, tmp_path):
    table = {**TABLE, "target": TARGETS[target]}
    test = {name: column[::-1][:8] for name, column in table.items()}
    frames = [one if library == "dict" else framed(library, one) for one in (table, test)]
    files = [written(tmp_path / f"{n}.csv", one) for n, one in enumerate((table, test))]
    found = from_csv(files[0], test=files[1], **OPTIONS)
    same(found, from_frame(frames[0], test=frames[1], **OPTIONS))
    assert found.features[:2] == ("whole", "size")
    assert found.features[2:] == (
        *("city=Bonn", "city=Köln", "city=a, b", "smoker", *(f"code={n}" for n in range(5)), "time"),
    )
    assert (found.task, found.labels) == {
        "texts": ("classification", ("no", "perhaps", "yes")),
        "truths": ("classification", ("False", "True")),
        "labels": ("classification", ("1", "2", "3")),
        "signs": ("classification", ("-1", "1")),
        "numbers": ("regression", ()),
    }[target]
    np.testing.assert_array_equal(found.groups, TABLE["patient"])
    np.testing.assert_array_equal(found.weights_test, np.float32(test["weight"]))
    # The first test row is the last row of the table, in a column of truth values and in one that is shifted.
    np.testing.assert_array_equal(found.x_test[0], found.x[-1])


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_what_a_library_has_written_and_read_stays_the_same(library, tmp_path):
    framed(library, {})
    module = importlib.import_module(library)
    path = written(tmp_path / "t.csv", {**TABLE, "target": TARGETS["truths"]})
    read = module.read_csv(path)
    same(from_csv(path, **OPTIONS), from_frame(read, **OPTIONS))
    again = tmp_path / "again.csv"
    read.write_csv(again) if library == "polars" else read.to_csv(again, index=False)
    same(from_csv(path, **OPTIONS), from_csv(again, **OPTIONS))


def test_a_frame_says_which_columns_are_categories():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: its data frames are compared with files")
    frame = pandas.DataFrame({"code": pandas.Categorical([1, 2, 1, 3]), "y": [0, 1, 1, 0]})
    assert from_frame(frame).features == ("code=1", "code=2", "code=3")
    frame = pandas.DataFrame({"day": pandas.to_datetime(["2020-01-01"] * 12), "y": [0, 1] * 6})
    with pytest.raises(
        ValueError, match="column 'day' has dates such as '2020-01-01 00:00:00': write dates as numbers"
    ):
        from_frame(frame)
    frame["day"] = frame["day"] - frame["day"][0]
    with pytest.raises(ValueError, match="'day' has durations, but must have numbers or texts: give seconds or days"):
        from_frame(frame)
    with pytest.raises(ValueError, match="can't be read: Expected unique column names, got: - 'a' 2 times"):
        from_frame(pandas.DataFrame([[1, 2, 0]], columns=["a", "a", "y"]))


def test_a_frame_without_rows_in_memory_is_named():
    polars = pytest.importorskip("polars", reason="polars is not installed: its lazy frames are refused")
    with pytest.raises(TypeError, match=r"a LazyFrame has no rows in memory: give what its collect\(\)"):
        from_frame(polars.LazyFrame({"a": [1], "y": [0]}))
    # A series is a column.
    assert from_frame({"a": polars.Series([1, None]), "y": [0.5, 2]}, missing="keep").x.tolist()[0] == [1.0]
    for frame in (np.zeros((2, 2)), "t.csv", [[1]], None):
        with pytest.raises(
            TypeError, match=r"from_frame got a .*, but takes a data frame of pandas, polars or pyarrow"
        ):
            from_frame(frame)


# How numbers are written.


@pytest.mark.parametrize(
    ("texts", "options", "numbers"),
    [
        (["1,000", "-950", "2,500,000.5"], {"thousands": ","}, [1000, -950, 2500000.5]),
        (["0,5", "1,25", "3"], {"decimal": ","}, [0.5, 1.25, 3]),
        (["1.234.567,5", "2.000", "3"], {"decimal": ",", "thousands": "."}, [1234567.5, 2000, 3]),
        (["1 234", "\u22125", "7,5e-1"], {"decimal": ",", "thousands": " "}, [1234, -5, 0.75]),
        (["1'234.5", "5", ".5"], {"thousands": "'"}, [1234.5, 5, 0.5]),
    ],
)
def test_numbers_are_read_as_they_are_written(texts, options, numbers, tmp_path):
    path = written(tmp_path / "t.csv", {"x": [*texts, ""] * 4, "y": [0, 1, 1, 0] * 4}, ";")
    data = load_dataset(path, test_size=0, missing="keep", **options)
    np.testing.assert_array_equal(data.x[:4, 0], np.float32([*numbers, np.nan]))
    # What was said of the training table holds of another one, and of a target.
    np.testing.assert_array_equal(data.encoder.encode({"x": texts})[:, 0], np.float32(numbers))
    target = from_frame({"y": range(len(texts)), "x": texts}, task="regression", **options)
    np.testing.assert_array_equal(target.y, np.float32(numbers))
    words = {"decimal": "--decimal ,", "thousands": "--thousands "}
    with pytest.raises(
        ValueError, match=r"no plain number: .* reads the numbers, or read it as categories by"
    ) as found:
        load_dataset(path, missing="keep")
    assert all(words[option] in str(found.value) for option in options)


def test_numbers_of_another_form_are_named():
    table = {"x": ["1.5", "2.5"] * 6, "y": [0, 1] * 6}
    with pytest.raises(ValueError, match=r"column 'x' has '1.5' in row 0, no plain number"):
        from_frame(table, decimal=",")
    encoder = Encoder.fit({"x": ["1,5", "2,5"], "y": [0, 1]}, decimal=",")
    with pytest.raises(ValueError, match=r"column 'x' has '1.5' in row 1, but must hold numbers"):
        encoder.encode({"x": ["1,5", "1.5"]})
    for options, sentence in (
        ({"decimal": ";"}, "decimal is ';', but must be '.' or ','"),
        ({"thousands": "."}, r"thousands is '.', but must be .* and no decimal sign \('.'\)"),
        ({"thousands": "5"}, "thousands is '5', but must be one of ','"),
        ({"delimiter": ";;"}, "delimiter is ';;', but must be one sign"),
        ({"delimiter": "a"}, "delimiter is 'a', but must be one sign"),
        ({"most_categories": 0}, "most_categories is 0, but must be at least 1"),
        ({"most_categories": 2.5}, "most_categories"),
    ):
        with pytest.raises((ValueError, TypeError), match=sentence):
            from_csv("t.csv", **options)


def test_a_delimiter_is_found_said_and_kept(tmp_path):
    table = {"a": [1.5, 2.5], "b": [0.5, 1.5]}
    for sign in ";\t|":
        data = load_dataset(written(tmp_path / "t.csv", table, sign), test_size=0)
        assert data.encoder.delimiter == sign
        assert f"its columns are separated by {sign!r}: delimiter=... (--delimiter) says it otherwise" in notes_on(data)
    assert load_dataset(written(tmp_path / "t.csv", table), test_size=0).encoder.delimiter is None
    path = written(tmp_path / "t.csv", table, ":")
    with pytest.raises(
        ValueError, match=r"no column but its target 'a:b': .*, unless delimiter=... \(--delimiter\) says"
    ):
        load_dataset(path)
    data = load_dataset(path, delimiter=":", test_size=0)
    for sign in ":,":
        np.testing.assert_array_equal(data.encoder.encode(written(tmp_path / "new.csv", table, sign)), data.x)
    path.write_text("a;b,c\n1;2,3,4\n")
    with pytest.raises(
        ValueError, match=r"line 2, but .* separated by ',': .*, or say .* delimiter=';' \(--delimiter '"
    ):
        load_dataset(path)


# What no column silently becomes.


@pytest.mark.parametrize(
    ("name", "column", "sentence"),
    [
        (
            "name",
            [f"n{n}" for n in range(12)],
            "12 different texts, another one in every row, as an id or a name has: ",
        ),
        ("id", range(12), "has another whole number in every row, from 0 to 11, as an id has: rename what measures"),
        ("PassengerId", range(100, 112), "has another whole number in every row, from 100 to 111, as an id has"),
        ("row_nr", RNG.permutation(12), "as an id has"),
        ("when", ["2020-01-31", "2020-02-01 12:30"] * 6, "dates such as '2020-01-31': write dates as numbers, such as"),
        ("when", ["31.12.2020", ""] * 6, "dates such as '31.12.2020'"),
        ("when", ["12/31/99 1:00 PM"] * 12, "dates such as '12/31/99 1:00 PM'"),
        ("when", ["3 May 2021", "May 4, 2021"] * 6, "has dates such as '3 May 2021'"),
    ],
)
def test_ids_and_dates_are_named_with_what_helps(name, column, sentence):
    with pytest.raises(ValueError, match=sentence) as found:
        from_frame({name: list(column), "x": range(12), "y": [0, 1] * 6}, missing="keep")
    assert str(found.value).endswith(f"leave it out by drop=['{name}'] (--drop {name})")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "column"),
    [("id", [0, 1] * 6), ("width", range(12)), ("video", range(12)), ("id", np.arange(12) / 2), ("id", ["a", "b"] * 6)],
)
def test_other_columns_are_no_ids(name, column):
    assert from_frame({name: column, "y": [0, 1] * 6}).x.shape[0] == 12


def test_a_column_of_many_categories_needs_to_be_asked_for(tmp_path):
    table = {"street": [f"s{n % 1000}" for n in range(2000)], "y": [0, 1] * 1000}
    path = written(tmp_path / "t.csv", table)
    sentence = (
        r"'street' has 1,000 different texts, more than the 50 that .*most_categories=1000 \(--most-categories 1000\)"
    )
    with pytest.raises(ValueError, match=sentence):
        load_dataset(path)
    assert load_dataset(path, most_categories=1000).x.shape[1] == 1000
    codes = {"code": [n % 60 for n in range(120)], "y": [0, 1] * 60}
    assert from_frame(codes).x.shape[1] == 1
    with pytest.raises(ValueError, match="'code' has 60 different texts, more than the 50"):
        from_frame(codes, categorical="code")


def test_one_hot_targets_are_named():
    classes = np.arange(12) % 3
    table = {"x": range(12), **{f"kind_{n}": (classes == n).astype(int) for n in range(3)}}
    with pytest.raises(
        ValueError, match="target 'kind_2' and 'kind_0', 'kind_1' are one-hot labels of 3 classes: give"
    ):
        from_frame(table)
    assert from_frame(table, drop=["kind_0", "kind_1"]).features == ("x",)
    assert from_frame({**table, "kind_1": np.ones(12)}, target="kind_2").features == ("x", "kind_0", "kind_1")


def test_groups_and_weights_are_no_features(tmp_path):
    table = {"who": ["007", "7"] * 6, "w": [1, 2] * 6, "x": range(12), "y": [0, 0, 1, 1] * 3}
    path = written(tmp_path / "t.csv", table)
    data = load_dataset(path, groups="who", weights="w", test_size=0)
    assert (data.features, data.encoder.drop) == (("x",), ("who", "w"))
    assert (data.groups.tolist(), data.weights.tolist()) == (table["who"], table["w"])
    assert in_short(data)[0].startswith("t: 12 rows in 2 groups, weighted, no test set, classification into 2 classes")
    held_out = load_dataset(path, groups="who", test_size=0.5)
    assert not set(held_out.groups) & set(held_out.groups_test)
    for options, sentence in (
        ({"groups": "nobody"}, "has no column 'nobody'"),
        ({"groups": "y"}, "'y' can't be its groups, it is the target"),
        ({"weights": "x", "target": "x"}, "'x' can't be its weights, it is the target"),
        ({"weights": "who", "test": {"x": [1], "y": [1]}}, "has no column 'who'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            load_dataset(path, **options)
    for weights, sentence in (
        (["a"] * 2, "weights 'w' has 'a' in row 0, but must hold numbers"),
        ([-1, 1], "negative"),
    ):
        with pytest.raises(ValueError, match=sentence):
            from_frame({"w": weights, "x": [1, 2], "y": [0.5, 2]}, weights="w")
    with pytest.raises(ValueError, match="groups 'who' is missing in row 1"):
        from_frame({"who": ["a", ""], "x": [1, 2], "y": [0.5, 2]}, groups="who")
    with pytest.raises(
        ValueError, match=r"only a .csv file has the option groups, but load_dataset got 'who' for wine"
    ):
        load_dataset("wine", groups="who")


def test_what_a_table_is_for_is_said():
    for y, told in (
        (["b", "a", "c"] * 4, "classification into 3 classes: a, b, c (target 'y')"),
        (np.arange(12) * 0.5, "regression: 12 distinct values (target 'y')"),
    ):
        assert in_short(load_dataset({"x": range(12), "y": y}, test_size=0))[0].endswith(told)


# Times far from 0.


def test_a_column_far_from_zero_is_shifted_and_so_are_new_rows(tmp_path):
    late = 1.7e9 + RNG.uniform(0, 600, ROWS)
    data = load_dataset({"late": late, "x": RNG.normal(size=ROWS), "y": RNG.normal(size=ROWS)}, test_size=0)
    np.testing.assert_array_equal(data.x[:, 0], (late - late.min()).astype(np.float32))
    assert data.encoder.offsets == (late.min(), 0.0)
    assert any(f"'late' by {late.min():.15g}" in note for note in notes_on(data))
    np.testing.assert_array_equal(data.encoder.encode({"x": [1], "late": [late.min() - 30]}), [[-30, 1]])
    # Years and constants are what they were.
    assert load_dataset({"year": range(1990, 2002), "y": [0, 1] * 6}, test_size=0).encoder.offsets == ()
    assert load_dataset({"c": [1e9] * 12, "y": [0, 1] * 6}, test_size=0).x.max() == 1e9
    plain = dataclasses.asdict(data.encoder)
    assert Encoder(**json.loads(json.dumps(plain))) == data.encoder
    # An encoder of a file from before says nothing of shifts and forms.
    old = {name: plain[name] for name in ("columns", "categories", "target", "task", "labels", "drop")}
    assert Encoder(**old).offsets == ()


def recipe(hp):
    return jreg.Recipe(nn.MLP((2,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), preprocess=standardize())


def test_a_study_of_times_since_1970_is_that_of_the_shifted_feature(tmp_path):
    seconds = np.round(RNG.uniform(0, 600, 120), 3)
    late = np.where(seconds > 300, "late", "early")
    space = jreg.grid(rate=[0.3])
    studies = [
        jreg.cross_validate(
            recipe, from_frame({"time": time, "y": late}), space, cv=2, epochs=8, batch_size=16, progress=False
        )
        for time in (1.7e9 + seconds, seconds - seconds.min())
    ]
    # What float64 rounds of 1.7e9 is a millionth of a second.
    np.testing.assert_allclose(studies[0].scores, studies[1].scores, rtol=0, atol=1e-6)
    assert studies[0].scores.mean() > 0.9
    network = jreg.refit(studies[0], progress=False)
    new = {"time": 1.7e9 + np.array([10.0, 590.0])}
    assert network.predict(new).tolist() == ["early", "late"]
    loaded = jreg.load(network.save(tmp_path / "kept"))
    assert loaded.encoder == network.encoder
    assert loaded.predict(new).tolist() == ["early", "late"]
    # Networks of earlier files have encoders without what has come since.
    model = json.loads((tmp_path / "kept" / "model.json").read_text())
    model["encoder"] = {
        name: value
        for name, value in model["encoder"].items()
        if name not in ("offsets", "delimiter", "decimal", "thousands")
    }
    (tmp_path / "kept" / "model.json").write_text(json.dumps(model))
    assert jreg.load(tmp_path / "kept").encoder == dataclasses.replace(network.encoder, offsets=())
    for damage in ({"offsets": [1, 2]}, {"offsets": ["1"]}, {"decimal": 3}, {"unknown": 1}):
        (tmp_path / "kept" / "model.json").write_text(json.dumps({**model, "encoder": {**model["encoder"], **damage}}))
        with pytest.raises(ValueError, match=f"the encoder's {next(iter(damage))} are damaged"):
            jreg.load(tmp_path / "kept")
