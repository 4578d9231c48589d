"""Columns of tables: texts, numbers, and what only looks like either."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from jreg._base.names import listed
from jreg.data.arrays import check_digits, is_missing, unmasked

# What stands for a missing value in CSV files of all kinds.
_MISSING = ("", "?", "na", "n/a", "nan", "null", "none", "nat", "<na>", "#n/a", "#na")
# What may stand for one, but also for itself: an error where all others are numbers.
_DOUBTFUL = ("-", "--", "\u2013", "\u2014", ".", "..", "...", "*")
# A column with more different texts than this is a name or a date, and no category.
_MOST_CATEGORIES = 256
# At most as many numbers are class labels; as many beside fewer texts are a column of numbers with slips.
_MOST_NUMBERED = 10
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR)"
_SIGN = "[-+\u2212]"
_GROUP = "[,.'\u2019 \u00a0\u202f]"
# Digits, or groups of three of them, and decimals, between signs of currency and percent.
_DISGUISED = re.compile(
    rf"\(?{_SIGN}?\s*{_CURRENCY}?\s*{_SIGN}?(?:\d+|\d{{1,3}}(?:{_GROUP}\d{{3}})+)(?:[.,]\d+)?\s*(?:%|{_CURRENCY})?\)?"
)

# A column is an array of real numbers, or a list of texts without blanks around them, "" where one is missing.
Values = np.ndarray | list[str]


def as_column(values: Any, name: str) -> Values:
    """A column of a table in memory.

    Raises:
      ValueError: it has more than one axis.
    """
    array = unmasked(values)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}, but a table's column has one value per row: arrays become data by "
            "jreg.Dataset(x, y)"
        )
    if array.dtype.kind == "S":
        array = array.astype("U")
    if array.dtype.kind in "fiub":
        return array
    found = array.tolist()
    odd = next((value for value in found if isinstance(value, complex | list | tuple | dict | set | np.ndarray)), None)
    if odd is not None:
        raise ValueError(f"{name} has a {type(odd).__name__}, but must have numbers or texts")
    return [_text(value) for value in found]


def _text(value: Any) -> str:
    if is_missing(value):
        return ""
    # A column of whole numbers with holes is one of floating numbers.
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def known(text: str) -> str:
    """The text without blanks around it, or "" where it stands for a missing value."""
    text = text.strip()
    return "" if text.lower() in _MISSING else text


def as_texts(column: Values) -> list[str]:
    """The column as texts, also where it is one of numbers."""
    return column if isinstance(column, list) else [_text(value) for value in column.tolist()]


def as_numbers(column: Values) -> np.ndarray | None:
    """The column in float64 with NaN where a value is missing; None where a text is no number."""
    if not isinstance(column, list):
        return column.astype(np.float64)
    found = np.full(len(column), np.nan)
    # Python reads 1_000 as a number, but in a table it is a name.
    if any("_" in text for text in column):
        return None
    try:
        found[[text != "" for text in column]] = np.array([text for text in column if text], np.float64)
    except ValueError:
        return None
    return found


def odd_texts(column: Values) -> list[str]:
    """The different texts of a column that are no numbers, the first ones first."""
    return [text for text in dict.fromkeys(column) if not _is_number(text)] if isinstance(column, list) else []


def _is_number(text: str) -> bool:
    """Whether `as_numbers` takes the text."""
    try:
        float(text or 0)
    except ValueError:
        return False
    return "_" not in text


def seems_numeric(column: Values) -> str | None:
    """What is wrong with a column of texts that are meant as numbers; None where they aren't.

    >>> seems_numeric(["950", "1,000", ""]), seems_numeric(["0", "1", "2", "3+"])
    ("has '1,000' in row 1, no plain number", None)
    """
    odd = odd_texts(column)
    if not odd or not isinstance(column, list):
        return None
    place = f"has {odd[0]!r} in row {column.index(odd[0])}"
    if all(_DISGUISED.fullmatch(text) for text in odd):
        return f"{place}, no plain number"
    numbers = len({*column} - {*odd, ""})
    if numbers > 1 and all(text in _DOUBTFUL for text in odd):
        return f"{place} among {numbers} different numbers, but a missing value is an empty field"
    if numbers >= _MOST_NUMBERED and numbers > len(odd):
        return f"{place} among {numbers} different numbers"
    return None


def are_classes(column: Values, values: np.ndarray) -> bool:
    """Whether the numbers of a target column are class labels and not numbers to predict.

    They are where there are exactly two different ones, or at most ten whole ones without a gap, and each occurs twice
    on average; and where they are written as integers and are 0 to K - 1, and each occurs twice on average or K is at
    most ten.

    Args:
      column: the target.
      values: its different numbers in ascending order.

    >>> [are_classes(column, np.unique(column)) for column in (np.arange(42) % 3 + 1, np.arange(42) % 2 - 0.5)]
    [True, True]
    >>> [are_classes(column, np.unique(column)) for column in (np.arange(42) % 3 * 2, np.arange(42) % 12 + 1)]
    [False, False]
    """
    gapless = float(values[0]).is_integer() and np.array_equal(values, values[0] + np.arange(len(values)))
    integers = all(map(str.isdecimal, column)) if isinstance(column, list) else column.dtype.kind in "iub"
    few, repeated = len(values) <= _MOST_NUMBERED, len(values) <= len(column) / 2
    if integers and gapless and values[0] == 0:
        return few or repeated
    return len(values) > 1 and repeated and (len(values) == 2 or (gapless and few))


def some(names: Iterable[Any], most: int = 8) -> str:
    """Names for a sentence, the first ones where they are many."""
    return listed([repr(name) for name in names], most)


def categories_of(column: Values, name: str, chosen: bool) -> tuple[str, ...] | str | None:
    """The categories of a column, None where it has numbers, or what is wrong with it."""
    if not chosen:
        if not name or name.startswith("Unnamed: "):
            return "has no name, as row numbers have that pandas writes"
        if (numbers := as_numbers(column)) is not None:
            try:
                check_digits(numbers, "it", 0.01)
            except ValueError as error:
                # As in a data set of arrays, which tables reach in float32.
                reason, advice = str(error).removeprefix("it ").split(": ")
                return f"{reason} ({advice})"
            return None
        if slip := seems_numeric(column):
            return slip
    found = sorted({*as_texts(column)} - {""})
    if len(found) > _MOST_CATEGORIES:
        return f"has {len(found)} different texts, more than the {_MOST_CATEGORIES} that become columns of 0 and 1"
    return tuple(found)


def alike(name: str, columns: Iterable[str]) -> str:
    """What to say of a name that no column has: which one was meant, or which there are."""
    by_case = {column.lower(): column for column in columns}
    near = difflib.get_close_matches(name.lower(), by_case, n=1)
    return f"did you mean {by_case[near[0]]!r}?" if near else f"it has {some(tuple(columns))}"
