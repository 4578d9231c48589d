"""Data sets by name, their checks, and MNIST from a folder or from the server."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
from sklearn import datasets

import jreg
from jreg.data import load

LOADERS = {
    "digits": datasets.load_digits,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "wine": datasets.load_wine,
}

needs_mnist = pytest.mark.skipif(
    not os.environ.get("JREG_DATA_DIR"), reason="JREG_DATA_DIR is not set: real MNIST is not here"
)


def rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows of examples and targets, sorted, so that two data sets can be compared as sets."""
    table = np.column_stack([x, y]).astype(np.float32)
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("name", LOADERS)
def test_train_and_test_partition_the_original_rows(name):
    x, y = LOADERS[name](return_X_y=True)
    data = jreg.load_dataset(name)
    assert data.x.shape[1:] == x.shape[1:]
    assert data.x.dtype == np.float32
    assert len(data.y_test) == np.ceil(0.2 * len(y))
    both = rows(np.concatenate([data.x, data.x_test]), np.concatenate([data.y, data.y_test]))
    np.testing.assert_array_equal(both, rows(x, y))


@pytest.mark.parametrize("name", LOADERS)
def test_without_test_size_the_rows_are_the_original_ones_in_order(name):
    x, y = LOADERS[name](return_X_y=True)
    data = jreg.load_dataset(name, test_size=0)
    assert data.x_test is None
    assert data.y_test is None
    np.testing.assert_array_equal(data.x, x.astype(np.float32))
    np.testing.assert_array_equal(data.y, y.astype(data.y.dtype))


@pytest.mark.parametrize(("name", "task", "classes"), [("digits", "classification", 10), ("diabetes", "regression", 1)])
def test_task_and_classes(name, task, classes):
    data = jreg.load_dataset(name)
    assert (data.task, data.classes, data.name) == (task, classes, name)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine"])
def test_the_split_is_stratified(name):
    data = jreg.load_dataset(name)
    train, test = np.bincount(data.y), np.bincount(data.y_test)
    # Each class gives its share of 20%, rounded to a neighbouring whole number.
    assert np.all(np.abs(test - 0.2 * (train + test)) < 1)


def test_the_split_depends_on_the_seed_alone():
    first, again, other = (jreg.load_dataset("wine", seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.x_test, again.x_test)
    np.testing.assert_array_equal(first.x, again.x)
    assert not np.array_equal(first.x_test, other.x_test)


@pytest.mark.parametrize("size", [-0.1, 1.0, float("nan")])
def test_refuses_a_test_size_outside_its_interval(size):
    with pytest.raises(ValueError, match=rf"test_size is {size}, but must lie in \[0, 1\)"):
        jreg.load_dataset("wine", test_size=size)


def test_refuses_a_test_size_that_leaves_a_class_out():
    with pytest.raises(ValueError, match=r"wine can't be split with test_size=0.001"):
        jreg.load_dataset("wine", test_size=0.001)


def test_bytes_stay_bytes_and_targets_become_float32():
    image = jreg.Dataset(np.zeros((2, 3, 3), np.uint8), [0, 1])
    assert image.x.dtype == np.uint8
    assert jreg.Dataset([[True], [False]], [0, 1]).x.dtype == bool
    assert jreg.Dataset(np.ones((2, 1), np.int64), [0.5, 1.5]).y.dtype == np.float32


def test_booleans_are_two_classes():
    data = jreg.Dataset([[0.0], [1.0]], [False, True])
    assert (data.task, data.classes) == ("classification", 2)


X, Y = np.zeros((3, 2)), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"x": X[:2]}, ValueError, "has 2 rows in x but 3 in y"),
        ({"x": X[:, 0]}, ValueError, r"x has shape \(3,\), but must be rows of features"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, r"x has shape \(0, 2\)"),
        (
            {"y": np.eye(3, dtype=int), "x_test": X, "y_test": 2 * np.eye(3, dtype=int)},
            ValueError,
            "y_test has 2 in a column of labels, but must have 0 and 1: numbers to predict are floating, and one",
        ),
        ({"y": np.zeros((3, 0))}, ValueError, r"y has shape \(3, 0\), but must be one target per row, \(n,\), or"),
        ({"y": 5}, ValueError, r"y has shape \(\), but must be one target per row"),
        (
            {"y": np.eye(3)[:, :2], "x_test": X, "y_test": np.eye(3)},
            ValueError,
            r"y has shape .*, but its y_test \(3, 3",
        ),
        (
            {"x": X + np.nan},
            ValueError,
            r"x has NaN or infinity .*: remove the row, or keep NaN by missing='keep' \(--missing keep\)",
        ),
        (
            {"x": X + np.inf, "missing": "keep"},
            ValueError,
            r"x has infinity \(first in row 0\), but a missing value is",
        ),
        ({"y": Y + np.nan, "missing": "keep"}, ValueError, r"y has NaN or infinity \(first in row 0\): remove the row"),
        ({"missing": "drop"}, ValueError, "missing is 'drop', but must be 'reject' or 'keep'"),
        ({"labels": ["a", "b"]}, ValueError, "has names of 2 labels, but targets with 3"),
        ({"y": Y + 0.5, "labels": ["a"]}, ValueError, "has names of 1 labels, but targets with 1"),
        ({"features": ["a"]}, ValueError, r"has names of 1 features, but examples of shape \(2,\)"),
        ({"y": Y - 1}, ValueError, "y has label -1, out of range"),
        ({"y": Y + 2**30}, ValueError, f"y has label {2**30 + 2}, out of range"),
        ({"y": Y + 2**40}, ValueError, f"y has {2**40}, which int32 can't hold"),
        (
            {"y": np.array([["a"], ["b"], ["c"]])},
            TypeError,
            "y has dtype <U1, but must hold real numbers: .astype.numpy.float32. converts them, and jreg.load_dataset",
        ),
        (
            {"y": ["a", "b", "c"], "x_test": X, "y_test": Y},
            TypeError,
            "y holds texts, but its y_test doesn't: give both as texts",
        ),
        (
            {"y": ["a", "b", "c"], "x_test": X, "y_test": ["a", "d", "b"]},
            ValueError,
            "y_test has 'd' in row 1, which is none of the labels to train on: 'a', 'b', 'c'",
        ),
        ({"x": X + 1j}, TypeError, "x has dtype complex128, but must hold real numbers"),
        ({"x": X.astype(object)}, TypeError, r"x has dtype object.*, and jreg.load_dataset\(table, target=...\) codes"),
        ({"x": np.where(np.eye(3, 2) > 0, np.nan, 0)}, ValueError, r"x has NaN or infinity \(first in row 0\)"),
        ({"x": np.where(np.eye(3, 2, -2) > 0, np.inf, 0)}, ValueError, r"x has NaN or infinity \(first in row 2\)"),
        ({"y": np.array([0.0, 1.0, -np.inf])}, ValueError, r"y has NaN or infinity \(first in row 2\)"),
        ({"x_test": X}, ValueError, "has one of x_test and y_test, but needs both or neither"),
        ({"y_test": Y}, ValueError, "has one of x_test and y_test, but needs both or neither"),
        (
            {"x_test": X[:, :1], "y_test": Y},
            ValueError,
            r"test examples have shape \(1,\), the others \(2,\): what changes x has to change x_test too, as in datac",
        ),
        ({"x_test": X, "y_test": Y + 0.5}, ValueError, "y is int32, but its y_test is float32"),
        ({"x_test": X, "y_test": Y + 1}, ValueError, "y_test has label 3, out of range: y has labels 0 to 2"),
        ({"x_test": X + np.nan, "y_test": Y}, ValueError, "x_test has NaN or infinity"),
    ],
)
def test_a_bad_data_set_is_refused_in_one_sentence(arguments, error, sentence):
    with pytest.raises(error, match=f"^three's? .*{sentence}|^three {sentence}") as found:
        jreg.Dataset(**({"x": X, "y": Y} | arguments), name="three")
    assert "\n" not in str(found.value)


def test_several_targets_a_row_are_numbers_or_labels():
    numbers = jreg.Dataset(X, np.linspace(0, 1, 6).reshape(3, 2))
    assert (numbers.task, numbers.classes, numbers.y.dtype) == ("regression", 2, np.float32)
    labels = jreg.Dataset(X, np.eye(3, dtype=bool), labels=["a", "b", "c"])
    assert (labels.task, labels.classes, labels.y.dtype) == ("multilabel", 3, np.int32)


def test_missing_values_are_kept_where_they_are_asked_for():
    data = jreg.Dataset(X + np.nan, Y, X, Y, missing="keep")
    assert np.isnan(data.x).all()
    assert not np.isnan(data.x_test).any()


def test_a_class_with_a_name_needs_no_example():
    assert jreg.Dataset(X, [0, 1, 1], labels=["a", "b", "c"]).classes == 3
    assert jreg.Dataset(X, [0, 1, 1], X, [0, 1, 2], labels=["a", "b", "c"]).classes == 3


# A small stand-in for MNIST: four IDX files with the checksums that go with them.


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def little(tmp_path, monkeypatch) -> Path:
    """A folder with gzipped IDX files that jreg takes for MNIST."""
    rng = np.random.default_rng(0)
    table = {}
    for part, (file, _, _, shape) in load._MNIST.items():
        shape = (60 if part in ("x", "y") else 20, *shape[1:])
        content = idx((rng.integers(0, 256, shape) if part[0] == "x" else np.arange(shape[0]) % 10).astype(np.uint8))
        packed = gzip.compress(content, mtime=0)
        (tmp_path / f"{file}.gz").write_bytes(packed)
        table[part] = (file, hashlib.sha256(content).hexdigest(), hashlib.sha256(packed).hexdigest(), shape)
    monkeypatch.setattr(load, "_MNIST", table)
    monkeypatch.setenv("JREG_DATA_DIR", str(tmp_path))
    return tmp_path


def unpack(path: Path) -> Path:
    """Puts the plain file in place of the gzipped one."""
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    return plain


def test_idx_files_are_read_from_the_folder(little):
    data = jreg.load_dataset("mnist")
    assert (data.x.shape, data.x_test.shape, data.x.dtype) == ((60, 28, 28), (20, 28, 28), np.uint8)
    np.testing.assert_array_equal(data.y, np.arange(60) % 10)


def test_idx_files_are_found_in_the_folder_mnist_too(little):
    (little / "mnist").mkdir()
    for path in little.glob("*.gz"):
        path.rename(little / "mnist" / path.name)
    assert len(jreg.load_dataset("mnist").y) == 60


def test_a_plain_idx_file_gives_the_same_as_a_gzipped_one(little):
    packed = jreg.load_dataset("mnist")
    unpack(little / "train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(jreg.load_dataset("mnist").x, packed.x)


def change(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize("at", [0, 7, 100, -1], ids=["magic", "size", "pixel", "last"])
def test_one_changed_byte_of_a_plain_file_is_noticed(little, at):
    path = unpack(little / "train-images-idx3-ubyte.gz")
    content = path.read_bytes()
    path.write_bytes(change(content, at % len(content)))
    with pytest.raises(ValueError, match=f"{path} doesn't have the checksum it should have"):
        jreg.load_dataset("mnist")


@pytest.mark.parametrize("at", [0, 1, -1, -5], ids=["magic", "magic", "length", "crc"])
def test_one_changed_byte_of_the_gzip_container_is_noticed(little, at):
    path = little / "t10k-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(change(content, at % len(content)))
    with pytest.raises(ValueError, match=f"{path} is not readable as gzip .*: fetch it again"):
        jreg.load_dataset("mnist")


def test_a_gzip_of_other_content_is_noticed(little):
    path = little / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()), 20)))
    with pytest.raises(ValueError, match=f"{path} doesn't have the checksum"):
        jreg.load_dataset("mnist")


def test_a_truncated_gzip_is_noticed(little):
    path = little / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=f"{path} is not readable as gzip"):
        jreg.load_dataset("mnist")


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_a_file_that_is_too_long_is_noticed(little, packed):
    path = little / "t10k-labels-idx1-ubyte.gz"
    if packed:
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))
    else:
        path = unpack(path)
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=f"{path} doesn't have the checksum"):
        jreg.load_dataset("mnist")


def test_a_missing_file_is_named(little):
    (little / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no t10k-labels-idx1-ubyte or .*\.gz in"):
        jreg.load_dataset("mnist")


def test_a_missing_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JREG_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=f"JREG_DATA_DIR is {tmp_path / 'nowhere'}, but there is no"):
        jreg.load_dataset("mnist")


def test_without_a_folder_each_file_is_fetched_with_its_checksum(little, monkeypatch):
    monkeypatch.delenv("JREG_DATA_DIR")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash, fname))
        assert Path(path).name == "mnist"
        return str(little / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(jreg.load_dataset("mnist").y_test) == 20
    assert asked == [
        (f"https://ossci-datasets.s3.amazonaws.com/mnist/{file}.gz", gzipped, f"{file}.gz")
        for file, _, gzipped, _ in load._MNIST.values()
    ]


@pytest.mark.parametrize("error", [requests.ConnectionError, OSError, TimeoutError])
def test_a_failed_fetch_says_what_to_do(monkeypatch, error):
    monkeypatch.delenv("JREG_DATA_DIR", raising=False)

    def retrieve(*arguments, **options):
        raise error("no network here")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    sentence = rf"MNIST's train-images-idx3-ubyte.gz could not be fetched \({error.__name__}\): put the four IDX files"
    with pytest.raises(FileNotFoundError, match=sentence):
        jreg.load_dataset("mnist")


TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_mnist
def test_real_mnist_has_the_counts_of_the_literature():
    data = jreg.load_dataset("mnist")
    assert (data.x.shape, data.x_test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert (data.x.dtype, data.x_test.dtype, data.name) == (np.uint8, np.uint8, "mnist")
    assert np.bincount(data.y).tolist() == TRAIN_COUNTS
    assert np.bincount(data.y_test).tolist() == TEST_COUNTS


@needs_mnist
def test_real_mnist_is_the_same_gzipped_or_not(tmp_path, monkeypatch):
    for file, *_ in load._MNIST.values():
        found = load._find(Path(os.environ["JREG_DATA_DIR"]), file)
        (tmp_path / found.name).symlink_to(found.resolve())
    labels = load._MNIST["y"][0]
    if (tmp_path / f"{labels}.gz").exists():
        (tmp_path / labels).write_bytes(gzip.decompress((tmp_path / f"{labels}.gz").read_bytes()))
        (tmp_path / f"{labels}.gz").unlink()
    else:
        (tmp_path / f"{labels}.gz").write_bytes(gzip.compress((tmp_path / labels).read_bytes()))
        (tmp_path / labels).unlink()
    original = jreg.load_dataset("mnist")
    monkeypatch.setenv("JREG_DATA_DIR", str(tmp_path))
    mixed = jreg.load_dataset("mnist")
    np.testing.assert_array_equal(mixed.y, original.y)
    np.testing.assert_array_equal(mixed.x_test, original.x_test)


@needs_mnist
def test_a_changed_pixel_of_real_mnist_is_noticed(tmp_path, monkeypatch):
    for file, *_ in load._MNIST.values():
        found = load._find(Path(os.environ["JREG_DATA_DIR"]), file)
        (tmp_path / found.name).symlink_to(found.resolve())
    images = load._MNIST["x_test"][0]
    found = next(tmp_path.glob(f"{images}*"))
    content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    found.unlink()
    (tmp_path / images).write_bytes(change(content, 5_000_000))
    monkeypatch.setenv("JREG_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=f"{tmp_path / images} doesn't have the checksum"):
        jreg.load_dataset("mnist")
