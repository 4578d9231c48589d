"""Columns of tables: which become features, and what is said of those that don't."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jreg._base.names import cut, listed
from jreg.data._forms import MOST_NUMBERED, PLAIN, Form, Values, as_numbers, first_date, seems_numeric
from jreg.data.arrays import check_digits, is_missing, unmasked
from jreg.data.offsets import of_column

# As many columns as a person repairs one by one.
_MOST_SHOWN = 50
WRITE = (
    "write numbers with a point before the decimals, without separators of thousands and signs of percent or currency"
)
# What stands for a missing value in tables of all kinds.
_MISSING = ("", "?", "na", "n/a", "nan", "null", "none", "nat", "<na>", "#n/a", "#na")
# A column with more different texts than this is a name, and no category.
MOST_CATEGORIES = 50
# Longer texts are no names of columns, categories or labels; an array has the longest one's room for each.
MOST_NAME = 1000
# Fewer rows may all differ by chance.
_FEWEST_ROWS = 10
_WORDS = "id|ids|idx|index|key|uuid|guid|row|no|nr|number"
_ID_NAME = re.compile(rf"(?i:(?:.*[^a-z])?(?:{_WORDS}))|.*[a-z](?:Id|ID|Idx|Index|Key|No|Nr|Number)")


class Refused(NamedTuple):
    """Why a column can't become features.

    Attributes:
      reason: what it has.
      kind: ``"number"`` (texts meant as numbers), ``"date"``, ``"id"``, ``"numbered"`` (an id of numbers), ``"many"``
        (categories) or ``""``, for which there are different remedies.
      categories: how many it has.
    """

    reason: str
    kind: str = ""
    categories: int = 0


EMPTY = Refused("has no value in any row")


def is_empty(column: Values) -> bool:
    """Whether every value is missing."""
    return not any(column) if isinstance(column, list) else bool(np.isnan(column).all())


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
    if array.dtype.kind in "fiu":
        return array
    if array.dtype.kind == "m":
        raise ValueError(f"{name} has durations, but must have numbers or texts: give seconds or days as numbers")
    # As texts, because a list of times is one of numbers.
    found = (np.datetime_as_string(array) if array.dtype.kind == "M" else array).tolist()
    odd = next(
        (value for value in found if isinstance(value, complex | bytes | list | tuple | dict | set | np.ndarray)), None
    )
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
    few, repeated = len(values) <= MOST_NUMBERED, len(values) <= len(column) / 2
    if integers and gapless and values[0] == 0:
        return few or repeated
    return len(values) > 1 and repeated and (len(values) == 2 or (gapless and few))


def quoted(value: Any) -> str:
    """A name or text for a sentence."""
    return cut(repr(value), 100)


def some(names: Iterable[Any], most: int = 8) -> str:
    """Names for a sentence, the first ones where they are many."""
    return listed([quoted(name) for name in names], most)


def categories_of(
    column: Values, name: str, chosen: bool, most: int = MOST_CATEGORIES, form: Form = PLAIN
) -> tuple[str, ...] | float | Refused:
    """The categories of a column, or what is subtracted where it has numbers, or what is wrong with it."""
    numbers = as_numbers(column, form)
    if not chosen:
        if not name or name.startswith("Unnamed: "):
            return Refused("has no name, as row numbers have that pandas writes")
        if numbers is not None:
            return _of_numbers(numbers, name)
        if slip := seems_numeric(column, form):
            return Refused(slip, "number", len({*column} - {""}))
        if date := first_date(column):
            return Refused(f"has dates such as {quoted(date)}", "date", len({*column} - {""}))
    texts = as_texts(column)
    if numbers is not None:
        # Whole numbers with holes are floating ones in a data frame, and in a file that it has written.
        texts = [whole(text) for text in texts]
    found = sorted({*texts} - {""})
    if (longest := max(map(len, found), default=0)) > MOST_NAME:
        return Refused(f"has different texts of up to {longest:,} characters, more than the {MOST_NAME} of a category")
    if not chosen and len(found) == len(texts) - texts.count("") >= _FEWEST_ROWS:
        return Refused(
            f"has {len(found):,} different texts, another one in every row, as an id or a name has", "id", len(found)
        )
    if len(found) > most:
        what = f"has {len(found):,} different texts, more than the {most:,} that become features of 0 and 1"
        return Refused(what, "many", len(found))
    return tuple(found)


def _of_numbers(numbers: np.ndarray, name: str) -> float | Refused:
    known = numbers[np.isfinite(numbers)]
    rows = len(known) == len(numbers) >= _FEWEST_ROWS and np.array_equal(known, np.round(known))
    if rows and _ID_NAME.fullmatch(name) and len(np.unique(known)) == len(known):
        what = f"has another whole number in every row, from {known.min():.15g} to {known.max():.15g}, as an id has"
        return Refused(what, "numbered")
    offset = of_column(numbers)
    try:
        check_digits(numbers - offset if offset else numbers, "it", 0.01)
    except ValueError as error:
        # As in a data set of arrays, which tables reach in float32.
        reason, advice = str(error).removeprefix("it ").split(": ")
        return Refused(f"{reason} ({advice})")
    return offset


def whole(text: str) -> str:
    """A whole number without decimals of zeros; any other text as it is.

    >>> whole("12.0"), whole("12.5"), whole("v1.0")
    ('12', '12.5', 'v1.0')
    """
    return text.partition(".")[0] if re.fullmatch(r"-?\d+\.0+", text) else text


def alike(name: str, columns: Iterable[str]) -> str:
    """What to say of a name that no column has: which one was meant, or which there are."""
    by_case = {column.lower(): column for column in columns}
    # Comparing takes its time, and nobody means one of thousands.
    near = [name.lower()] if name.lower() in by_case else None
    near = near or difflib.get_close_matches(name.lower()[:MOST_NAME], itertools.islice(by_case, 1000), n=1)
    return f"did you mean {quoted(by_case[near[0]])}?" if near else f"it has {some(tuple(columns))}"


def refuse_columns(table: str, bad: Mapping[str, Refused], form: Form | None, most: int) -> None:
    """Raises ValueError with all columns that can't be features, and what to do about them.

    Args:
      table: what sentences call it.
      bad: the columns.
      form: that in which those of kind ``"number"`` are numbers, if there is one.
      most: categories that a column may have.
    """
    found = "; ".join(f"column {name!r} {why.reason}" for name, why in itertools.islice(bad.items(), _MOST_SHOWN))
    kinds = {why.kind for why in bad.values()}
    # Those that can be categories as they are.
    few = [name for name, why in bad.items() if why.kind in ("number", "date", "id") and why.categories <= most]
    needed = max((why.categories for why in bad.values() if why.kind == "many"), default=0)
    all_of, few_of = ("it" if len(names) == 1 else "them" for names in (bad, few))
    mend = []
    if "number" in kinds:
        mend.append(f"{options_of(form)} reads the numbers" if form else WRITE)
    if "date" in kinds:
        mend.append("write dates as numbers, such as days since the first one, or year and month")
    if "numbered" in kinds:
        mend.append("rename what measures something and is no id")
    if few and len(bad) <= _MOST_SHOWN:
        mend.append(f"read {few_of} as categories by categorical={few} (--categorical {shlex.join(few)})")
    if needed:
        mend.append(f"take as many features by most_categories={needed} (--most-categories {needed})")
    if len(bad) > _MOST_SHOWN:
        words = ", or ".join([*mend, "leave columns out by drop=[...] (--drop)"])
        raise ValueError(f"{table} has {len(bad):,} columns that can't be features, such as {cut(found)}: {words}")
    mend.append(f"leave {all_of} out by drop={list(bad)} (--drop {shlex.join(bad)})")
    raise ValueError(f"{table}'s {found}: {', or '.join(mend)}")


def options_of(form: Form) -> str:
    """A form as arguments and as options of the command line."""
    given = {name: value for name, value in form._asdict().items() if value != getattr(PLAIN, name)}
    python = ", ".join(f"{name}={value!r}" for name, value in given.items())
    shell = " ".join(f"--{name} {shlex.quote(value)}" for name, value in given.items())
    return f"{python} ({shell})"
