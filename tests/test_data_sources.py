"""Data from CSV and .npy files, from other libraries' objects and from OpenML, and MNIST-1D."""

import io
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import Bunch

import jreg
from jreg.data import from_csv, from_items, from_openml, mnist1d

PETS = """weight, colour,age,kind
4.5,black,3,cat
9,black,?,dog

3,"white, grey",1e1,cat
,NA,2,bird
"""


def table(folder: Path, text: str | bytes, name: str = "pets.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_of_numbers_and_text(tmp_path):
    data = from_csv(table(tmp_path, PETS), missing="keep")
    assert data.features == ("weight", "colour=black", "colour=white, grey", "age")
    assert (data.name, data.task, data.labels) == ("pets", "classification", ("bird", "cat", "dog"))
    nan = np.nan
    expected = [[4.5, 1, 0, 3], [9, 1, 0, nan], [3, 0, 1, 10], [nan, nan, nan, 2]]
    np.testing.assert_array_equal(data.x, np.array(expected, np.float32))
    assert data.y.tolist() == [1, 2, 1, 0]


def test_categories_are_scikit_learns(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.choice(["red", "green", "blue"], (30, 2))
    rows = "\n".join(f"{a},{b},{n}.5" for n, (a, b) in enumerate(words))
    data = from_csv(table(tmp_path, f"first,second,y\n{rows}\n"))
    np.testing.assert_array_equal(data.x, OneHotEncoder(sparse_output=False).fit_transform(words))
    np.testing.assert_array_equal(data.y, np.arange(30) + 0.5)


@pytest.mark.parametrize(
    ("column", "task", "kind", "labels", "y"),
    [
        ("0 1 2 1", None, "classification", (), [0, 1, 2, 1]),
        ("1 2 3 1", None, "regression", (), [1, 2, 3, 1]),
        ("1 2 3 1 3 2", None, "classification", ("1", "2", "3"), [0, 1, 2, 0, 2, 1]),
        ("-1 +1 1 -1", None, "classification", ("-1", "1"), [0, 1, 1, 0]),
        ("0.5 2 2 0.5", None, "classification", ("0.5", "2"), [0, 1, 1, 0]),
        ("3.0 4.0 5.0 5 4 3", None, "classification", ("3", "4", "5"), [0, 1, 2, 2, 1, 0]),
        ("1 2 4 4 2 1", None, "regression", (), [1, 2, 4, 4, 2, 1]),
        (" ".join(f"{n % 11 + 1}" for n in range(44)), None, "regression", (), [n % 11 + 1 for n in range(44)]),
        ("1 2 3 1 3 2", "regression", "regression", (), [1, 2, 3, 1, 3, 2]),
        ("0 1 3 1", None, "regression", (), [0, 1, 3, 1]),
        ("0.0 1.0 1.0 0.0", None, "classification", (), [0, 1, 1, 0]),
        ("5% 7% 5% 7%", "classification", "classification", ("5%", "7%"), [0, 1, 0, 1]),
        (" ".join(map(str, range(11))), None, "regression", (), list(range(11))),
        (" ".join(map(str, range(10))), None, "classification", (), list(range(10))),
        ("208500 1 2 3", None, "regression", (), [208500, 1, 2, 3]),
        ("10 9 9 10", "classification", "classification", ("9", "10"), [1, 0, 0, 1]),
        ("0 1 2 1", "regression", "regression", (), [0, 1, 2, 1]),
        ("1_0 2_0 1_0 2_0", None, "classification", ("1_0", "2_0"), [0, 1, 0, 1]),
    ],
)
def test_what_a_target_column_holds(tmp_path, column, task, kind, labels, y):
    rows = "\n".join(f"{n}.5,{value}" for n, value in enumerate(column.split()))
    data = from_csv(table(tmp_path, "x,y\n" + rows), task=task)
    assert (data.task, data.labels, data.y.tolist()) == (kind, labels, y)


def test_the_target_is_any_column_and_others_are_left_out(tmp_path):
    path = table(tmp_path, "\ufeffid,y,x\na1,0,2\na2,1,3\n")
    data = from_csv(path, target="y", drop=["id"])
    assert (data.features, data.x.tolist(), data.y.tolist()) == (("x",), [[2], [3]], [0, 1])
    assert jreg.load_dataset(path, target="y", test_size=0).features == ("id=a1", "id=a2", "x")


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "has no rows below a line of column names"),
        ("x,y\n", {}, "has no rows below"),
        ("1,2\n3,4\n", {}, "begins with numbers, but its first line must name the columns"),
        ("x,y\n1,2\n3\n", {}, "has 1 fields in line 3, but its first line names 2 columns, separated by ',': quote"),
        ("x,y\n1,2\n3,4,5\n", {}, "has 3 fields in line 3, but its first line names 2 columns"),
        ("x,x,y\n1,2,3\n", {}, "has two columns 'x'"),
        ("x,y\n1,2\n", {"target": "z"}, "has no column 'z': it has 'x', 'y'"),
        ("x,y\n1,2\n", {"drop": ["id"]}, "has no column 'id'"),
        ("x,y\n1,2\n", {"drop": ["x"]}, "has no column but its target 'y'"),
        ("x,y\n1,a\n2,\n", {}, "target 'y' is missing in row 1"),
        ("x,y\n1,a\n", {"task": "regression"}, "target 'y' has text, but task='regression' needs numbers"),
        ("x,y\n1,0\n?,1\n", {}, r"column 'x' has NaN or infinity \(first in row 1\): remove the row, or keep NaN by"),
        ("x,y\n1,0\ninf,1\n", {"missing": "keep"}, "column 'x' has infinity"),
        ("x,y\n1e99,0\n", {}, "column 'x' has 1e.99, which float32 can't hold"),
        ("# made by\nx,y\n1,0\n", {}, "remove lines above the columns' names, or say"),
        ("x,y,\n1,0,\n", {}, "last column has no name, so it can't be the target"),
        (",x,y\n0,1,0\n", {}, r"column '' has no name, as row numbers have .* by drop=\[''\] \(--drop ''\)"),
        ("x,y\n1,0\n2,0\n-,1\n", {}, "'x' has '-' in row 2 among 2 different numbers, but a missing value is an em"),
        ("x,Kind\n1,0\n", {"target": "kind"}, "has no column 'kind': did you mean 'Kind'"),
        ("x,y\n1,0\n", {"drop": ["y"]}, "'y' can't be dropped, it is the last column, which is the target where"),
        ("x,y\n1,0\n", {"target": "x", "drop": ["x"]}, "'x' can't be dropped, it is the target"),
        ("x,y\n1,0\n", {"categorical": ["y"]}, "'y' is the target and no feature: task='classification'"),
        ("x,y\n1,0\n", {"target": ["x", "y"]}, "must be one column"),
        ("x,y\n1,a\0\n", {}, "is no readable CSV file in UTF-8 .zero bytes"),
        (
            "x y,z,k\n" + "".join(f"{n % 5}e-41,{n},{n % 2}\n" for n in range(9)),
            {},
            r"from 0 to 4e-41, .*divide it by .* .--drop 'x y'",
        ),
        ('x,y\n"1,0\n', {}, "is no readable CSV file in UTF-8"),
        (b"x,y\n\xff\xfe,0\n", {}, "is no readable CSV file in UTF-8"),
        ("x,y\n" + "1" * 200_000 + ",0\n", {}, "is no readable CSV file in UTF-8"),
        (
            "x,y\n" + "".join(f"name{n % 60},0\n" for n in range(300)),
            {},
            r"'x' has 60 different texts, more than the 50 that .*: take .* \(--most-categories 60\), or leave it",
        ),
        ("x,y\n" + "".join(f"name{n},0\n" for n in range(30)), {}, "'x' has 30 different texts, another one in every"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, text, options, sentence):
    path = table(tmp_path, text)
    with pytest.raises(ValueError, match=sentence) as found:
        from_csv(path, **options)
    assert "pets" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_missing_table_and_a_wrong_task_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path / 'no.csv'}"):
        jreg.load_dataset(tmp_path / "no.csv")
    with pytest.raises(ValueError, match="from_csv's task is 'ranking', but must be"):
        from_csv(tmp_path / "no.csv", task="ranking")


def test_a_table_that_is_too_large_is_not_read(tmp_path):
    path = table(tmp_path, "x,y\n1,0\n")
    with path.open("r+b") as file:
        file.truncate(2**30 + 1)  # a sparse file
    with pytest.raises(ValueError, match=r"is 1.0 GiB, but CSV is read up to 1 GiB"):
        from_csv(path)


X = np.arange(12, dtype=np.uint8).reshape(6, 2)


@pytest.mark.parametrize("test", [False, True], ids=["without test", "with test"])
def test_a_folder_of_npy_files(tmp_path, test):
    arrays = {"x": X, "y": np.arange(6) % 3} | ({"x_test": X[:2], "y_test": np.array([0, 2])} if test else {})
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    data = jreg.load_dataset(tmp_path, test_size=0)
    assert (data.name, data.x.dtype, data.x_test is not None) == (tmp_path.name, np.uint8, test)
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, name), array)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_missing_values_of_array_files_are_kept_on_request(tmp_path, kind):
    x, y = np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([0, 1])
    path = tmp_path / "mine.npz" if kind == "npz" else tmp_path
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    np.testing.assert_array_equal(jreg.load_dataset(path, missing="keep", test_size=0).x, x)
    with pytest.raises(ValueError, match=r"x has NaN or infinity \(first in row 0\)"):
        jreg.load_dataset(path)


def test_only_a_table_has_a_target_to_name():
    with pytest.raises(
        ValueError, match=r"only a .csv file has a target column to name, but load_dataset got 'y' for w"
    ):
        jreg.load_dataset("wine", target="y")


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"the folder .* has no x.npy, but needs x.npy and y.npy"),
        (b"x", "x.npy has no readable array header"),
        (npy(X)[:-1], r"x.npy claims shape \(6, 2\) of uint8, which is not what the file holds"),
        (npy(X) + b"0", r"x.npy claims shape \(6, 2\) of uint8, which is not what the file holds"),
        (npy(X).replace(b"(6, 2)", b"(9**9,)"), "x.npy has no readable array header|must be an array of real numbers"),
        (npy(X.astype("S3")), "must be an array of real numbers"),
        (npy(np.array([[{}]], object)), "has dtype object .* but must be an array of real numbers"),
    ],
)
def test_a_bad_folder_of_npy_files_is_refused(tmp_path, content, sentence):
    np.save(tmp_path / "y.npy", np.arange(6))
    if content is not None:
        (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as found:
        jreg.load_dataset(tmp_path)
    assert "\n" not in str(found.value)


class Pairs:
    """A data set as PyTorch has them: a length, pairs, and values with numpy's protocol."""

    class Tensor:
        def __init__(self, array: np.ndarray):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    def __init__(self, rows: int):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __getitem__(self, number):
        return self.Tensor(np.full((1, 2, 2), number / 2, np.float32)), number % 3


def test_pairs_become_a_data_set():
    data = from_items(Pairs(5), test=Pairs(2), name="pairs")
    assert (data.name, data.x.shape, data.x_test.shape) == ("pairs", (5, 1, 2, 2), (2, 1, 2, 2))
    np.testing.assert_array_equal(data.x[:, 0, 0, 0], np.arange(5) / 2)
    assert data.y.tolist() == [0, 1, 2, 0, 1]


def test_class_names_of_items_become_labels():
    data = from_items([([0.0], "cat"), ([1.0], "horse"), ([2.0], "cat")], test=[([3.0], "horse")])
    assert (data.labels, data.y.tolist(), data.y_test.tolist()) == (("cat", "horse"), [0, 1, 0], [1])


def test_dictionaries_of_pictures_become_bytes():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    items = [{"image": Image.fromarray(picture), "label": n} for n, picture in enumerate(pictures)]
    data = from_items(items, "image", "label")
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.x, pictures)
    assert data.y.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("items", "error", "sentence"),
    [
        (iter([]), TypeError, "from_items got a list_iterator, but needs a data set with a length"),
        ([], ValueError, "mine has no items"),
        ([{"image": 1, "label": 2}], ValueError, "item 0 has nothing under 0: it is or has the keys 'image', 'label'"),
        ([([1.0], 0), ([2.0],)], ValueError, "item 1 has nothing under 1: it is or has a tuple"),
        ([3.0], ValueError, "item 0 has nothing under 0: it is or has a float"),
        ([([1.0], 0), ([1.0, 2.0], 0)], ValueError, r"item 1 has float64 of shape \(2,\) under 0, but the first one"),
        ([([1.0], 0), ([1.0], 0.5)], ValueError, r"item 1 has float64 of shape \(\) under 1, but the first one int64"),
        ([([1.0, [2.0]], 0)], ValueError, "item 0 has a value under 0 that is no array"),
        ([(["cat"], 0)], TypeError, "mine's x has dtype object, but must hold real numbers"),
    ],
)
def test_items_that_are_no_data_set_are_refused(items, error, sentence):
    with pytest.raises(error, match=sentence):
        from_items(items, name="mine")


@pytest.fixture
def openml(monkeypatch):
    """OpenML without a network: what scikit-learn's fetcher would return, and what it was asked for."""
    asked = []
    answer = Bunch(
        data=np.array([[1.5, 0], [2.5, 2], [np.nan, np.nan], [0.5, 1]]),
        target=np.array(["no", "yes", "no", "no"], object),
        feature_names=["size", "colour"],
        categories={"colour": ["red", "green", "blue"]},
    )

    def fetch(name, **options):
        asked.append((name, options))
        if isinstance(answer.get("error"), Exception):
            raise answer.error
        return answer

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return answer, asked


def test_openml_by_name(openml):
    _, asked = openml
    data = jreg.load_dataset("openml:things@3", missing="keep", test_size=0)
    assert asked == [("things", {"version": 3, "as_frame": False, "parser": "liac-arff"})]
    assert (data.name, data.labels) == ("things", ("no", "yes"))
    assert data.features == ("size", "colour=red", "colour=green", "colour=blue")
    nan = np.nan
    np.testing.assert_array_equal(data.x, [[1.5, 1, 0, 0], [2.5, 0, 0, 1], [nan] * 4, [0.5, 0, 1, 0]])
    assert data.y.tolist() == [0, 1, 0, 0]
    jreg.load_dataset("openml:things", missing="keep", test_size=0)
    assert asked[1][1]["version"] == 1


def test_openml_numbers_are_a_regression(openml):
    openml[0].update(target=np.array([0.5, 1, 2, 3]), data=np.ones((4, 2)), categories={})
    assert from_openml("things").task == "regression"


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            {"error": urllib.error.URLError("no network")},
            FileNotFoundError,
            r"things@1 could not be fetched \(URLError\)",
        ),
        ({"error": ValueError("No known\n dataset")}, ValueError, "openml:things@1 can't be read: No known dataset"),
        ({"target": None}, ValueError, "openml:things@1 has no single target column"),
        ({"target": np.zeros((4, 2))}, ValueError, "openml:things@1 has no single target column"),
        ({}, ValueError, r"things's column 'size' has NaN or infinity \(first in row 2\)"),
    ],
)
def test_what_openml_can_not_give_is_said_in_one_sentence(openml, change, error, sentence):
    openml[0].update(change)
    with pytest.raises(error, match=sentence) as found:
        jreg.load_dataset("openml:things")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["openml:", "openml:iris@two", "openml:@2"])
def test_a_name_of_openml_is_checked(name):
    with pytest.raises(ValueError, match=f"'{name}' is no name of an OpenML data set: write openml:NAME or"):
        jreg.load_dataset(name)


@pytest.mark.parametrize("name", ["cifar10", "", "data.parquet"])
def test_an_unknown_name_lists_what_there_is(name):
    with pytest.raises(
        ValueError, match=f"there is no data set '{name}': choose one of digits.*mnist1d, openml:NAME, or"
    ):
        jreg.load_dataset(name)


@pytest.fixture(scope="module")
def curves():
    return jreg.load_dataset("mnist1d")


def test_mnist1d_is_the_published_data_set(curves):
    assert (curves.x.shape, curves.x_test.shape, curves.classes) == ((4000, 40), (1000, 40), 10)
    # From mnist1d.data.make_dataset of https://github.com/greydanus/mnist1d at its default settings.
    np.testing.assert_allclose(
        curves.x[0, :6], [-0.33200567, -0.47191037, -0.77869708, -1.00974083, -0.88235257, 0.10393481], rtol=1e-6
    )
    np.testing.assert_allclose(curves.x_test[-1, -3:], [0.65987565, 0.87773435, 1.19315184], rtol=1e-6)
    assert curves.y[:12].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1, 6, 9]
    assert np.bincount([*curves.y, *curves.y_test]).tolist() == [500] * 10
    both = np.concatenate([curves.x, curves.x_test]).astype(np.float64)
    assert abs(both.mean()) < 1e-6
    assert abs(both.std() - 1) < 1e-6


def test_mnist1d_is_as_hard_for_a_linear_model_as_published(curves):
    # The README's table: 32% for logistic regression. Six binomial standard deviations of 1000 rows are 9 points.
    model = LinearDiscriminantAnalysis().fit(curves.x, curves.y)
    assert abs(model.score(curves.x_test, curves.y_test) - 0.32) < 0.09


def test_making_mnist1d_leaves_numpys_global_state_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    mnist1d.mnist1d()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
