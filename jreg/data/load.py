"""Data sets by name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base import checks
from jreg._base.names import cut
from jreg.data._columns import MOST_CATEGORIES
from jreg.data.arrays import is_tree, take
from jreg.data.dataset import Dataset
from jreg.data.files import read_idx, read_npy, read_npz
from jreg.data.limits import within_memory
from jreg.data.mnist1d import mnist1d
from jreg.data.reading import is_table
from jreg.data.tables import from_csv, from_frame, from_openml

_SCIKIT_LEARN = ("digits", "breast_cancer", "diabetes", "wine")
# What `load_dataset` knows by name.
BUILT_IN = (*_SCIKIT_LEARN, "mnist", "mnist1d")
# name of the file, SHA-256 of its content, SHA-256 of the gzip file on the server, shape
_MNIST = {
    "x": (
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        (60_000, 28, 28),
    ),
    "y": (
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        (60_000,),
    ),
    "x_test": (
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        (10_000, 28, 28),
    ),
    "y_test": (
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "f7ae60f92e00ed6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        (10_000,),
    ),
}
_MNIST_SERVER = "https://ossci-datasets.s3.amazonaws.com/mnist/"


def load_dataset(
    name: Any,
    *,
    test_size: float = 0.2,
    seed: int = 0,
    target: str | None = None,
    test: Any = None,
    missing: str = "reject",
    task: str | None = None,
    groups: str | None = None,
    weights: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    most_categories: int = MOST_CATEGORIES,
    unseen: str = "error",
    delimiter: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
) -> Dataset:
    """A data set by name, from a file, or from a table in memory.

    Tables (those of scikit-learn, OpenML, CSV and data frames) have float32 features. Arrays in files keep their
    dtypes, as `Dataset` says: images uint8, and integers integers, which an embedding needs and a dense layer doesn't
    take.

    Args:
      name: ``"digits"``, ``"breast_cancer"``, ``"diabetes"`` or ``"wine"`` (they come with scikit-learn);
        ``"mnist"`` (IDX files in the folder ``JREG_DATA_DIR`` or its subfolder mnist, otherwise fetched once
        into the user's cache and checked by SHA-256); ``"mnist1d"`` (made by its published recipe);
        ``"openml:NAME"`` or ``"openml:NAME@VERSION"`` (`from_openml`). Or a path: of an ``.npz`` with arrays x and y,
        and x_test and y_test if it has a test set, and perhaps weights and groups (weights_test, groups_test); of a
        folder with these as ``x.npy``, ``y.npy`` and so on; or of a ``.csv`` (`from_csv`). Or a data frame, or a
        mapping of columns by name (`from_frame`).
      test_size: the share of rows held out as the test set, in [0, 1), where the data brings none; classes
        keep their shares, and groups stay whole; 0 holds out nothing.
      seed: of the shuffle before that split.
      target: the target column of a table; default: its last one.
      test: the test set of a table: a second one, which is coded as the first.
      missing: of files, tables and OpenML: whether NaN in the examples is an error, ``"reject"``, or kept for `impute`,
        ``"keep"``.
      task: as in `Dataset`, of a table as in `from_csv`; default: what the targets show.
      groups, weights: of a table, the names of columns, as in `from_csv`.
      drop, categorical, most_categories, unseen, decimal, thousands: of a table, as in `from_csv`.
      delimiter: of a ``.csv``, as in `from_csv`.

    Returns:
      A `Dataset`.

    Raises:
      ValueError: the name is unknown, `test_size` lies outside [0, 1), or a file is no regular one, is not as it should
        be, or has more than fits into memory.
      FileNotFoundError: there is no such file.
      TypeError: `name` is neither a name nor a table.

    >>> load_dataset("digits")
    Dataset(digits: 1437 rows of (64,) float32, classification, 360 test rows)
    >>> ages = {"age": [3, 8, 5, 9], "breed": ["pug", "collie", "pug", "beagle"], "weight": [7.5, 24.0, 8.1, 11.0]}
    >>> load_dataset(ages, test_size=0).features
    ('age', 'breed=beagle', 'breed=collie', 'breed=pug')
    """
    if not 0 <= test_size < 1:
        raise ValueError(f"test_size is {test_size}, but must lie in [0, 1)")
    check_seed(seed)
    if not is_table(name):
        raise TypeError(
            f"load_dataset got a {type(name).__name__}, but takes a name, a path, a data frame or a mapping of columns "
            "by name: arrays become data by jreg.Dataset(x, y)"
        )
    how: dict[str, Any] = {"target": target, "test": test, "groups": groups, "weights": weights, "drop": drop}
    how |= {"categorical": categorical, "most_categories": most_categories, "unseen": unseen, "delimiter": delimiter}
    with within_memory(str(name) if isinstance(name, str | Path) else "the table"):
        data = _loaded(name, missing, task, {**how, "decimal": decimal, "thousands": thousands})
    return _with_test_set(data, test_size, seed)


# What options of tables are where they aren't given.
_NOT_GIVEN: dict[str, Any] = {"most_categories": MOST_CATEGORIES, "unseen": "error", "decimal": "."}


def _loaded(name: Any, missing: str, task: str | None, how: dict[str, Any]) -> Dataset:
    if not isinstance(name, str | Path):
        if how.pop("delimiter") is not None:
            raise ValueError(f"only a .csv file has a delimiter, but load_dataset got one for a {type(name).__name__}")
        return from_frame(name, missing=missing, task=task, **how)
    if Path(name).suffix.lower() in (".csv", ".tsv"):
        return from_csv(name, missing=missing, task=task, **how)
    given = {option: value for option, value in how.items() if value != _NOT_GIVEN.get(option) and value != ()}
    if given:
        option, value = next(iter(given.items()))
        what = "a target column to name" if option == "target" else f"the option {option}"
        raise ValueError(f"only a .csv file has {what}, but load_dataset got {value!r} for {name}")
    data = _read(str(name), missing, task)
    if task is not None:
        labels = () if task == "regression" else data.labels
        return dataclasses.replace(data, task=task, labels=labels)
    return data


def _with_test_set(data: Dataset, test_size: float, seed: int) -> Dataset:
    if data.x_test is not None or test_size == 0:
        return data
    train, held_out = split(data, test_size, seed)
    own = {field: getattr(data, field) for field in ("x", "y", "weights", "groups")}
    parts = {field: take(values, train) for field, values in own.items()}
    parts |= {f"{field}_test": take(values, held_out) for field, values in own.items()}
    return dataclasses.replace(data, **parts)


def _read(name: str, missing: str, task: str | None) -> Dataset:
    path = Path(name)
    if name in _SCIKIT_LEARN:
        return _from_scikit_learn(name)
    if name == "mnist":
        return _mnist()
    if name == "mnist1d":
        return mnist1d()
    if name.startswith("openml:"):
        title, _, version = name.removeprefix("openml:").partition("@")
        if not title or not (version or "1").isdecimal():
            raise ValueError(f"{name!r} is no name of an OpenML data set: write openml:NAME or openml:NAME@VERSION")
        return from_openml(title, int(version or 1), missing)
    if path.suffix == ".npz":
        return read_npz(path, missing, task)
    if name and path.is_dir():
        return read_npy(path, missing, task)
    known = ", ".join(BUILT_IN)
    raise ValueError(
        f"there is no data set {name!r}: choose one of {known}, openml:NAME, or the path of an .npz file, a .csv file "
        "or a folder with x.npy and y.npy; other tables are read by pandas or polars, and jreg.data.from_frame takes "
        "what they return"
    )


def _from_scikit_learn(name: str) -> Dataset:
    # Imported here because it takes half a second that a run on other data doesn't need.
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    classes = [str(label) for label in found.target_names] if "target_names" in found else ()
    return Dataset(found.data, found.target, name=name, labels=classes, features=found.feature_names)


def check_seed(seed: int) -> None:
    """Raises unless `seed` is one that scikit-learn and NumPy take."""
    if checks.count(seed, "seed", least=0) >= 2**32:
        raise ValueError(f"seed is {seed}, but must be below 2**32")


def has_classes(data: Dataset) -> bool:
    """Whether each row has one class, as stratified splits need."""
    return data.task == "classification" and not is_tree(data.y) and data.y.ndim == 1


def split(data: Dataset, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers in two parts, the second with this share of them; classes, one per row, keep their shares.

    Where rows belong to groups, it is a share of the groups, and classes don't keep theirs.

    Raises:
      ValueError: scikit-learn can't split them so.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    check_seed(seed)
    rows, strata = np.arange(len(data)), data.y if has_classes(data) else None
    single = 0 if strata is None or data.groups is not None else int((np.bincount(strata) == 1).sum())
    if single:
        found = f"{single} of its {data.classes} classes {'has' if single == 1 else 'have'} a single row"
        raise ValueError(
            f"{data.name} can't be split with test_size={size}: {found}, but each part needs one of every class: name "
            "the target where it is another column, target=... (--target), or remove such rows"
        )
    try:
        if data.groups is None:
            first, second = train_test_split(rows, test_size=size, random_state=seed, stratify=strata)
        else:
            shuffled = GroupShuffleSplit(1, test_size=size, random_state=seed)
            [(first, second)] = shuffled.split(rows, groups=data.groups)
    except ValueError as error:
        raise ValueError(f"{data.name} can't be split with test_size={size}: {cut(str(error))}") from None
    return np.sort(first), np.sort(second)


def _mnist() -> Dataset:
    folder = os.environ.get("JREG_DATA_DIR")
    arrays: dict[str, Any] = {}
    for part, (file, content, gzipped, shape) in _MNIST.items():
        path = _find(Path(folder), file) if folder else _fetch(file, gzipped)
        arrays[part] = read_idx(path, content, shape)
    return Dataset(**arrays, name="mnist")


def _find(folder: Path, file: str) -> Path:
    places = [folder / sub / (file + end) for sub in ("mnist", ".") for end in ("", ".gz")]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"JREG_DATA_DIR is {folder}, but there is no {file} or {file}.gz in it or its folder mnist")


def _fetch(file: str, sha256: str) -> Path:
    import pooch

    try:
        fetched = pooch.retrieve(
            _MNIST_SERVER + file + ".gz", known_hash=sha256, fname=file + ".gz", path=pooch.os_cache("jreg") / "mnist"
        )
    except OSError as error:
        raise FileNotFoundError(
            f"MNIST's {file}.gz could not be fetched ({type(error).__name__}): put the four IDX files into a folder "
            "and name it in JREG_DATA_DIR"
        ) from None
    return Path(fetched)
