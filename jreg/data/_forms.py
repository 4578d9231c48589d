"""How texts write numbers, truth values and dates, and what only looks like a number."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jreg._base.names import cut

# A column is an array of real numbers, or a list of texts without blanks around them, "" where one is missing.
Values = np.ndarray | list[str]

# What may stand for a missing value, but also for itself: an error where all others are numbers.
_DOUBTFUL = ("-", "--", "\u2013", "\u2014", ".", "..", "...", "*")
# At most as many numbers are class labels; as many beside fewer texts are a column of numbers with slips.
MOST_NUMBERED = 10
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR)"
_MINUS = "\u2212"
_SIGN = f"[-+{_MINUS}]"
_GROUPS = ",.'\u2019 \u00a0\u202f"
_GROUP = f"[{_GROUPS}]"
# Digits, or groups of three of them, and decimals, between signs of currency and percent.
_DISGUISED = re.compile(
    rf"\(?{_SIGN}?\s*{_CURRENCY}?\s*{_SIGN}?(?:\d+|\d{{1,3}}(?:{_GROUP}\d{{3}})+)(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
    rf"\s*(?:%|{_CURRENCY})?\)?"
)
_TIME = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|[-+]\d{2}:?\d{2}))?)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}([-/.])\d{{1,2}}\1(?:\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[- .]+{_MONTH}[- ,]+\d{{2,4}}|{_MONTH}[- ]\d{{1,2}},? \d{{4}}){_TIME}",
    re.IGNORECASE,
)
_TRUTH = {"true": "1", "false": "0"}
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


class Form(NamedTuple):
    """How the texts of a table write numbers.

    Attributes:
      decimal: the sign before the decimals, ``"."`` or ``","``.
      thousands: the sign between groups of three digits, or None.
    """

    decimal: str = "."
    thousands: str | None = None

    def check(self) -> None:
        """Raises ValueError where a number couldn't be read in one way alone."""
        if self.decimal not in (".", ","):
            raise ValueError(f"decimal is {self.decimal!r}, but must be '.' or ','")
        groups = self.thousands
        if groups is not None and (groups not in tuple(_GROUPS) or groups == self.decimal):
            raise ValueError(
                f"thousands is {groups!r}, but must be one of ',', '.', \"'\", '\u2019', a blank, or a blank that "
                f"doesn't break, and no decimal sign ({self.decimal!r}); None for no such sign"
            )

    def plain(self, text: str) -> str | None:
        """The text as Python reads numbers; None where it is none in this form.

        A minus may be the sign that typesetters take.

        >>> Form(",", ".").plain("-1.234,5"), Form(",", ".").plain("1.5"), Form().plain("1_000")
        ('-1234.5', None, None)
        """
        text = text.replace(_MINUS, "-")
        if self != PLAIN:
            if _pattern(self.decimal, self.thousands).fullmatch(text):
                # The decimal sign last, because the other form's is the sign between groups.
                return text.replace(self.thousands or "\0", "").replace(self.decimal, ".")
            if any(sign in text for sign in ".,"):
                return None
        try:
            float(text)
        except ValueError:
            return None
        # Python reads 1_000 as a number, but in a table it is a name.
        return None if "_" in text else text


@functools.cache
def _pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    point, groups = re.escape(decimal), re.escape(thousands or "")
    # No number with groups begins with 0, but 0,500 with decimals does.
    whole = rf"[1-9]\d{{0,2}}(?:{groups}\d{{3}})+|\d+" if groups else r"\d+"
    return re.compile(rf"[-+]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?")


PLAIN = Form()
# In the order in which they are tried: groups of three digits are rarely all decimals.
_FORMS = (
    *(Form(thousands=sign) for sign in (",", "'", "\u2019", " ", "\u00a0", "\u202f")),
    Form(","),
    *(Form(",", sign) for sign in (".", "'", "\u2019", " ", "\u00a0", "\u202f")),
)


def as_numbers(column: Values, form: Form = PLAIN) -> np.ndarray | None:
    """The column in float64 with NaN where a value is missing, True as 1; None where a text is no number.

    >>> as_numbers(["1.5", "", "2"]).tolist(), as_numbers(["TRUE", "false"]).tolist(), as_numbers(["1", "a"])
    ([1.5, nan, 2.0], [1.0, 0.0], None)
    """
    if not isinstance(column, list):
        return column.astype(np.float64)
    found = np.full(len(column), np.nan)
    texts = [text for text in column if text]
    if are_truths(column):
        texts = [_TRUTH[text.lower()] for text in texts]
    elif form != PLAIN or any(_MINUS in text for text in texts):
        plain = [form.plain(text) for text in texts]
        texts = [text for text in plain if text is not None]
        if len(texts) < len(plain):
            return None
    elif any("_" in text for text in texts):
        return None
    try:
        found[[text != "" for text in column]] = np.array(texts, np.float64)
    except ValueError:
        return None
    return found


def are_truths(column: Values) -> bool:
    """Whether all texts are ``true`` or ``false``, in whatever case."""
    if not isinstance(column, list) or next(filter(None, column), "").lower() not in _TRUTH:
        return False
    return all(text.lower() in _TRUTH for text in {*column} - {""})


def as_groups(column: Values) -> np.ndarray | list[str]:
    """The values of a column of groups: numbers only where nothing else could have been meant, such as no 007."""
    if not isinstance(column, list):
        return column
    if not all(_PLAIN_NUMBER.fullmatch(text) for text in {*column}):
        return column
    numbers = np.array(column, np.float64)
    return numbers.astype(np.int64) if np.array_equal(numbers, np.round(numbers)) else numbers


def odd_texts(column: Values, form: Form = PLAIN) -> list[str]:
    """The different texts of a column that are no numbers, the first ones first."""
    if not isinstance(column, list):
        return []
    return [text for text in dict.fromkeys(column) if text and form.plain(text) is None]


def seems_numeric(column: Values, form: Form = PLAIN) -> str | None:
    """What is wrong with a column of texts that are meant as numbers; None where they aren't.

    >>> seems_numeric(["950", "1,000", ""]), seems_numeric(["0", "1", "2", "3+"])
    ("has '1,000' in row 1, no plain number", None)
    """
    odd = odd_texts(column, form)
    if not odd or not isinstance(column, list):
        return None
    place = f"has {cut(repr(odd[0]), 100)} in row {column.index(odd[0])}"
    # A pattern takes its time for a long text, which is no number.
    if all(len(text) < 100 and _DISGUISED.fullmatch(text) for text in odd):
        return f"{place}, no plain number"
    numbers = len({*column} - {*odd, ""})
    if numbers > 1 and all(text in _DOUBTFUL for text in odd):
        return f"{place} among {numbers} different numbers, but a missing value is an empty field"
    if numbers >= MOST_NUMBERED and numbers > len(odd):
        return f"{place} among {numbers} different numbers"
    return None


def first_date(column: Values) -> str | None:
    """The first text of a column that holds dates alone.

    >>> first_date(["2020-01-31", "", "2020-02-01 12:30"]), first_date(["1.5.2020", "soon"]), first_date(["3.5", "4.5"])
    ('2020-01-31', None, None)
    """
    if not isinstance(column, list):
        return None
    texts = [text for text in dict.fromkeys(column) if text]
    dates = all(len(text) < 100 and _DATE.fullmatch(text) for text in texts)
    return texts[0] if texts and dates else None


def form_of(columns: Iterable[Values]) -> Form | None:
    """The form in which all of these columns are numbers, where there is one and they aren't as they are.

    >>> form_of([["1,000", "950"]]), form_of([["0,5", "1.000"]]), form_of([["3%"]])
    (Form(decimal='.', thousands=','), Form(decimal=',', thousands='.'), None)
    """
    texts = {text for column in columns if isinstance(column, list) for text in column} - {""}
    if all(PLAIN.plain(text) is not None for text in texts):
        return None
    return next((form for form in _FORMS if all(form.plain(text) is not None for text in texts)), None)
