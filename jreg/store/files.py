"""Results written into a folder, each file whole or not at all."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jreg._base.files import replacing, write_text
from jreg.results import Results, table
from jreg.results.summary import summary
from jreg.results.values import plain

# What a spreadsheet's formula begins with, in the wide forms of Chinese and Japanese, too.
_SIGNS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")


def export(folder: Path, results: Results) -> None:
    """Writes results.json, settings.csv, trainings.csv and curves.csv into a folder, made from the results.

    Raises:
      OSError: the folder can't be written.
    """
    write_results(folder, results, {})
    settings = map(table.flat, table.ranked(results))
    first = next(settings)
    values = ([_inert(row[name]) for name in first] for row in itertools.chain([first], settings))
    _write_csv(folder / "settings.csv", first, values)
    _write_csv(folder / "trainings.csv", table.names_of_trainings(results), table.trainings(results, _inert))
    _write_csv(folder / "curves.csv", table.names_of_curves(results), table.curves(results))


def tables(folder: Path) -> list[Path]:
    """The files that `export` writes."""
    return [folder / name for name in ("results.json", "settings.csv", "trainings.csv", "curves.csv")]


def write_results(folder: Path, results: Results, more: Mapping[str, Any]) -> None:
    """Writes results.json alone, with `more` beside the results, such as the test result of the final network."""
    write_text(folder / "results.json", _text({**summary(results), **plain(dict(more))}))


def to_text(found: Mapping[str, Any]) -> str:
    """A JSON object as text, with a line for each of its values, and for each item of a list of objects."""
    return _text(plain(found))


def _text(found: Mapping[str, Any]) -> str:
    return f"{{\n{_joined(f'{json.dumps(n)}: {_value(v)}' for n, v in found.items())}\n}}\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"[\n{_joined(f' {json.dumps(item, allow_nan=False)}' for item in value)}\n ]"
    return json.dumps(value, allow_nan=False)


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(f" {line}" for line in lines)


def to_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    """Rows as CSV in which a spreadsheet finds no formulas; `names` are those of the first row by default."""
    rows = list(rows)
    names = names or (list(rows[0]) if rows else [])
    text = io.StringIO()
    _fill(text, names, ([_inert(row[name]) for name in names] for row in rows))
    return text.getvalue()


def _write_csv(path: Path, names: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    # Row by row, as there may be millions.
    with replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        _fill(text, names, rows)
        text.detach()


def _fill(text: TextIO, names: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(_Lines(text), lineterminator="\r\n")
    writer.writerow(map(_inert, names))
    writer.writerows(rows)


class _Lines:
    """Lines that end in a line feed, of a writer that quotes carriage returns because its own lines end in them."""

    def __init__(self, text: TextIO):
        self._text = text

    def write(self, line: str) -> int:
        return self._text.write(line.removesuffix("\r\n") + "\n")


def _inert(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: text that it would has an apostrophe before it."""
    if isinstance(value, int | float | np.number | None) or not _is_formula(str(value)):
        return value
    return f"'{value}"


def _is_formula(text: str) -> bool:
    # Those with apostrophes already get another one, so that taking one away gives what was there.
    return text.lstrip("'").startswith(_SIGNS)
