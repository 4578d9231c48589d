"""A folder of results that anybody can read: JSON and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from jreg.results import Results
from jreg.results.files import from_json
from jreg.store.files import names_in


def load_results(folder: str | Path) -> Results:
    """The results in a folder, without the code and the data they were made with.

    Args:
      folder: what a study wrote, ``store="runs/digits"`` or ``jreg sweep --out runs/digits``.

    Returns:
      `Results`, whose `spec` says what was asked: settings, rows of each fold, seeds, options and versions.

    Raises:
      FileNotFoundError: there are no results.
      ValueError: they are damaged, or of another format.
    """
    path = Path(folder)
    if not (path / "results.json").is_file():
        raise FileNotFoundError(f"there are no results in {folder}: a study writes results.json there")
    try:
        found = json.loads((path / "results.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / 'results.json'} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path / 'results.json'} holds a {type(found).__name__}, but must hold an object")
    curves = path / "curves.csv"
    if not curves.is_file():
        raise FileNotFoundError(f"there is no {curves}, which has the histories of these results")
    with curves.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        return from_json(found, csv.DictReader(file, names_in(next(lines, []))))
