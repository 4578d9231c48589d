"""Results written into a folder, each file whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreg._base.files import write_text
from jreg.results import Results, table
from jreg.results.summary import summary
from jreg.results.values import plain


def export(folder: Path, results: Results) -> None:
    """Writes results.json, settings.csv, trainings.csv and curves.csv into a folder, made from the results.

    Raises:
      OSError: the folder can't be written.
    """
    write_results(folder, results, {})
    settings, trainings = ([table.flat(row) for row in rows(results)] for rows in (table.settings, table.trainings))
    write_text(folder / "settings.csv", _csv(settings))
    write_text(folder / "trainings.csv", _csv(trainings))
    names = ("setting", "fold", "seed", "epoch", *results.labels)
    write_text(folder / "curves.csv", _csv(table.curves(results), names))


def write_results(folder: Path, results: Results, more: Mapping[str, Any]) -> None:
    """Writes results.json alone, with `more` beside the results, such as the test result of the final network."""
    write_text(folder / "results.json", to_text({**summary(results), **more}))


def to_text(found: Mapping[str, Any]) -> str:
    """A JSON object as indented text."""
    return json.dumps(plain(found), indent=1, allow_nan=False) + "\n"


def _csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, names or (list(rows[0]) if rows else []), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
