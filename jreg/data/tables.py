"""Tables as data: CSV files and data frames with a target column, and OpenML by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base import checks
from jreg._base.names import cut
from jreg.data._columns import MOST_CATEGORIES
from jreg.data._forms import Form, as_groups
from jreg.data._labels import check_complete, numbers_in
from jreg.data.arrays import check_digits, is_missing
from jreg.data.dataset import Dataset
from jreg.data.encoding import Encoder, check_column
from jreg.data.limits import within_memory
from jreg.data.offsets import of_column
from jreg.data.reading import Table, as_table, check_delimiter, is_table


def from_csv(
    path: str | Path,
    target: str | None = None,
    *,
    test: str | Path | None = None,
    task: str | None = None,
    groups: str | None = None,
    weights: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    most_categories: int = MOST_CATEGORIES,
    missing: str = "reject",
    unseen: str = "error",
    delimiter: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
) -> Dataset:
    r"""A data set from a CSV file: a line of column names, then one line per example, in UTF-8.

    Columns of numbers, whole ones too, become float32 features, and columns of ``true`` and ``false`` features of 1 and
    0; columns of text a feature of 0 and 1 for each category. A column far from 0 beside its spread, such as a time in
    seconds since 1970, is shifted by its least value first, so that float32 keeps what it tells (`Encoder.offsets`).
    An empty field, ``?``, ``NA``, ``NaN``, ``null`` or ``None`` is a missing value.

    What would be taken for something else is an error that names all such columns and the option that helps: texts that
    seem to be numbers, such as ``1,000``, ``0,5``, ``3%`` or a slip among many numbers; dates; a column of texts that
    all differ, or of different whole numbers with a name such as ``id``, in ten rows or more; more categories than
    `most_categories`; a target that is one of several columns of one-hot labels.

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
      groups: the name of the column that says which rows belong together, such as a patient's number; it is no feature.
      weights: the name of the column that says how much each row counts; it is no feature.
      drop: names of columns that are no features, such as a row's number.
      categorical: names of columns whose values are categories though they look like numbers, such as postal codes, or
        though they all differ.
      most_categories: of a column, each of which becomes a feature.
      missing: whether a missing value is an error, ``"reject"``, or kept for `impute`, ``"keep"``; in a column of text
        it is then missing in all its features.
      unseen: what a category of another table becomes that this one doesn't have: an ``"error"``, or ``"zeros"`` in all
        features of its column.
      delimiter: what separates columns, where the first line has it; default: a comma, semicolon, tab or bar, whichever
        splits the first line into the most names.
      decimal: the sign before the decimals of numbers, ``"."`` or ``","``.
      thousands: the sign between groups of three digits, such as ``","``, ``"."``, ``"'"`` or ``" "``; default: none.

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
    ...     _ = path.write_text("weight;colour;kind\n4,5;black;cat\n9;black;dog\n3;white;cat\n")
    ...     pets = from_csv(path, decimal=",")
    >>> pets.features, pets.labels, pets.x[0].tolist()
    (('weight', 'colour=black', 'colour=white'), ('cat', 'dog'), [4.5, 1.0, 0.0])
    """
    check_tabular(task, "from_csv", most_categories)
    how: dict[str, Any] = {"drop": drop, "categorical": categorical, "most_categories": most_categories}
    how |= {"task": task, "groups": groups, "weights": weights, "missing": missing, "unseen": unseen}
    how |= {"delimiter": delimiter, "decimal": decimal, "thousands": thousands}
    with within_memory(str(path)):
        return from_table(Path(path), target, test=test, **how)


def from_frame(
    frame: Any,
    target: str | None = None,
    *,
    test: Any = None,
    task: str | None = None,
    groups: str | None = None,
    weights: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    most_categories: int = MOST_CATEGORIES,
    missing: str = "reject",
    unseen: str = "error",
    decimal: str = ".",
    thousands: str | None = None,
) -> Dataset:
    r"""A data set from a data frame, or from a mapping of columns by name: the one that its CSV file would give.

    Args:
      frame: of pandas, polars, pyarrow, or any library that narwhals knows. Its columns of texts are read as those of a
        file are; a column that it says is of categories needs no `categorical`.
      target: the name of the target column; default: the last one.
      test: a second one, which becomes the test set, coded as the first one.
      task, groups, weights, drop, categorical, most_categories, missing, unseen, decimal, thousands: as in `from_csv`.

    Returns:
      A `Dataset`, as `from_csv` returns it.

    Raises:
      TypeError: it is no data frame, or has no rows in memory.
      ValueError: as `from_csv` does.

    >>> visits = {"patient": ["a", "a", "b"], "dose": ["1,000", "2,500", "50"], "pain": [1.5, 2, 0]}
    >>> data = from_frame(visits, groups="patient", thousands=",")
    >>> data.features, data.groups.tolist(), data.x[:, 0].tolist()
    (('dose',), ['a', 'a', 'b'], [1000.0, 2500.0, 50.0])

    Source: Narwhals, https://narwhals-dev.github.io/narwhals.
    """
    check_tabular(task, "from_frame", most_categories)
    if isinstance(frame, str | Path) or not is_table(frame):
        raise TypeError(
            f"from_frame got a {type(frame).__name__}, but takes a data frame of pandas, polars or pyarrow, or a "
            "mapping of columns by name: from_csv reads files, and arrays become data by jreg.Dataset(x, y)"
        )
    how: dict[str, Any] = {"drop": drop, "categorical": categorical, "most_categories": most_categories}
    how |= {"task": task, "groups": groups, "weights": weights, "missing": missing, "unseen": unseen}
    with within_memory("the table"):
        return from_table(frame, target, test=test, decimal=decimal, thousands=thousands, **how)


def check_tabular(task: str | None, name: str, most_categories: int) -> None:
    """Raises where a table can't be read for this task or with so many categories."""
    if task not in (None, "classification", "regression"):
        raise ValueError(f"{name}'s task is {task!r}, but must be 'classification', 'regression' or None")
    checks.count(most_categories, f"{name}'s most_categories")


def from_table(
    table: Any,
    target: str | None = None,
    *,
    test: Any = None,
    missing: str,
    groups: str | None = None,
    weights: str | None = None,
    drop: Iterable[str] = (),
    delimiter: str | None = None,
    **how: Any,
) -> Dataset:
    """The same of any table that an `Encoder` takes; `how` is what `Encoder.fit` takes."""
    check_delimiter(delimiter)
    Form(how.get("decimal", "."), how.get("thousands")).check()
    read = as_table(table, delimiter)
    drop = (drop,) if isinstance(drop, str) else tuple(map(str, drop))
    asides = {option: str(name) for option, name in (("groups", groups), ("weights", weights)) if name is not None}
    for option, name in asides.items():
        check_column(read.name, read.columns, name)
        if name == (next(reversed(read.columns)) if target is None else target):
            raise ValueError(f"{read.name}'s {name!r} can't be its {option}, it is the target: name another target")
    drop = tuple(dict.fromkeys((*drop, *asides.values())))
    encoder = Encoder.fit(read, target, missing=missing, drop=drop, delimiter=delimiter, **how)
    second = None if test is None else encoder.read(test)
    parts = {"": read} if second is None else {"": read, "_test": second}
    rows: dict[str, Any] = {
        f"{o}{end}": _aside(part, o, name, encoder) for end, part in parts.items() for o, name in asides.items()
    }
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
        **rows,
    )


def _aside(table: Table, option: str, name: str, encoder: Encoder) -> Any:
    """The values of a column of groups or weights."""
    check_column(table.name, table.columns, name)
    column, title = table.columns[name], f"{table.name}'s {option} {name!r}"
    check_complete(column, title)
    return as_groups(column) if option == "groups" else numbers_in(column, title, encoder.form)


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
    offsets = [0.0 if kind else of_column(columns[feature]) for feature, kind in zip(names, kinds, strict=True)]
    for feature, kind, offset in zip(names, kinds, offsets, strict=True):
        if kind is None:
            check_digits(columns[feature] - offset, f"{title}'s column {feature!r}", 0.01)
    encoder = Encoder(names, kinds, target, task, labels, missing=missing, offsets=offsets if any(offsets) else ())
    x, y = encoder.encode(Table(name, columns)), encoder.encode_target(y, f"{title}'s target")
    return Dataset(x, y, name=name, missing=missing, task=task, features=encoder.features, encoder=encoder)


def _openml_column(column: Any, categories: Sequence[str] | None) -> Any:
    dense = np.asarray(column.todense() if hasattr(column, "todense") else column, np.float64)[:, 0]
    if categories is None:
        return dense
    # The value is the category's number, or NaN where it is missing.
    return ["" if np.isnan(value) else categories[int(value)] for value in dense]
