"""The target column of a table: the task that it is for, and its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg.data._columns import MOST_NAME, WRITE, are_classes, as_column, as_texts, options_of, quoted, some
from jreg.data._forms import PLAIN, Form, Values, are_truths, as_numbers, form_of, odd_texts, seems_numeric

Label = str | int | float
# What a column of truth values has for labels, whoever has written it.
_TRUTHS = ("False", "True")


def labels_in(values: Any) -> tuple[Label, ...]:
    """The different labels among values, in order."""
    column = as_column(values, "y")
    if are_truths(column):
        return tuple(sorted(set(as_texts(column))))
    return labels_of(column, "classification", "y")[1]


def labels_of(column: Values, task: str | None, name: str, form: Form = PLAIN) -> tuple[str, tuple[Label, ...]]:
    """The task, and the labels of a classification in order.

    Raises:
      ValueError: a value is missing, or the column doesn't fit the task.

    >>> labels_of(["yes", "no"], None, "y"), labels_of(["TRUE", "false"], None, "y"), labels_of(["0.5", "7"], None, "y")
    (('classification', ('no', 'yes')), ('classification', ('False', 'True')), ('regression', ()))
    """
    check_complete(column, name)
    numbers = as_numbers(column, form)
    if are_truths(column) and task != "regression":
        return "classification", tuple(label for label in _TRUTHS if label in {*map(str.capitalize, as_texts(column))})
    slip = seems_numeric(column, form) if numbers is None else None
    if slip and task != "classification":
        other = form_of([column])
        mend = f"{options_of(other)} reads the numbers" if other else WRITE
        raise ValueError(f"{name} {slip}: {mend}, or say task='classification' (--task classification)")
    if numbers is None:
        if task == "regression":
            raise ValueError(f"{name} has text, but task='regression' needs numbers")
        labels = sorted(set(as_texts(column)))
        if (longest := max(map(len, labels))) > MOST_NAME:
            raise ValueError(f"{name} has texts of up to {longest:,} characters, more than the {MOST_NAME} of a label")
        return "classification", tuple(labels)
    values = np.unique(numbers)
    if task == "regression" or (task is None and not are_classes(column, values)):
        return "regression", ()
    return "classification", tuple(map(_plain, values.tolist()))


def as_labels(column: Values, labels: Sequence[Label], form: Form = PLAIN) -> list[Label]:
    """The values of a target column, written as the labels are."""
    numbers = None if any(isinstance(label, str) for label in labels) else as_numbers(column, form)
    if numbers is not None:
        return [_plain(number) for number in numbers.tolist()]
    texts = as_texts(column)
    if {*labels} <= {*_TRUTHS} and are_truths(column):
        return list(map(str.capitalize, texts))
    return list(texts)


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def check_complete(column: Values, name: str) -> None:
    """Raises ValueError where a value is missing."""
    rows = [row for row, text in enumerate(as_texts(column)) if not text]
    if rows:
        raise ValueError(f"{name} is missing in row {rows[0]}: remove the row")


def numbers_in(column: Values, name: str, form: Form = PLAIN) -> np.ndarray:
    """The numbers of a column; raises ValueError where a value is none."""
    found = as_numbers(column, form)
    if found is None:
        first = odd_texts(column, form)[0]
        raise ValueError(f"{name} has {quoted(first)} in row {as_texts(column).index(first)}, but must hold numbers")
    return found


def refuse_one_hot(columns: Mapping[str, Values], target: str, name: str) -> None:
    """Raises ValueError where the target is one of several columns that are the labels of one class each."""
    begin = re.sub(r"(?<=[^\W_])\d+$|[_=.: -][^_=.: -]*$", "", target)
    alike = [column for column in columns if column != target and column.startswith(begin)] if begin != target else []
    held = [columns[column] for column in (*alike, target)]
    flags = [as_numbers(column) for column in held] if len(held) > 2 else []
    flags = [column for column in flags if column is not None and np.isin(column, (0, 1)).all()]
    if len(flags) == len(held) > 2 and (np.sum(flags, axis=0) == 1).all():
        raise ValueError(
            f"{name}'s target {target!r} and {some(alike)} are one-hot labels of {len(held)} classes: give one column "
            "with the name of each row's class in their place, such as frame[[...]].idxmax(axis=1) of pandas"
        )
