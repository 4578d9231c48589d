"""A damaged SQLite database, read past what is damaged."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from jreg.store import schema
from jreg.store.reading import NAME, check_file, journal_of
from jreg.store.writer import connected

# What SQLite writes by default, as jreg does.
_PAGE = 4096
# Rows beyond a damaged page are looked for in steps that double up to this.
_MOST_STEP = 2**40
_MOST_FAULTS = 10_000
_ERRORS = (sqlite3.DatabaseError, OverflowError, MemoryError)


@contextlib.contextmanager
def recovered(path: Path) -> Generator[sqlite3.Connection]:
    """A connection to a private copy of a study's database whose first page is in order.

    Where the first page isn't that of a study, it is replaced by that of a new one, in which every table begins at the
    same place. So views or triggers are never there.
    """
    with (
        tempfile.TemporaryDirectory(prefix="jreg-", ignore_cleanup_errors=True) as own,
        contextlib.closing(_opened(path, Path(own) / NAME)) as connection,
    ):
        # Text that is no UTF-8 is read as bytes, and then makes no sense.
        connection.text_factory = _text
        yield connection


def _opened(path: Path, copy: Path) -> sqlite3.Connection:
    """A connection to a copy whose first page is in order: as it is, or else without its journal and repaired."""
    shutil.copyfile(path, copy)
    try:
        check_file(path)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(journal_of(path), journal_of(copy))
        connection = _reading(copy)
        try:
            schema.check(connection, str(path))
            connection.execute("SELECT count(*) FROM study").fetchone()
            return connection
        except (ValueError, sqlite3.DatabaseError):
            connection.close()
    except (ValueError, OSError):
        pass
    # What a killed process hadn't ended can't be taken back here, and rows that make no sense are left out anyway.
    journal_of(copy).unlink(missing_ok=True)
    shutil.copyfile(path, copy)
    _repair(copy)
    return _reading(copy)


def _reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _repair(path: Path) -> None:
    """Gives a database the first page of a new one, which has the same tables in the same places, and whole pages."""
    with tempfile.TemporaryDirectory(prefix="jreg-", ignore_cleanup_errors=True) as own:
        fresh = Path(own) / NAME
        with contextlib.closing(connected(fresh)) as connection, connection:
            connection.execute("BEGIN")
            schema.create(connection)
        new = fresh.read_bytes()
    page = bytearray(new[:_PAGE])
    # Where tables begin has to be there.
    pages = max(len(new) // _PAGE, -(-path.stat().st_size // _PAGE))
    # How many pages there are; and no free ones, which nobody reads.
    page[28:32], page[32:40] = pages.to_bytes(4, "big"), bytes(8)
    with path.open("r+b") as file:
        file.write(page)
        file.truncate(pages * _PAGE)


def rows_of(source: sqlite3.Connection, table: str) -> tuple[list[tuple[Any, ...]], int]:
    """The rows of a table that can be read, and how many places can't."""
    found, faults, last = [], 0, -(2**62)
    while faults < _MOST_FAULTS:
        try:
            for row in source.execute(f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid", (last,)):
                if row[0] <= last:
                    # Damaged pages may lead round in circles.
                    raise sqlite3.DatabaseError("rows are out of order")
                found.append(row[1:])
                last = row[0]
            return found, faults
        except _ERRORS:
            faults += 1
            beyond = _beyond(source, table, max(last, -1))
            if beyond is None:
                return found, faults
            last = beyond
    return found, faults


def _beyond(source: sqlite3.Connection, table: str, last: int) -> int | None:
    """The row id behind which rows can be read again; None where there is none."""
    step = 1
    while not _readable(source, table, last + step):
        step *= 2
        if step > _MOST_STEP:
            return None
    low, high = last + step // 2, last + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _readable(source, table, middle) else (middle, high)
    return high


def _readable(source: sqlite3.Connection, table: str, last: int) -> bool:
    """Whether there is a row behind this one that can be read."""
    try:
        wanted = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT 1"
        return source.execute(wanted, (last,)).fetchone() is not None
    except _ERRORS:
        return False


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
