"""Results written into a folder, each file whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.files import write_text
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
    settings, trainings = ((table.flat(row) for row in of(results)) for of in (table.settings, table.trainings))
    write_text(folder / "settings.csv", to_csv(settings))
    write_text(folder / "trainings.csv", to_csv(trainings))
    names = ("setting", "fold", "seed", "epoch", *results.labels)
    write_text(folder / "curves.csv", _csv(table.curves(results), names))


def write_results(folder: Path, results: Results, more: Mapping[str, Any]) -> None:
    """Writes results.json alone, with `more` beside the results, such as the test result of the final network."""
    write_text(folder / "results.json", to_text({**summary(results), **more}))


def to_text(found: Mapping[str, Any]) -> str:
    """A JSON object as indented text."""
    return json.dumps(plain(found), indent=1, allow_nan=False) + "\n"


def to_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    """Rows as CSV in which a spreadsheet finds no formulas; `names` are those of the first row by default."""
    return _csv([_inert(row) for row in rows], names)


def names_in(header: Sequence[str]) -> list[str]:
    """The names that a CSV file of `write` has in its first line."""
    return [name[1:] if name[:1] == "'" and _is_formula(name) else name for name in header]


def _csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    rows = list(rows)
    names = names or (list(rows[0]) if rows else [])
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writerow(_inert(dict(zip(names, names, strict=True))))
    writer.writerows(rows)
    return text.getvalue()


def _inert(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts no spreadsheet takes for formulas: one that it would has an apostrophe before it."""
    return {
        name: value if isinstance(value, int | float | np.number | None) or not _is_formula(str(value)) else f"'{value}"
        for name, value in row.items()
    }


def _is_formula(text: str) -> bool:
    # Those with apostrophes already get another one, so that taking one away gives what was there.
    return text.lstrip("'").startswith(_SIGNS)
