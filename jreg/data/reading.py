"""Tables from where they are: a CSV file, a mapping of columns, or a data frame."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from jreg._base.names import cut
from jreg.data._columns import MOST_NAME, Values, as_column, as_numbers, known
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
    """

    name: str
    columns: dict[str, Values]


def is_table(source: Any) -> bool:
    """Whether this has columns with names: a path, a mapping, or a data frame such as those of pandas and polars."""
    return isinstance(source, str | Path | Mapping | Table) or is_frame(source)


def is_frame(source: Any) -> bool:
    """Whether this is a data frame, of whatever library."""
    return hasattr(source, "columns") and hasattr(source, "__getitem__") and not isinstance(source, tuple)


def as_table(source: Any) -> Table:
    """A table of any kind, read.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no readable table with rows, two columns have one name, or their lengths differ.
      TypeError: it is no table.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | Path):
        return Table(str(source), _read(Path(source)))
    if not is_table(source):
        raise TypeError(
            f"a {type(source).__name__} is no table: give the path of a .csv file, a data frame, or a mapping of "
            "columns by name"
        )
    if not hasattr(source, "__len__"):
        raise TypeError(
            f"a {type(source).__name__} has no rows in memory: give what its collect() or toPandas() returns"
        )
    name = f"the {'table' if isinstance(source, Mapping) else type(source).__name__}"
    keys = list(source if isinstance(source, Mapping) else source.columns)
    _check_names([str(key) for key in keys], name)
    columns = {str(key): as_column(source[key], f"{name}'s {str(key)!r}") for key in keys}
    lengths = sorted({len(column) for column in columns.values()})
    if len(lengths) > 1:
        raise ValueError(f"{name} has columns of {' and '.join(map(str, lengths))} rows, but needs one length")
    if lengths in ([], [0]):
        raise ValueError(f"{name} has no rows")
    return Table(name, columns)


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


def _rows(path: Path, file: TextIO, most: int) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows below them, which may have `most` fields."""
    # Blank lines are no rows, before the names neither.
    first = next((line for line in _lines(file) if line.strip()), "")
    file.seek(0)
    # The names of the columns show what separates them; a name with a comma in it is rarer than a column.
    separator = max(_SEPARATORS, key=lambda sign: _fields(first, sign))
    lines = csv.reader(_lines(file), strict=True, delimiter=separator)
    names = [name.strip() for name in next((row for row in lines if "".join(row).strip()), [])]
    rows = []
    for row in lines:
        if not row:
            continue
        if len(row) != len(names):
            raise ValueError(
                f"{path} has {len(row)} fields in line {lines.line_num}, but its first line names {len(names)} "
                f"columns, separated by {separator!r}: quote a field that has {separator!r} in it, and remove lines "
                "above the columns' names"
            )
        rows.append(row)
        if len(rows) * len(names) > most:
            raise ValueError(
                f"{path} has more than {most:,} fields, for which there is no memory: take fewer rows or columns, or "
                "write it with numpy.savez"
            )
    return names, rows


def _read(path: Path) -> dict[str, Values]:
    with opened(path) as raw, io.TextIOWrapper(raw, newline="", encoding="utf-8-sig") as file:
        size = os.fstat(raw.fileno()).st_size
        if size > _MOST_BYTES:
            raise ValueError(
                f"{path} is {size / 2**30:.1f} GiB, but CSV is read up to 1 GiB: write it with numpy.savez"
            )
        # Python's texts take many times the memory of their characters.
        most = max(0, free_bytes() - size) // _FIELD_BYTES
        try:
            names, rows = _rows(path, file, most)
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
    return {name: [known(text) for text in column] for name, column in zip(names, zip(*rows, strict=True), strict=True)}
