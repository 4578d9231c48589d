"""Tables as data: CSV files with a target column, and OpenML by name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.names import listed
from jreg.data._columns import numbers, one_hot, target_of
from jreg.data.dataset import Dataset

_MOST_BYTES = 2**30


def from_csv(
    path: str | Path,
    target: str | None = None,
    *,
    task: str | None = None,
    missing: str = "reject",
    leave_out: Sequence[str] = (),
) -> Dataset:
    r"""A data set from a CSV file: a line of column names, then one line per example, in UTF-8 and with commas.

    Columns of numbers, whole ones too, become float32 features, columns of text a feature of 0 and 1 for each category.
    An empty field, ``?``, ``NA``, ``NaN``, ``null`` or ``None`` is a missing value.

    Args:
      path: the file, at most 1 GiB.
      target: the name of the target column; default: the last one.
      task: ``"classification"`` or ``"regression"``; default: a target column of text holds class names, one of
        exactly the whole numbers 0 to K - 1 labels, any other one numbers to predict.
      missing: whether a missing value is an error, ``"reject"``, or kept for `impute`, ``"keep"``; in a column of text
        it is then missing in all its features.
      leave_out: names of columns that are no features, such as a row's number.

    Returns:
      A `Dataset` without a test set, with the features' names, and the labels' where they were not 0 to K - 1.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no table, there is no such column, or a value is missing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pets.csv"
    ...     _ = path.write_text("weight,colour,kind\n4,black,cat\n9,black,dog\n3,white,cat\n")
    ...     pets = from_csv(path)
    >>> pets.features, pets.labels
    (('weight', 'colour=black', 'colour=white'), ('cat', 'dog'))
    """
    path = Path(path)
    if task not in (None, "classification", "regression"):
        raise ValueError(f"from_csv's task is {task!r}, but must be 'classification', 'regression' or None")
    names, rows = _read(path)
    target = names[-1] if target is None else target
    for name in (target, *leave_out):
        if name not in names:
            raise ValueError(f"{path} has no column {name!r}: it has {listed(list(map(repr, names)))}")
    table = dict(zip(names, zip(*rows, strict=True), strict=True))
    y, labels = target_of(table[target], task, target, str(path))
    features: list[str] = []
    parts = []
    for name in names:
        if name == target or name in leave_out:
            continue
        column = numbers(table[name])
        own, part = one_hot(table[name], name, str(path)) if column is None else ([name], column[:, None])
        features += own
        parts.append(part)
    if not parts:
        raise ValueError(f"{path} has no column but its target {target!r}: there is nothing to predict it from")
    x = np.concatenate(parts, axis=1)
    return Dataset(x, y, name=path.stem, missing=missing, labels=labels, features=features)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > _MOST_BYTES:
        size = path.stat().st_size / 2**30
        raise ValueError(f"{path} is {size:.1f} GiB, but CSV is read up to 1 GiB: write it with numpy.savez")
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            names = [name.strip() for name in next(lines, [])]
            for row in lines:
                # A blank line is no row.
                if not row:
                    continue
                if len(row) != len(names):
                    raise ValueError(f"{path} has {len(row)} fields in line {lines.line_num}, but {len(names)} columns")
                rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable CSV file in UTF-8 ({error})") from None
    if not rows:
        raise ValueError(f"{path} has no rows below a line of column names")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}: give them different names")
    if numbers(names) is not None:
        raise ValueError(f"{path} begins with numbers, but its first line must name the columns")
    return names, rows


def from_openml(name: str, version: int = 1, missing: str = "reject") -> Dataset:
    """A data set of openml.org, fetched once by scikit-learn into its own cache.

    Args:
      name: what OpenML calls it, such as ``"iris"``.
      version: OpenML's number of the version.
      missing: as in `from_csv`.

    Returns:
      A `Dataset` without a test set, with float32 features; categories become features of 0 and 1, and a target of
      categories labels.

    Raises:
      FileNotFoundError: it can't be fetched.
      ValueError: there is no such data set or version, or it has no single target.
    """
    from sklearn.datasets import fetch_openml

    title = f"openml:{name}@{version}"
    try:
        found = fetch_openml(name, version=version, as_frame=False, parser="liac-arff")
    except ValueError as error:
        raise ValueError(f"{title} can't be read: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise FileNotFoundError(
            f"{title} could not be fetched ({type(error).__name__}): openml.org is needed once, then scikit-learn's "
            "cache has it"
        ) from None
    if found.target is None or np.ndim(found.target) != 1:
        raise ValueError(f"{title} has no single target column: fetch it with scikit-learn and make a jreg.Dataset")
    features, parts = [], []
    for number, feature in enumerate(found.feature_names):
        column = found.data[:, [number]]
        own, part = _openml_column(column, feature, (found.categories or {}).get(feature))
        features += own
        parts.append(part)
    y, labels = np.asarray(found.target), []
    if y.dtype.kind not in "fiub":
        y, labels = target_of(["" if text is None else str(text) for text in y], "classification", "", title)
    return Dataset(np.concatenate(parts, axis=1), y, name=name, missing=missing, labels=labels, features=features)


def _openml_column(column: Any, name: str, categories: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    dense = np.asarray(column.todense() if hasattr(column, "todense") else column, np.float64)
    if categories is None:
        return [name], dense
    # The value is the category's number, or NaN where it is missing.
    part = (dense == np.arange(len(categories))).astype(np.float32)
    part[np.isnan(dense[:, 0])] = np.nan
    return [f"{name}={category}" for category in categories], part
