"""Reading a study's database that another process may be writing, or that a stranger made."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from jreg._base.tensors import from_bytes
from jreg._base.types import PyTree
from jreg.results import Results, Spec, Timing
from jreg.results.selection import Baseline
from jreg.store import schema, trainings
from jreg.store.lock import is_held

NAME = "study.db"
# Tries to copy a database while transactions are being written, and the pause between two, in seconds.
_TRIES, _PAUSE = 200, 0.02
# Where a database has the number of its changes, and a journal the random number of its transaction: (from, to).
_CHANGES, _NONCE = (24, 28), (12, 16)
# With which a journal ends that names another one.
_MAGIC = bytes.fromhex("d9d505f920a163d7")
# What reading a damaged database raises.
_DAMAGED = (
    sqlite3.DatabaseError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)


def load_results(folder: str | Path) -> Results:
    """The results in a folder, without the code and the data they were made with.

    Nothing in the folder is run, and nothing is written there; a study that is being trained can be read, too.

    Args:
      folder: what a study wrote, ``store="runs/digits"`` or ``jreg sweep --store runs/digits``.

    Returns:
      `Results`, whose `spec` says what was asked: settings, rows of each fold, seeds, options and versions.

    Raises:
      FileNotFoundError: there are no results.
      ValueError: they are damaged, or of a newer version.
    """
    path = _there(folder)
    with reading(path) as connection:
        return read(connection, path)


def load_spec(folder: str | Path) -> tuple[Spec, tuple[str, ...]]:
    """What a study in a folder asks, and which of its hyperparameters are functions, of which it has the names.

    Raises:
      FileNotFoundError: there is no study.
      ValueError: it is damaged, or of a newer version.
    """
    path = _there(folder)
    with reading(path) as connection:
        try:
            head = schema.read_study(connection, "spec")
            return schema.read_spec(connection), tuple(map(str, head["space"].get("functions", ())))
        except _DAMAGED as error:
            raise schema.damaged(str(path), error) from None


def load_note(folder: str | Path, name: str) -> Any:
    """What `Folder.note` has noted about a study, as JSON has it; None where nothing was.

    Raises:
      FileNotFoundError: there is no study.
      ValueError: it is damaged, or of a newer version.
    """
    path = _there(folder)
    with reading(path) as connection:
        try:
            return schema.read_study(connection, name)
        except _DAMAGED as error:
            raise schema.damaged(str(path), error) from None


def _there(folder: str | Path) -> Path:
    path = Path(folder) / NAME
    if not path.is_file() or not path.stat().st_size:
        raise FileNotFoundError(f"there are no results in {folder}: a study writes {NAME} there")
    return path


def read(
    connection: sqlite3.Connection, path: Path, appends: int | None = None, settings: int | None = None
) -> Results:
    """The results in a database that is open; of `appends` additions and `settings` alone, where they are given.

    Raises:
      ValueError: they are damaged.
    """
    try:
        results = Results(schema.read_spec(connection, settings))
        trainings.read_into(results, connection, functools.partial(read_kept, path), appends)
        timing, baseline = (schema.read_study(connection, name) for name in ("timing", "baseline"))
        results.timing = Timing(**timing) if timing else Timing()
        if baseline:
            results.baseline = Baseline(baseline["name"], tuple(map(float, baseline["scores"])))
        layouts = schema.read_study(connection, "layouts") or {}
        results.layouts = {static: (int(slots), int(batch)) for static, (slots, batch) in layouts.items()}
    except _DAMAGED as error:
        raise schema.damaged(str(path), error) from None
    return results


def read_kept(path: Path, block: int) -> PyTree:
    """What a block of trainings kept.

    Raises:
      ValueError: it is damaged.
    """
    with reading(path) as connection:
        row = connection.execute("SELECT data FROM kept WHERE block = ?", (block,)).fetchone()
    if row is None:
        raise ValueError(f"{path} lacks block {block} of what trainings kept")
    return from_bytes(row[0])[0]


@contextlib.contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """A connection that only reads, for a database of a study.

    A database beside which there is a journal belongs to a process that is writing or was killed. SQLite would have to
    write to it to read it, so a private copy of both is read. Otherwise a process that begins to write waits.

    Raises:
      ValueError: it is no database of a study, or has anything in it that could compute.
    """
    with tempfile.TemporaryDirectory(prefix="jreg-", ignore_cleanup_errors=True) as own:
        _check_links(path)
        copy = _settled(path, Path(own))
        check_file(copy or path)
        connection = sqlite3.connect(copy or f"{path.absolute().as_uri()}?mode=ro", uri=copy is None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            version = schema.check(connection, str(path))
            if version != schema.VERSION:
                old, connection = connection, sqlite3.connect(":memory:")
                with contextlib.closing(old):
                    old.backup(connection)
                schema.upgrade(connection, version)
            connection.execute("PRAGMA query_only = ON")
            yield connection
        except sqlite3.DatabaseError as error:
            raise schema.damaged(str(path), error) from None
        finally:
            connection.close()


def check_file(path: Path) -> None:
    """Raises ValueError where SQLite may not open a file: what it and its journal are is seen in some bytes."""
    _check_links(path)
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or head[:16] != b"SQLite format 3\0":
        raise ValueError(f"{path} is no SQLite database, or a damaged one")
    if head[18:20] != b"\1\1":
        raise ValueError(f"{path} has a write-ahead log, which jreg never uses, so it isn't read")
    journal = journal_of(path)
    if not journal.exists():
        # A page of 64 KiB is written as 1.
        size = int.from_bytes(head[16:18], "big") * (65536 if head[16:18] == b"\0\1" else 1)
        if path.stat().st_size < size * int.from_bytes(head[28:32], "big"):
            raise schema.damaged(str(path), ValueError("its end is missing"))
    else:
        with journal.open("rb") as file:
            file.seek(max(0, journal.stat().st_size - 8))
            # It would name another file, which SQLite would delete when it has read the journal.
            if file.read() == _MAGIC:
                raise ValueError(f"{journal} names another journal, which jreg's never do, so it isn't read")


def _check_links(path: Path) -> None:
    """Raises ValueError where a database or its journal lies elsewhere."""
    for own in (path, journal_of(path)):
        if own.is_symlink() or (own.exists() and not own.is_file()):
            raise ValueError(f"{own} is a link or no file, which jreg doesn't follow in the folder of a study")


def journal_of(path: Path) -> Path:
    """Where SQLite notes what a transaction changes."""
    return path.with_name(f"{path.name}-journal")


def _settled(path: Path, own: Path) -> Path | None:
    """A copy of a database and its journal at one moment; None where nobody writes to it."""
    journal = journal_of(path)
    if not journal.exists() and not is_held(path.parent):
        return None
    for _ in range(_TRIES):
        before = _state(path)
        # A page is changed after the journal has what it was, so the journal that is copied later can take it back.
        for source in (path, journal):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(source, own / source.name)
        if _state(path) == before:
            return own / path.name
        journal_of(own / path.name).unlink(missing_ok=True)
        time.sleep(_PAUSE)
    raise ValueError(f"{path} is being written all the time: try again later")


def _state(path: Path) -> list[bytes]:
    """What tells the transactions of a database from each other: the last one, and the one that is going on."""
    found = []
    for file, (first, last) in ((path, _CHANGES), (journal_of(path), _NONCE)):
        data = b""
        with contextlib.suppress(FileNotFoundError):
            if file.is_file():
                with file.open("rb") as opened:
                    data = opened.read(last)[first:]
        found.append(data)
    return found
