"""Tables as data: CSV files and data frames with a target column, and OpenML by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.deprecation import deprecated
from jreg._base.names import cut
from jreg.data.arrays import check_digits, is_missing
from jreg.data.dataset import Dataset
from jreg.data.encoding import Encoder
from jreg.data.limits import within_memory
from jreg.data.reading import Table, as_table


def from_csv(
    path: str | Path,
    target: str | None = None,
    *,
    test: str | Path | None = None,
    task: str | None = None,
    missing: str = "reject",
    drop: Iterable[str] = (),
    categories: Iterable[str] = (),
    unseen: str = "error",
    leave_out: Sequence[str] = (),
) -> Dataset:
    r"""A data set from a CSV file: a line of column names, then one line per example, in UTF-8.

    Columns are separated by commas, semicolons, tabs or bars, whichever splits the first line into the most names.
    Columns of numbers, whole ones too, become float32 features, columns of text a feature of 0 and 1 for each category.
    An empty field, ``?``, ``NA``, ``NaN``, ``null`` or ``None`` is a missing value. Texts that seem to be numbers, such
    as ``1,000``, ``0,5``, ``3%`` or a slip among many numbers, are an error.

    A target column of text holds class names. One of numbers holds class labels where there are exactly two different
    ones, or at most ten whole ones without a gap such as 1, 2, 3, and each occurs twice on average; and where they are
    written as integers and are 0 to K - 1, and each occurs twice on average or K is at most ten. Any others are numbers
    to predict. `task` says it otherwise.

    Args:
      path: the file, at most 1 GiB, with fields of at most 131,072 characters.
      target: the name of the target column; default: the last one.
      test: a second file, which becomes the test set. It is coded as the first one: columns go by name, categories and
        labels are those of the first.
      task: ``"classification"`` or ``"regression"``; default: what the target column shows, as above.
      missing: whether a missing value is an error, ``"reject"``, or kept for `impute`, ``"keep"``; in a column of text
        it is then missing in all its features.
      drop: names of columns that are no features, such as a row's number.
      categories: names of columns whose values are categories though they look like numbers, such as postal codes.
      unseen: what a category of another table becomes that this one doesn't have: an ``"error"``, or ``"zeros"`` in all
        features of its column.
      leave_out: the old name of `drop`.

    Returns:
      A `Dataset` with the features' names, the labels' where they are not 0 to K - 1, and its `Encoder`, which a
      network trained on it has, too.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no table, there is no such column, columns can't be features (up to 50 are named), a value is
        missing, the second file has other columns, a category or a label that the first doesn't have, or the features
        would take more memory than is free.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pets.csv"
    ...     _ = path.write_text("weight,colour,kind\n4,black,cat\n9,black,dog\n3,white,cat\n")
    ...     pets = from_csv(path)
    >>> pets.features, pets.labels
    (('weight', 'colour=black', 'colour=white'), ('cat', 'dog'))
    """
    if leave_out:
        deprecated("from_csv(leave_out=...)", "drop=...", removed_in="0.3")
        drop = leave_out
    if task not in (None, "classification", "regression"):
        raise ValueError(f"from_csv's task is {task!r}, but must be 'classification', 'regression' or None")
    how: dict[str, Any] = {"drop": drop, "categories": categories, "unseen": unseen}
    second = None if test is None else Path(test)
    with within_memory(str(path)):
        return from_table(Path(path), target, test=second, task=task, missing=missing, **how)


def from_table(table: Any, target: str | None = None, *, test: Any = None, missing: str, **how: Any) -> Dataset:
    """The same of any table that an `Encoder` takes; `how` is what `Encoder.fit` takes."""
    read = as_table(table)
    encoder = Encoder.fit(read, target, missing=missing, **how)
    second = None if test is None else as_table(test)
    return Dataset(
        encoder.encode(read),
        encoder.encode_target(read),
        x_test=None if second is None else encoder.encode(second),
        y_test=None if second is None else encoder.encode_target(second),
        name=table.stem if isinstance(table, Path) else "data",
        missing=missing,
        task=encoder.task,
        features=encoder.features,
        encoder=encoder,
    )


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
        raise ValueError(f"{title} can't be read: {cut(' '.join(str(error).split()))}") from None
    except OSError as error:
        raise FileNotFoundError(
            f"{title} could not be fetched ({type(error).__name__}): openml.org is needed once, then scikit-learn's "
            "cache has it"
        ) from None
    except Exception as error:  # whatever another library's reader makes of a damaged file in its cache
        raise ValueError(
            f"{title} can't be read ({type(error).__name__}): remove it from scikit-learn's cache, so that it is "
            "fetched again"
        ) from None
    if found.target is None or np.ndim(found.target) != 1:
        raise ValueError(f"{title} has no single target column: fetch it with scikit-learn and make a jreg.Dataset")
    names = [str(feature) for feature in found.feature_names]
    kinds = [(found.categories or {}).get(feature) for feature in found.feature_names]
    kinds = [None if kind is None else [str(category).strip() for category in kind] for kind in kinds]
    columns: dict[str, Any] = {
        feature: _openml_column(found.data[:, [number]], kind)
        for number, (feature, kind) in enumerate(zip(names, kinds, strict=True))
    }
    y, labels = np.asarray(found.target), []
    if y.dtype.kind not in "fiub":
        labels = sorted({str(label).strip() for label in y if not is_missing(label)})
    task = "classification" if labels or y.dtype.kind in "iub" else "regression"
    target = str(found.target_names[0]) if "target_names" in found else None
    if task == "classification" and not labels:
        labels = np.unique(y).tolist()
    for feature, kind in zip(names, kinds, strict=True):
        if kind is None:
            check_digits(columns[feature], f"{title}'s column {feature!r}", 0.01)
    encoder = Encoder(names, kinds, target, task, labels, missing=missing)
    x, y = encoder.encode(Table(name, columns)), encoder.encode_target(y, f"{title}'s target")
    return Dataset(x, y, name=name, missing=missing, task=task, features=encoder.features, encoder=encoder)


def _openml_column(column: Any, categories: Sequence[str] | None) -> Any:
    dense = np.asarray(column.todense() if hasattr(column, "todense") else column, np.float64)[:, 0]
    if categories is None:
        return dense
    # The value is the category's number, or NaN where it is missing.
    return ["" if np.isnan(value) else categories[int(value)] for value in dense]
