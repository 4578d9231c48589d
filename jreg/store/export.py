"""The store of a study whose results are written when it ends, as JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jreg._base.files import check_folder
from jreg._base.names import shown
from jreg.results import Found, Results, Spec
from jreg.store.files import write


class Nowhere:
    """A store that keeps nothing."""

    def open(self, spec: Spec) -> Results:
        """No results."""
        return Results(spec)

    def append(self, found: Sequence[Found]) -> None:
        """Keeps nothing."""

    def close(self, results: Results) -> None:
        """Writes nothing."""


class Export(Nowhere):
    """Writes results.json, settings.csv, trainings.csv and curves.csv into a folder at the end of a study.

    Args:
      folder: where to; made when something is written.

    Raises:
      ValueError: it can't be written.
    """

    def __init__(self, folder: str | Path):
        check_folder(folder)
        self._folder = folder

    def close(self, results: Results) -> None:
        """Writes what has been finished, if anything has."""
        if any(row.epochs for row in results):
            write(self._folder, results)


def folder_or_nowhere(folder: str | Path | None) -> Nowhere:
    """The store for what a user gives as `store`.

    Raises:
      TypeError: it is no path.
      ValueError: it is empty, or can't be written.
    """
    if not isinstance(folder, str | Path | None):
        raise TypeError(f"store is {shown(folder)}, but must be the path of a folder, such as 'runs/digits'")
    if folder == "":
        raise ValueError("store is empty, but must be the path of a folder, such as 'runs/digits'")
    return Nowhere() if folder is None else Export(folder)
