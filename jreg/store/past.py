"""What an earlier run of a study has left in a folder, for the process that goes on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from jreg.results import Results
from jreg.store import checkpoints, schema
from jreg.store.protocol import Halfway
from jreg.store.reading import check_file, read
from jreg.store.writer import connected


class Past(NamedTuple):
    """What an earlier run has left.

    Attributes:
      results: of its trainings.
      log: what its policy had decided.
      halfway: the trainings that were under way at the last checkpoint.
      number: of the last checkpoint.
      appends: how many times results were added.
      known: what else is known of the study, by name.
    """

    results: Results
    log: list[dict[str, Any]]
    halfway: list[Halfway]
    number: int
    appends: int
    known: dict[str, Any]


def past_of(path: Path) -> Past | None:
    """What an earlier run has left in a database, from which SQLite takes back what a killed process hadn't ended.

    A search decides by what it knew, so of a search it is what it knew at its last checkpoint. None where it was killed
    before anything was written.

    Raises:
      ValueError: the database is damaged, or is of a newer version.
    """
    check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(contextlib.closing(connected(path)))
            connection.execute("SELECT name FROM sqlite_master").fetchone()
            if not path.stat().st_size:
                return None
            schema.upgrade(connection, schema.check(connection, str(path)))
            [state] = connection.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise ValueError(state)
            number, appends, entries, halfway = _last(connection, path.parent)
            known = {name: json.loads(v) for name, v in connection.execute("SELECT name, value FROM study")}
            log = [json.loads(entry) for [entry] in connection.execute("SELECT entry FROM log ORDER BY number")]
            policy = known["spec"].get("policy", {})
            # Of one that is shared the asker knows everything, as others do.
            if policy.get("kind") == "search" and not policy.get("shared"):
                log = log[:entries]
                asked = sum("ask" in entry for entry in log)
                return Past(read(connection, path, appends, max(1, asked)), log, halfway, number, appends, known)
            [appends] = connection.execute("SELECT coalesce(max(append), 0) FROM training").fetchone()
            return Past(read(connection, path), log, halfway, number, appends, known)
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, ValueError) and str(error).startswith(str(path)):
                raise
            raise schema.damaged(str(path), error) from None


def _last(connection: sqlite3.Connection, folder: Path) -> tuple[int, int, int, list[Halfway]]:
    """The last checkpoint that is whole: its number, its appends and entries of the log, and its trainings."""
    rows = connection.execute("SELECT number, sha256, appends, entries FROM checkpoint ORDER BY number DESC").fetchall()
    last = max((number for number, *_ in rows), default=0)
    for place, (number, sha256, appends, entries) in enumerate(rows):
        try:
            return last, appends, entries, checkpoints.read(folder, number, sha256)
        except ValueError as error:
            then = "from the one before" if place + 1 < len(rows) else "without it: trainings under way start again"
            warnings.warn(f"{error}; the study goes on {then}", RuntimeWarning, stacklevel=2)
    return last, 0, 0, []
