"""Tables from where they are: a CSV file, a mapping of columns, or a data frame."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from jreg._base.names import cut
from jreg.data._columns import MOST_NAME, as_column, known
from jreg.data._forms import Values, as_numbers
from jreg.data._frames import frame_columns, held_values, is_frame
from jreg.data.limits import free_bytes, opened

_MOST_BYTES = 2**30
# A million columns have lines of a few million characters.
_MOST_LINE = 2**26
# What a field takes as a text in a list of a row and in one of a column.
_FIELD_BYTES = 100
# Between columns, in order of preference.
_SEPARATORS = ",;\t|"


class Table(NamedTuple):
    """A table that has been read.

    Attributes:
      name: what sentences call it.
      columns: by name.
      categorical: those that a data frame says are categories.
      delimiter: what separates them in a file where it is no comma.
    """

    name: str
    columns: dict[str, Values]
    categorical: frozenset[str] = frozenset()
    delimiter: str | None = None


def is_table(source: Any) -> bool:
    """Whether this has columns with names: a path, a mapping, or a data frame such as those of pandas and polars."""
    return isinstance(source, str | Path | Mapping | Table) or is_frame(source)


def as_table(source: Any, delimiter: str | None = None) -> Table:
    """A table of any kind, read.

    Args:
      source: the path of a CSV file, a data frame, or a mapping of columns by name.
      delimiter: what separates the columns of a file; default: what splits its first line into the most names.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no readable table with rows, two columns have one name, or their lengths differ.
      TypeError: it is no table.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | Path):
        columns, separator = _read(Path(source), delimiter)
        return Table(str(source), columns, delimiter=None if separator == "," else separator)
    if not is_table(source):
        raise TypeError(
            f"a {type(source).__name__} is no table: give the path of a .csv file, a data frame of pandas, polars or "
            "pyarrow, or a mapping of columns by name"
        )
    name = f"the {'table' if isinstance(source, Mapping) else type(source).__name__}"
    categorical: frozenset[str] = frozenset()
    if isinstance(source, Mapping):
        _check_names([str(key) for key in source], name)
        held = {str(key): held_values(values, f"{name}'s {str(key)!r}") for key, values in source.items()}
    else:
        held, categorical = frame_columns(source, name)
    columns = {key: _known(as_column(values, f"{name}'s {key!r}")) for key, values in held.items()}
    lengths = sorted({len(column) for column in columns.values()})
    if len(lengths) > 1:
        raise ValueError(f"{name} has columns of {' and '.join(map(str, lengths))} rows, but needs one length")
    if lengths in ([], [0]):
        raise ValueError(f"{name} has no rows")
    return Table(name, columns, categorical)


def check_delimiter(delimiter: str | None) -> None:
    """Raises ValueError unless it is one sign that no name or number has."""
    if delimiter is not None and (
        not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0'
    ):
        raise ValueError(f"delimiter is {delimiter!r}, but must be one sign, such as ';', '\\t' or '|'")


def _known(column: Values) -> Values:
    # A reader of another library may have left a missing value as the text that stands for it.
    return [known(text) for text in column] if isinstance(column, list) else column


def _check_names(names: list[str], table: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{table} has two columns {twice[0]!r}: give them different names")


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_MOST_LINE):
        if len(line) == _MOST_LINE:
            raise csv.Error(f"a line of more than {_MOST_LINE:,} characters")
        if "\0" in line:
            raise csv.Error("zero bytes, as UTF-16 has")
        yield line


def _fields(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:  # one field that is too long, where another sign separates many
        return 0


def _rows(path: Path, file: TextIO, most: int, delimiter: str | None) -> tuple[list[str], list[list[str]], str]:
    """The names of the columns, the rows below them, which may have `most` fields, and what separates them."""
    # Blank lines are no rows, before the names neither.
    before = _lines(file)
    first = next((line for line in before if line.strip()), "")
    said = re.fullmatch(r'"?sep=([^\w"])"?', first.strip("\r\n"))
    if said:
        # A line of Excel's, which says what separates the columns.
        delimiter, first = said[1], next(before, "")
    file.seek(0)
    # The names of the columns show what separates them; a name with a comma in it is rarer than a column.
    separator = delimiter if delimiter in [*first] else max(_SEPARATORS, key=lambda sign: _fields(first, sign))
    lines = csv.reader(_lines(file), strict=True, delimiter=separator)
    filled = (row for row in lines if "".join(row).strip())
    if said:
        next(filled)
    names = [name.strip() for name in next(filled, [])]
    rows = []
    for row in lines:
        if not row:
            continue
        if len(row) != len(names):
            other = max((sign for sign in _SEPARATORS if sign != separator), key="".join(row).count)
            raise ValueError(
                f"{path} has {len(row)} fields in line {lines.line_num}, but its first line names {len(names)} "
                f"columns, separated by {separator!r}: quote a field that has {separator!r} in it, remove lines above "
                f"the columns' names, or say what separates them by delimiter={other!r} (--delimiter "
                f"{shlex.quote(other)})"
            )
        rows.append(row)
        if len(rows) * len(names) > most:
            raise ValueError(
                f"{path} has more than {most:,} fields, for which there is no memory: take fewer rows or columns, or "
                "write it with numpy.savez"
            )
    return names, rows, separator


def _read(path: Path, delimiter: str | None) -> tuple[dict[str, Values], str]:
    with opened(path) as raw, io.TextIOWrapper(raw, newline="", encoding="utf-8-sig") as file:
        size = os.fstat(raw.fileno()).st_size
        if size > _MOST_BYTES:
            raise ValueError(
                f"{path} is {size / 2**30:.1f} GiB, but CSV is read up to 1 GiB: write it with numpy.savez"
            )
        # Python's texts take many times the memory of their characters.
        most = max(0, free_bytes() - size) // _FIELD_BYTES
        try:
            names, rows, separator = _rows(path, file, most, delimiter)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no readable CSV file in UTF-8 ({error}): save it as CSV in UTF-8") from None
    if not rows:
        raise ValueError(f"{path} has no rows below a line of column names")
    long = next((name for name in names if len(name) > MOST_NAME), None)
    if long is not None:
        raise ValueError(f"{path} has a column name of {len(long):,} characters, {cut(repr(long))}: shorten it")
    _check_names(names, str(path))
    if as_numbers([known(name) for name in names]) is not None:
        raise ValueError(f"{path} begins with numbers, but its first line must name the columns")
    pairs = zip(names, zip(*rows, strict=True), strict=True)
    return {name: [known(text) for text in column] for name, column in pairs}, separator
