"""How a table's columns become features and labels: fitted once on the training table, kept, used for any other."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jreg.data._columns import (
    EMPTY,
    MOST_CATEGORIES,
    Refused,
    alike,
    as_column,
    as_texts,
    categories_of,
    is_empty,
    quoted,
    refuse_columns,
    some,
    whole,
)
from jreg.data._forms import Form, Values, form_of
from jreg.data._labels import Label, as_labels, check_complete, labels_of, numbers_in, refuse_one_hot
from jreg.data.arrays import example
from jreg.data.limits import check_room
from jreg.data.reading import Table, as_table, check_delimiter, is_table


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What a training table has fixed, so that every other table is coded in the same way.

    It consists of plain values: ``json.dumps(dataclasses.asdict(encoder))`` writes it, ``Encoder(**json.loads(text))``
    reads it. A table is the path of a CSV file, a mapping of columns by name, or a data frame (pandas, polars).

    Attributes:
      columns: the names of the columns that become features, in order; () where examples didn't come from a table.
      categories: of each of them its categories in order, or None for a column of numbers.
      target: the name of the target column, or None.
      task: ``"classification"`` or ``"regression"``.
      labels: the labels as they were given, texts or numbers, in the order of the class numbers; () for a regression.
      drop: columns that a table may have and that are no features.
      unseen: what a category that the training table doesn't have becomes: an ``"error"``, or ``"zeros"`` in all
        features of its column. An unseen label is an error in any case.
      missing: whether a missing value of an example is an error, ``"reject"``, or becomes NaN, ``"keep"``, in a column
        of categories in all its features.
      offsets: of each column of numbers what is subtracted in float64 before it becomes float32, 0 for most; () for
        none. A column such as a time in seconds since 1970, far from 0 beside its spread, loses its least value: a
        constant of the table, which no network can tell from another one.
      delimiter: between the columns of the training file where it is no comma; another file whose first line doesn't
        have it is separated by what splits that into the most names.
      decimal, thousands: how texts write numbers, the sign before the decimals and the one between groups of three
        digits.

    >>> encoder = Encoder.fit({"region": ["north", "east", "east", "west"], "sold": ["no", "yes", "yes", "no"]})
    >>> encoder.features, encoder.labels
    (('region=east', 'region=north', 'region=west'), ('no', 'yes'))
    >>> encoder.encode({"region": ["west", "east"]}).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    >>> encoder.decode(encoder.encode_target(["yes", "yes"])).tolist()
    ['yes', 'yes']

    Source: scikit-learn's ``OneHotEncoder(handle_unknown=...)`` and ``LabelEncoder``.
    """

    columns: Sequence[str]
    categories: Sequence[Sequence[str] | None]
    target: str | None = None
    task: str = "classification"
    labels: Sequence[Label] = ()
    drop: Sequence[str] = ()
    unseen: str = "error"
    missing: str = "reject"
    offsets: Sequence[float] = ()
    delimiter: str | None = None
    decimal: str = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        for field in ("columns", "labels", "drop", "offsets"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        categories = tuple(None if found is None else tuple(found) for found in self.categories)
        object.__setattr__(self, "categories", categories)
        for field, words in (("unseen", ("error", "zeros")), ("missing", ("reject", "keep"))):
            if getattr(self, field) not in words:
                raise ValueError(f"{field} is {getattr(self, field)!r}, but must be {' or '.join(map(repr, words))}")
        self.form.check()
        check_delimiter(self.delimiter)

    @classmethod
    def fit(
        cls,
        table: Any,
        target: str | None = None,
        *,
        task: str | None = None,
        drop: Iterable[str] = (),
        categorical: Iterable[str] = (),
        most_categories: int = MOST_CATEGORIES,
        unseen: str = "error",
        missing: str = "reject",
        delimiter: str | None = None,
        decimal: str = ".",
        thousands: str | None = None,
    ) -> Encoder:
        """The encoder of a training table.

        Args:
          table: as above.
          target: the target column; default: the last one.
          task: as in `from_csv`.
          drop: columns that are no features.
          categorical: columns of categories that look like numbers.
          most_categories: as in `from_csv`.
          unseen, missing, delimiter, decimal, thousands: as above.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it is no table, there is no such column, a column is of no use (all such columns are named), or
            the target misses a value or doesn't fit the task.
        """
        how: Any = {"unseen": unseen, "missing": missing, "decimal": decimal, "thousands": thousands}
        form = cls((), (), delimiter=delimiter, **how).form
        name, columns, of_categories, found_delimiter = as_table(table, delimiter)
        # A name alone is a frequent slip; its letters are no columns.
        drop, chosen = ((given,) if isinstance(given, str) else tuple(map(str, given)) for given in (drop, categorical))
        if isinstance(target, list | set | tuple):
            raise ValueError(
                f"{name}'s target is {target!r}, but must be one column: several are given as Dataset(x, y)"
            )
        given, target = target, next(reversed(columns)) if target is None else str(target)
        for column in (target, *drop, *chosen):
            check_column(name, columns, column)
        if not target:
            raise ValueError(f"{name}'s last column has no name, so it can't be the target: name the one that is")
        if target in drop:
            which = "the target" if given is not None else "the last column, which is the target where none is named"
            raise ValueError(f"{name}'s {target!r} can't be dropped, it is {which}: name another target")
        if target in chosen:
            raise ValueError(
                f"{name}'s {target!r} is the target and no feature: task='classification' (--task classification) "
                "takes its numbers for labels"
            )
        task, labels = labels_of(columns[target], task, f"{name}'s target {target!r}", form)
        left = {target, *drop}
        names = tuple(column for column in columns if column not in left)
        if not names:
            raise ValueError(
                f"{name} has no column but its target {target!r}: there is nothing to predict it from, unless "
                "delimiter=... (--delimiter) says what separates its columns"
            )
        refuse_one_hot({column: columns[column] for column in (*names, target)}, target, name)
        as_chosen = {*chosen, *of_categories}
        found = [categories_of(columns[column], column, column in as_chosen, most_categories, form) for column in names]
        if missing == "reject":
            found = [EMPTY if is_empty(columns[name]) else kind for name, kind in zip(names, found, strict=True)]
        kinds = [kind if isinstance(kind, tuple) and not isinstance(kind, Refused) else None for kind in found]
        bad = {column: why for column, why in zip(names, found, strict=True) if isinstance(why, Refused)}
        if bad:
            numeric = [
                columns[column]
                for column, kind in zip(names, found, strict=True)
                if isinstance(kind, float) or (isinstance(kind, Refused) and kind.kind == "number")
            ]
            refuse_columns(name, bad, form_of(numeric), most_categories)
        offsets = [kind if isinstance(kind, float) else 0.0 for kind in found]
        offsets = offsets if any(offsets) else ()
        return cls(names, kinds, target, task, labels, drop, offsets=offsets, delimiter=found_delimiter, **how)

    @property
    def form(self) -> Form:
        """How texts write numbers."""
        return Form(self.decimal, self.thousands)

    def read(self, table: Any) -> Table:
        """Another table, its columns as they are; a file's are separated as those of the training table."""
        return as_table(table, self.delimiter)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features: a column of numbers has its own, one of categories NAME=CATEGORY for each."""
        pairs = zip(self.columns, self.categories, strict=True)
        return tuple(
            name if kind is None else f"{name}={category}" for name, kind in pairs for category in kind or ("",)
        )

    def encode(self, table: Any) -> np.ndarray:
        """The examples of a table, ``(n, features)`` in float32, found by the names of the columns in any order.

        Raises:
          ValueError: it lacks columns or has others, a value is missing, infinite, too large or no number, or a
            category unseen.
        """
        name, columns, *_ = self.read(table)
        known = {*self.columns, *self.drop, self.target}
        lacking = [column for column in self.columns if column not in columns]
        surplus = [column for column in columns if column not in known]
        if lacking or surplus:
            found = " and ".join(
                f"{verb} {some(names)}" for verb, names in (("lacks", lacking), ("has besides", surplus)) if names
            )
            raise ValueError(f"{name} needs the columns of the training table, but {found}")
        widths = [1 if kind is None else len(kind) for kind in self.categories]
        rows, features = len(next(iter(columns.values()))), sum(widths)
        widest = [quoted(column) for _, column in heapq.nlargest(3, zip(widths, self.columns, strict=True))]
        # A data set has a copy of its own, and holding out a test set makes another.
        check_room(
            12 * rows * features,
            f"coding {name} as {rows:,} rows of {features:,} features",
            f"leave out rows, or by drop=[...] (--drop) columns of many categories, {', '.join(widest)} first",
        )
        coded = np.empty((rows, features), np.float32)
        begin, offsets = 0, self.offsets or (0.0,) * len(widths)
        for column, kind, width, offset in zip(self.columns, self.categories, widths, offsets, strict=True):
            title = f"{name}'s column {quoted(column)}"
            found = self._coded(columns[column], kind, title, offset)
            coded[:, begin : begin + width] = example(found, title, self.missing, 2)
            begin += width
        return coded

    def _coded(self, column: Values, categories: Sequence[str] | None, name: str, offset: float) -> np.ndarray:
        if categories is None:
            return numbers_in(column, name, self.form)[:, None] - offset
        place = {"": -1} | {category: number for number, category in enumerate(categories)}
        texts = [text if text in place else whole(text) for text in as_texts(column)]
        unseen = next((row for row, text in enumerate(texts) if text not in place), None)
        if unseen is not None and self.unseen == "error":
            raise ValueError(
                f"{name} has {quoted(texts[unseen])} in row {unseen}, but in the training table only "
                f"{some(categories)}: unseen='zeros' (--unseen zeros) reads it as none of them"
            )
        codes = np.array([place.get(text, len(categories)) for text in texts])
        features = (codes[:, None] == np.arange(len(categories))).astype(np.float32)
        features[codes < 0] = np.nan
        return features

    def encode_target(self, values: Any, name: str = "y") -> np.ndarray:
        """Class numbers ``(n,)``, or the numbers of a regression, of a table with the target column or of its values.

        Raises:
          ValueError: a value is missing, no number, or a label that the training table doesn't have.
        """
        if is_table(values):
            table, columns, *_ = self.read(values)
            if self.target is None:
                raise ValueError(f"{table} has no targets, which were given apart from the examples: give y beside it")
            if self.target not in columns:
                raise ValueError(f"{table} has no column {self.target!r}, the target")
            name, values = f"{table}'s target {self.target!r}", columns[self.target]
        column = as_column(values, name)
        check_complete(column, name)
        if self.task == "regression":
            return numbers_in(column, name, self.form)
        given = as_labels(column, self.labels, self.form)
        place = {label: number for number, label in enumerate(self.labels)}
        unseen = next((row for row, label in enumerate(given) if label not in place), None)
        if unseen is not None:
            raise ValueError(
                f"{name} has {quoted(given[unseen])} in row {unseen}, which is none of the labels to train on: "
                f"{some(self.labels)}"
            )
        return np.array([place[label] for label in given])

    def decode(self, y: Any) -> np.ndarray:
        """Labels as they were given, of class numbers of any shape; the numbers of a regression are what they are.

        Raises:
          ValueError: a number is none of a class.
        """
        y = np.asarray(y)
        if self.task == "regression" or self.labels == tuple(range(len(self.labels))):
            return y
        if y.size and not 0 <= y.min() <= y.max() < len(self.labels):
            raise ValueError(f"there are {len(self.labels)} labels, but {y.max()} is to be the number of one")
        return np.array(self.labels)[y]


def check_column(table: str, columns: Iterable[str], name: str) -> None:
    """Raises ValueError where no column has this name."""
    if name not in columns:
        raise ValueError(f"{table} has no column {name!r}: {alike(name, columns)}")


def of_labels(labels: Iterable[Label]) -> Encoder:
    """An encoder of labels alone, for examples that come from no table."""
    return Encoder((), (), labels=tuple(labels))
