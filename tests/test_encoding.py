"""Tables and labels that are coded once: what a second table finds, and what looks like numbers or classes."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from sklearn.preprocessing import LabelEncoder, OneHotEncoder

import jreg
from jreg import losses, nn
from jreg.cli import main
from jreg.data import Encoder, from_csv, permute_pixels, summarize
from jreg.data.summary import in_short

RNG = np.random.default_rng(0)
REGIONS = np.array(["east", "north", "west"])[np.arange(30) % 3]
SIZES = RNG.normal(size=30).round(3)
KINDS = np.array(["b", "a", "c", "a", "b"] * 6)
TRAIN = {"region": REGIONS, "size": SIZES, "kind": KINDS}
# No row from the east and none of kind a, so that both would be coded otherwise alone, and columns in another order.
TEST = {"kind": ["c", "b", "c"], "size": [0.5, -1.0, 2.0], "region": ["west", "north", "west"]}


def frame(columns: dict):
    polars = pytest.importorskip("polars", reason="data frames are those of polars, in the dependency group test")
    return polars.DataFrame({name: np.asarray(column) for name, column in columns.items()})


def written(folder: Path, name: str, table: dict, separator: str = ",") -> Path:
    rows = zip(*table.values(), strict=True)
    lines = [separator.join(map(str, row)) for row in (table, *rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


@pytest.fixture(params=["csv", "semicolons", "mapping", "frame"])
def tables(request, tmp_path):
    """A training and a test table in each form."""
    if request.param in ("csv", "semicolons"):
        sign = "," if request.param == "csv" else ";"
        return tuple(written(tmp_path, f"{n}.csv", table, sign) for n, table in enumerate((TRAIN, TEST)))
    return tuple(frame(table) if request.param == "frame" else table for table in (TRAIN, TEST))


def test_a_second_table_is_coded_as_the_first(tables):
    data = jreg.load_dataset(tables[0], target="kind", test=tables[1])
    one_hot, labels = OneHotEncoder(sparse_output=False).fit(REGIONS[:, None]), LabelEncoder().fit(KINDS)
    for x, y, table in ((data.x, data.y, TRAIN), (data.x_test, data.y_test, TEST)):
        coded = one_hot.transform(np.array(table["region"])[:, None])
        np.testing.assert_array_equal(x, np.column_stack([coded, table["size"]]).astype(np.float32))
        np.testing.assert_array_equal(y, labels.transform(table["kind"]))
        np.testing.assert_array_equal(data.encoder.decode(y), table["kind"])
    assert data.labels == tuple(labels.classes_)
    assert data.features == ("region=east", "region=north", "region=west", "size")


def test_an_encoder_is_plain_values():
    encoder = Encoder.fit({**TRAIN, "age": np.arange(30), "id": REGIONS}, "age", drop=["id"], unseen="zeros")
    assert Encoder(**json.loads(json.dumps(dataclasses.asdict(encoder)))) == encoder
    assert (encoder.task, encoder.labels, encoder.drop) == ("regression", (), ("id",))


def test_an_unseen_category_is_an_error_or_zeros():
    table = {"region": ["south", "west"], "size": [1, 2]}
    sentence = "column 'region' has 'south' in row 0, but in the training table only 'east', 'north', 'west': unseen='z"
    with pytest.raises(ValueError, match=sentence):
        Encoder.fit(TRAIN).encode(table)
    found = Encoder.fit(TRAIN, unseen="zeros").encode(table)
    known = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(REGIONS[:, None])
    np.testing.assert_array_equal(found[:, :3], known.transform(np.array(table["region"])[:, None]))


def test_a_missing_value_is_refused_or_kept():
    table = {"region": [None, "west"], "size": [1.0, np.nan]}
    with pytest.raises(ValueError, match=r"column 'region' has NaN or infinity \(first in row 0\): remove the row, or"):
        Encoder.fit(TRAIN).encode(table)
    found = Encoder.fit(TRAIN, missing="keep").encode(table)
    np.testing.assert_array_equal(np.isnan(found), [[True, True, True, False], [False, False, False, True]])


def without(*names: str) -> dict:
    return {name: column for name, column in TEST.items() if name not in names}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (without("size", "region"), "needs the columns of the training table, but lacks 'region', 'size'"),
        ({**without("size"), "b": [1] * 3, "a": [2] * 3}, "but lacks 'size' and has besides 'b', 'a'"),
        ({**TEST, "size": ["1", "big", "2"]}, "column 'size' has 'big' in row 1, but must hold numbers"),
        ({**TEST, "size": ["1,5", "2", "2"]}, "column 'size' has '1,5' in row 0, but must hold numbers"),
        ({**TEST, "size": [1e99, 2, 2]}, "column 'size' has 1e.99, which float32 can't hold"),
        ({**TEST, "size": [1, 2]}, "has columns of 2 and 3 rows, but needs one length"),
        ({name: [] for name in TEST}, "the table has no rows"),
        ({**TEST, "size": [[1], [2], [3]]}, r"'size' has shape \(3, 1\), but a table's column has one value per row"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_sentence(table, sentence):
    with pytest.raises(ValueError, match=sentence) as found:
        Encoder.fit(TRAIN).encode(table)
    assert "\n" not in str(found.value)


def test_targets_that_do_not_fit_are_refused():
    encoder = Encoder.fit(TRAIN)
    for values, sentence in (
        (["a", "d"], "y has 'd' in row 1, which is none of the labels to train on: 'a', 'b', 'c'"),
        (["a", None], "y is missing in row 1"),
        (without("kind"), "the table has no column 'kind', the target"),
    ):
        with pytest.raises(ValueError, match=sentence):
            encoder.encode_target(values)
    with pytest.raises(ValueError, match="there are 3 labels, but 3 is to be the number of one"):
        encoder.decode([0, 3])
    with pytest.raises(TypeError, match=r"a ndarray is no table: give the path of a .csv file, a data frame of "):
        encoder.encode(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="unseen is 'skip', but must be 'error' or 'zeros'"):
        Encoder.fit(TRAIN, unseen="skip")


def test_labels_of_numbers_keep_their_classes_in_a_second_table(tmp_path):
    rows = {"x": np.arange(12) / 2, "y": np.arange(12) % 3 + 1}
    first, second = written(tmp_path, "a.csv", rows), written(tmp_path, "b.csv", {"x": [1, 2], "y": ["3", "2.0"]})
    data = jreg.load_dataset(first, test=second)
    assert (data.labels, data.y_test.tolist()) == (("1", "2", "3"), [2, 1])
    assert data.encoder.decode(data.y_test).tolist() == [3, 2]
    numbers = jreg.load_dataset(first, test=second, task="regression")
    assert (numbers.task, numbers.labels, numbers.y_test.tolist()) == ("regression", (), [3, 2])
    with pytest.raises(ValueError, match=r"c.csv's target 'y' has 4 in row 0, which is none of the labels .* 1, 2, 3"):
        jreg.load_dataset(first, test=written(tmp_path, "c.csv", {"x": [1], "y": [4]}))


def test_the_task_of_a_coded_data_set_can_still_be_changed():
    data = jreg.load_dataset({"x": np.arange(12) / 2, "y": [1, 5] * 6}, test_size=0)
    numbers = dataclasses.replace(data, task="regression", labels=())
    assert (data.y.tolist(), numbers.y.tolist()) == ([0, 1] * 6, [1, 5] * 6)
    assert dataclasses.replace(numbers, task="classification").labels == ("1", "5")


def test_features_made_otherwise_leave_the_encoder_its_labels_alone():
    data = permute_pixels(jreg.load_dataset(TRAIN, test_size=0), seed=0)
    assert (data.encoder.columns, data.encoder.labels) == ((), ("a", "b", "c"))


@pytest.mark.parametrize("form", [list, np.array, lambda y: np.array(y, object), lambda y: np.array(y, "S")])
def test_texts_are_labels_that_the_test_set_shares(form):
    data = jreg.Dataset(np.zeros((4, 1)), form(["dog", "cat", "eel", "cat"]), np.zeros((2, 1)), form(["eel", "dog"]))
    assert (data.labels, data.y.tolist(), data.y_test.tolist()) == (("cat", "dog", "eel"), [1, 0, 2, 0], [2, 1])
    again = dataclasses.replace(data, y_test=["cat", "cat"])
    assert (again.labels, again.y_test.tolist()) == (data.labels, [0, 0])


@pytest.mark.parametrize(("dtype", "task"), [(int, None), (float, "classification")])
def test_minus_one_and_one_are_two_classes(dtype, task):
    y, test = np.array([1, -1, -1, 1], dtype), np.array([1, 1], dtype)
    data = jreg.Dataset(np.zeros((4, 1)), y, np.zeros((2, 1)), test, task=task)
    assert (data.labels, data.y.tolist(), data.y_test.tolist()) == (("-1", "1"), [1, 0, 0, 1], [1, 1])
    np.testing.assert_array_equal(data.encoder.decode(data.y), y)
    assert jreg.Dataset(np.zeros((4, 1)), y.astype(float)).task == "regression"


def test_a_given_task_decides():
    x = np.zeros((4, 1))
    labels = jreg.Dataset(x, [0.0, 2.0, 1.0, 0.0], task="classification")
    assert (labels.y.dtype, labels.classes) == (np.int32, 3)
    assert jreg.Dataset(x, [0, 2, 1, 0], task="regression").y.dtype == np.float32
    assert jreg.Dataset(x, np.eye(4), task="multilabel").y.dtype == np.int32


def test_frames_of_numbers_go_by_name():
    left, right = frame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), frame({"b": [3.0], "a": [1.0]})
    data = jreg.Dataset(left, ["no", "yes"])
    assert (data.features, data.labels) == (("a", "b"), ("no", "yes"))
    np.testing.assert_array_equal(data.encoder.encode(right), [[1, 3]])
    assert data.encoder.decode([1]).tolist() == ["yes"]
    again = dataclasses.replace(data, name="again")
    assert again.encoder == data.encoder
    assert jreg.Dataset(left, [0.5, 1.5]).encoder.task == "regression"
    with pytest.raises(ValueError, match="x has the columns 'a', 'b', but its x_test 'b', 'a': give both the same in"):
        jreg.Dataset(left, [0, 1], right, [1])


def test_a_frame_of_texts_says_how_it_becomes_data():
    with pytest.raises(TypeError, match=r"x has dtype object, .* jreg.load_dataset\(table, target=...\) codes columns"):
        jreg.Dataset(frame(TRAIN), KINDS)
    with pytest.raises(TypeError, match=r"load_dataset got a list, but takes a name, a path, a data frame or a map"):
        jreg.load_dataset([[1, 2]])


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1,000", "950", "2,500"], "'1,000' in row 0"),
        (["$5", "$6.50", "7"], "'$5' in row 0"),
        (["3", "4 %", ""], "'4 %' in row 1"),
        (["0,5", "1,25", "3"], "'0,5' in row 0"),
        (["1.234.567,5", "2", "3"], "'1.234.567,5' in row 0"),
        (["1 234", "-5 EUR", "(7)"], "'1 234' in row 0"),
        ([*map(str, range(20)), "12x", "?"], "'12x' in row 20 among 20 different numbers"),
    ],
)
def test_numbers_in_disguise_are_no_categories(tmp_path, texts, found):
    lines = "".join(f'"{text}",{n % 2}\n' for n, text in enumerate(texts * 2))
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + lines)
    with pytest.raises(ValueError, match="column 'x' has ") as error:
        from_csv(path, missing="keep")
    assert found in str(error.value)
    assert "categorical=['x'] (--categorical x), or leave it out by drop=['x'] (--drop x)" in str(error.value)
    categories = len({text for text in texts if text not in ("", "?")})
    assert from_csv(path, missing="keep", categorical=["x"]).x.shape == (2 * len(texts), categories)
    whole = [text for text in texts if text not in ("", "?")]
    with pytest.raises(ValueError, match=r"target 'x' has .*, or say task='classification'"):
        Encoder.fit({"x": whole, "y": whole}, "x", categorical=["y"])


@pytest.mark.parametrize(
    "texts", [["0", "1", "2", "3+"], ["12.05.20x", "13.05.2020"], ["a1", "a2"], ["2020-01-01", "5"], ["10-20", "30"]]
)
def test_texts_with_digits_are_categories(texts):
    assert len(Encoder.fit({"x": texts, "y": texts}, task="classification").features) == len(texts)


def test_all_columns_of_no_use_are_named_at_once(tmp_path):
    table = {
        "id": [f"n{n}" for n in range(300)],
        "price": ["1 000"] * 300,
        "name": [f"m{n}" for n in range(300)],
        "x": np.arange(300),
        "y": np.arange(300) % 2,
    }
    path = written(tmp_path, "many.csv", table)
    with pytest.raises(ValueError, match=r"many.csv's column 'id' has 300 different texts") as found:
        from_csv(path)
    assert "(--drop id price name)" in str(found.value)
    assert "\n" not in str(found.value)
    data = jreg.load_dataset(path, drop=["id", "price", "name"], test_size=0)
    assert data.features == ("x",)
    assert data.encoder.encode(table | {"id": [1] * 300}).shape == (300, 1)
    with pytest.raises(ValueError, match=r"only a .csv file has the option drop, but load_dataset got"):
        jreg.load_dataset("wine", drop=["id"])
    with pytest.raises(ValueError, match="has no column 'ids'"):
        from_csv(path, drop="ids")


def notes(y: np.ndarray, **more) -> str:
    return " ".join(summarize(jreg.Dataset(np.zeros((len(y), 1)), y, **more)).get("notes", []))


def test_what_is_inferred_is_said():
    assert notes(np.arange(12) % 3) == notes(RNG.normal(size=12)) == notes(np.array(["a", "b"] * 3)) == ""
    assert notes(np.arange(12) % 2 * 1.0).startswith("its targets 0, 1 are numbers to predict: task='classification'")
    assert (
        notes(np.arange(12) % 3 + 1) == "its labels begin at 1, so that no row has the classes below: they count from 0"
    )
    assert notes(np.arange(40) * 5000).startswith("only 40 of the 195001 classes up to 195000 have rows: task='regr")
    one_hot = np.eye(3, dtype=int)[np.arange(12) % 3]
    assert notes(one_hot, task="multilabel").startswith("every row has one label: where they are one-hot")
    for y in (one_hot, one_hot * 1.0):
        with pytest.raises(
            ValueError, match=r"y has a single 1 in every row, as one-hot labels of 3 classes have: give"
        ):
            notes(y)
    data = jreg.load_dataset({"x": np.arange(12) / 2, "kind": np.arange(12) % 3 + 1}, test_size=0)
    assert in_short(data) == [
        "data: 12 rows, no test set, classification into 3 classes: 1, 2, 3 (target 'kind')",
        "the numbers 1, 2, 3 of 'kind' are class labels: task='regression' (--task regression) predicts them",
    ]


LOGITS = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
ONE_HOT = jnp.eye(3, dtype=jnp.int32)[jnp.array([0, 2, 1, 1])]
OF_CLASSES = {
    "softmax_cross_entropy": losses.softmax_cross_entropy,
    "multiclass_hinge": losses.multiclass_hinge,
    "focal": lambda logits, labels: losses.focal(logits, labels, 2.0),
}


@pytest.mark.parametrize("name", OF_CLASSES)
def test_losses_of_class_numbers_name_other_labels(name):
    loss = OF_CLASSES[name]
    for labels in (ONE_HOT, ONE_HOT.astype(bool)):
        with pytest.raises(ValueError, match=rf"^{name} got .* takes one class number per example, \(n,\): .argmax"):
            loss(LOGITS, labels)
    with pytest.raises(ValueError, match=rf"{name} got outputs of shape \(4, 3\) and labels of shape \(4, 1\)"):
        loss(LOGITS, ONE_HOT[:, :1])
    with pytest.raises(TypeError, match=f"{name} got labels of dtype float32, but takes class numbers"):
        loss(LOGITS, jnp.zeros(4))


def test_arrays_in_place_of_a_data_set_are_named():
    def recipe(hp):
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    x, y = np.zeros((6, 2)), np.arange(6) % 3
    for data, found in (
        ((x, y), r"the data is a tuple, but must be a jreg.Dataset: jreg.Dataset\(x, y\)"),
        ("wine", r"the data is a str, but must be a jreg.Dataset: jreg.load_dataset\('wine'\)"),
    ):
        with pytest.raises(TypeError, match=found):
            jreg.cross_validate(recipe, data, jreg.grid(rate=[0.1]), epochs=1)
    with pytest.raises(TypeError, match=r"the data is a ndarray, but must be a jreg.Dataset"):
        jreg.fit(jax.random.key(0), recipe, x, {"rate": 0.1}, epochs=1)


@pytest.mark.adam
def test_a_network_codes_new_tables_and_gives_their_labels_back():
    data = jreg.load_dataset(TRAIN, test=TEST)

    def recipe(hp):
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    study = jreg.cross_validate(recipe, data, jreg.grid(rate=[0.5]), cv=2, epochs=3, progress=False)
    network = jreg.refit(study)
    assert network.encoder == data.encoder
    number = network.predict(data.x_test)
    assert number.tolist() == np.argmax(network.outputs(TEST), axis=-1).tolist()
    assert network.predict(TEST).tolist() == [data.labels[n] for n in number]
    assert network.evaluate(TEST) == network.evaluate(data.x_test, data.y_test) == dict(network.test)
    np.testing.assert_array_equal(network.predict_proba(TEST), network.predict_proba(data.x_test))
    assert jreg.network.Ensemble([network]).predict(TEST).tolist() == network.predict(TEST).tolist()
    with pytest.raises(ValueError, match="the table needs the columns of the training table, but lacks 'size'"):
        network.predict(without("size"))
    # Arrays beside labels as they were given; what fits neither is named.
    assert network.evaluate(data.x_test, TEST["kind"]) == dict(network.test)
    assert network.predict(data.x_test.tolist()).tolist() == number.tolist()
    for call, error, sentence in (
        (lambda: network.evaluate(data.x_test, ["c", "b", "z"]), ValueError, "y has 'z' in row 2"),
        (lambda: network.evaluate(data.x_test, [0, 1, 3]), ValueError, "y has label 3, out of range: .* 0 to 2"),
        (lambda: network.evaluate(data.x_test, [0, 1]), ValueError, r"x has 3 rows, but y has shape \(2,\)"),
        (lambda: network.evaluate(data.x_test), ValueError, "y is missing"),
        (lambda: network.evaluate(data), TypeError, "the network got a Dataset, but needs its arrays"),
        (lambda: network.predict(data.x_test[0]), ValueError, r"x has shape \(4,\), which is one example alone"),
        (lambda: network.predict(data.x_test[:, :3]), ValueError, r"shape \(3, 3\), but the network takes \(n, 4\)"),
        (lambda: network.predict(data.x_test[:0]), ValueError, "n at least 1"),
        (lambda: network.predict({"x": data.x_test}), ValueError, r"has shape \(3, 4\), but a table.s column has one"),
        (lambda: network.predict(data.x_test * np.nan), ValueError, "the outputs are NaN for row 0"),
    ):
        with pytest.raises(error, match=sentence):
            call()


def test_what_no_column_can_hold_is_named():
    for column, found in (([[1], [2, 3]], "a list"), ([1j, 2j], "a complex")):
        held = np.empty(2, object)
        held[:] = column
        with pytest.raises(ValueError, match=f"'x' has {found}, but must have numbers or texts"):
            Encoder.fit({"x": held, "y": [0, 1]})
    with pytest.raises(TypeError, match=r"a SimpleNamespace is no table: give the path of a .csv file, a data frame"):
        Encoder.fit(SimpleNamespace(columns=["x"]))
    with pytest.raises(TypeError, match=r"x is sparse, a csr_matrix: .toarray\(\)"):
        jreg.Dataset(scipy.sparse.csr_matrix(np.eye(3)), [0, 1, 0])
    for names in ("ab", {0: "a", 1: "b"}, {"a", "b"}):
        with pytest.raises(TypeError, match=r"labels are a (str|dict|set), but must be a list of names in order"):
            jreg.Dataset(np.eye(2), [0, 1], labels=names)


def test_what_a_mask_hides_is_missing():
    masked = np.ma.masked_array([[7, 1], [2, 3]], [[True, False], [False, False]])
    with pytest.raises(ValueError, match=r"x has NaN or infinity \(first in row 0\)"):
        jreg.Dataset(masked, [0, 1])
    np.testing.assert_array_equal(jreg.Dataset(masked, [0, 1], missing="keep").x, [[np.nan, 1], [2, 3]])
    table = {"x": masked[:, 0], "kind": np.ma.masked_array(["a", "b"], [False, True]), "y": [0.5, 1.5]}
    encoder = Encoder.fit(table, missing="keep")
    np.testing.assert_array_equal(encoder.encode(table), [[np.nan, 1], [2, np.nan]])


def test_the_command_line_says_what_a_table_is_taken_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = {"id": [f"n{n}" for n in range(300)], "x": np.arange(300) / 2, "kind": np.arange(300) % 3 + 1}
    written(tmp_path, "train.csv", rows)
    written(tmp_path, "test.csv", {"kind": [3, 2], "x": [1, 2], "id": ["a", "b"]})
    options = ["train.csv", "--test", "test.csv", "--drop", "id", "--target", "kind"]
    main(["data", *options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["test_rows"]) == ("classification", 2)
    assert found["notes"] == [
        "the numbers 1, 2, 3 of 'kind' are class labels: task='regression' (--task regression) predicts them"
    ]
    main(["data", *options, "--task", "regression", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["targets"][0]["most"]) == ("regression", 3.0)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--data", *options, "--folds", "1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "train: 300 rows, 2 for the test, classification into 3 classes: 1, 2, 3 (target 'kind')",
        "the numbers 1, 2, 3 of 'kind' are class labels: task='regression' (--task regression) predicts them",
        "jreg: the number of folds is 1, but must be at least 2",
    ]
