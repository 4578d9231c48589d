"""Columns of tables: texts, numbers, and what only looks like either."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jreg._base.names import cut, listed
from jreg.data.arrays import check_digits, is_missing, unmasked

# As many columns as a person repairs one by one.
_MOST_SHOWN = 50
WRITE = (
    "write numbers with a point before the decimals, without separators of thousands and signs of percent or currency"
)
# What stands for a missing value in CSV files of all kinds.
_MISSING = ("", "?", "na", "n/a", "nan", "null", "none", "nat", "<na>", "#n/a", "#na")
# What may stand for one, but also for itself: an error where all others are numbers.
_DOUBTFUL = ("-", "--", "\u2013", "\u2014", ".", "..", "...", "*")
# A column with more different texts than this is a name or a date, and no category.
_MOST_CATEGORIES = 256
# At most as many numbers are class labels; as many beside fewer texts are a column of numbers with slips.
_MOST_NUMBERED = 10
# Longer texts are no names of columns, categories or labels; an array has the longest one's room for each.
MOST_NAME = 1000
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
    if isinstance(values, list) and all(type(value) is str for value in values):
        # An array of texts has the longest one's room for each.
        return [value.strip() for value in values]
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
    place = f"has {quoted(odd[0])} in row {column.index(odd[0])}"
    # A pattern takes its time for a long text, which is no number.
    if all(len(text) < 100 and _DISGUISED.fullmatch(text) for text in odd):
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


def quoted(value: Any) -> str:
    """A name or text for a sentence."""
    return cut(repr(value), 100)


def some(names: Iterable[Any], most: int = 8) -> str:
    """Names for a sentence, the first ones where they are many."""
    return listed([quoted(name) for name in names], most)


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
    if (longest := max(map(len, found), default=0)) > MOST_NAME:
        return f"has different texts of up to {longest:,} characters, more than the {MOST_NAME} of a category"
    if len(found) > _MOST_CATEGORIES:
        return f"has {len(found)} different texts, more than the {_MOST_CATEGORIES} that become columns of 0 and 1"
    return tuple(found)


def alike(name: str, columns: Iterable[str]) -> str:
    """What to say of a name that no column has: which one was meant, or which there are."""
    by_case = {column.lower(): column for column in columns}
    # Comparing takes its time, and nobody means one of thousands.
    near = [name.lower()] if name.lower() in by_case else None
    near = near or difflib.get_close_matches(name.lower()[:MOST_NAME], itertools.islice(by_case, 1000), n=1)
    return f"did you mean {quoted(by_case[near[0]])}?" if near else f"it has {some(tuple(columns))}"


def refuse_columns(table: str, bad: Mapping[str, str]) -> None:
    """Raises ValueError with all columns that can't be features, and what to do about them."""
    found = "; ".join(f"column {name!r} {reason}" for name, reason in itertools.islice(bad.items(), _MOST_SHOWN))
    if len(bad) > _MOST_SHOWN:
        raise ValueError(
            f"{table} has {len(bad):,} columns that can't be features, such as {cut(found)}: {WRITE}, or leave "
            "columns out by drop=[...] (--drop)"
        )
    numeric = [name for name, reason in bad.items() if not re.search("different (texts|values)|no name", reason)]
    mend = f"{WRITE}, read them as categories by categories={numeric}, or " if numeric else ""
    drop = f"leave them out by drop={list(bad)} (--drop {shlex.join(bad)})"
    raise ValueError(f"{table}'s {found}: {mend}{drop}")
