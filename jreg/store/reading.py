"""Reading a study's database that another process may be writing, or that a stranger made."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from jreg._base.tensors import from_bytes
from jreg._base.types import PyTree
from jreg.results import Results, Spec, Timing
from jreg.results.selection import Baseline
from jreg.results.timing import stretches_of
from jreg.store import schema, trainings
from jreg.store.lock import is_held

NAME = "study.db"
# Tries to read a database that a process has just begun or ceased to write, and the pause between two, in seconds.
_TRIES, _PAUSE = 50, 0.1
# Where a database has the number of its changes, and a journal the random number of its transaction: (from, to).
_CHANGES, _NONCE = (24, 28), (12, 16)
# With which a journal begins, and ends where it names another one.
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
    with _values(folder) as connection:
        head = schema.read_study(connection, "spec")
        return schema.read_spec(connection), tuple(map(str, head["space"].get("functions", ())))


def load_note(folder: str | Path, name: str) -> Any:
    """What `Folder.note` has noted about a study, as JSON has it; None where nothing was.

    Raises:
      FileNotFoundError: there is no study.
      ValueError: it is damaged, or of a newer version.
    """
    with _values(folder) as connection:
        return schema.read_study(connection, name)


@contextlib.contextmanager
def _values(folder: str | Path) -> Generator[sqlite3.Connection]:
    """A connection to a study's database, whose values may be damaged."""
    path = _there(folder)
    with reading(path) as connection:
        try:
            yield connection
        except _DAMAGED as error:
            raise schema.damaged(str(path), error) from None


def _there(folder: str | Path) -> Path:
    path = Path(folder) / NAME
    if not path.is_file():
        raise _nothing(path)
    return path


def _nothing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(f"there are no results in {path.parent}: a study writes {NAME} there")


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
        results.timing.stretches = stretches_of(schema.read_study(connection, "stretches"))
        if baseline:
            repeats = () if results.spec.repeats is None else tuple(results.spec.repeats.tolist())
            results.baseline = Baseline(baseline["name"], tuple(map(float, baseline["scores"])), repeats)
        layouts = schema.read_study(connection, "layouts") or {}
        results.layouts = {static: layout_numbers(*numbers) for static, numbers in layouts.items()}
    except _DAMAGED as error:
        raise schema.damaged(str(path), error) from None
    return results


def layout_numbers(slots: int, batch: int, *data: int) -> tuple[int, ...]:
    """A layout as `Results.layouts` has it, of the numbers that a database has."""
    return (int(slots), int(batch), *map(int, data))


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
    """A connection that only reads, for a database of a study, and sees it as it is at one moment.

    While a process writes to it, that one waits for the reader. Where a process was killed there may be a journal, and
    SQLite would have to write to the database to read it: then a private copy of both is read.

    Raises:
      ValueError: it is no database of a study, or has anything in it that could compute.
    """
    with tempfile.TemporaryDirectory(prefix="jreg-", ignore_cleanup_errors=True) as own:
        check_links(path)
        connection, before = _opened(path, Path(own))
        try:
            version = schema.check(connection, str(path))
            if version != schema.VERSION:
                old, connection = connection, sqlite3.connect(":memory:", isolation_level=None)
                with contextlib.closing(old):
                    old.backup(connection)
                schema.upgrade(connection, version)
            connection.execute("PRAGMA query_only = ON")
            yield connection
            if before is not None and _state(path) != before:
                raise ValueError(f"{path} was written while it was read: read it again")
        except sqlite3.DatabaseError as error:
            raise schema.damaged(str(path), error) from None
        finally:
            connection.close()


def _opened(path: Path, own: Path) -> tuple[sqlite3.Connection, list[bytes] | None]:
    """A connection in a transaction that reads, and the state that must not have changed at its end."""
    for _ in range(_TRIES):
        held, before, file, how = is_held(path.parent), None, path, "?mode=ro"
        if not held:
            before = _state(path)
            if journal_of(path).exists():
                file, how = own / path.name, ""
                journal_of(file).unlink(missing_ok=True)
                for source in (path, journal_of(path)):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(source, own / source.name)
                if is_held(path.parent) or _state(path) != before:
                    continue
            else:
                # No lock either, which not every file system has.
                how += "&immutable=1"
        check_file(file)
        connection = sqlite3.connect(f"{file.absolute().as_uri()}{how}", uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            # The lock is taken by the first look.
            connection.execute("SELECT name FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            if not held:
                raise schema.damaged(str(path), error) from None
            time.sleep(_PAUSE)
        else:
            if file.stat().st_size:
                return connection, before
            connection.close()
            raise _nothing(path)
    raise ValueError(f"{path} can't be read while it is written: try again later")


def check_file(path: Path) -> None:
    """Raises ValueError where SQLite may not open a file: what it and its journal are is seen in some bytes."""
    check_links(path)
    journal, begun = journal_of(path), b""
    # A process that writes may end its transaction meanwhile.
    with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        begun = file.read(20)
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or head[:16] != b"SQLite format 3\0":
        # Nothing was there before the transaction that a process was killed in, says the journal.
        if not head or (begun[:8] == _MAGIC and begun[16:] == bytes(4)):
            return
        raise schema.damaged(str(path), ValueError("it is no SQLite database"))
    if head[18:20] != b"\1\1":
        raise ValueError(f"{path} has a write-ahead log, which jreg never uses, so it isn't read")
    if not journal.exists():
        # A page of 64 KiB is written as 1.
        size = int.from_bytes(head[16:18], "big") * (65536 if head[16:18] == b"\0\1" else 1)
        if path.stat().st_size < size * int.from_bytes(head[28:32], "big"):
            raise schema.damaged(str(path), ValueError("its end is missing"))


def check_links(path: Path) -> None:
    """Raises ValueError where a database or its journal lies elsewhere, or the journal names another one."""
    journal = journal_of(path)
    for own in (path, journal):
        # Looked at once: a journal comes and goes with its transaction.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(own.lstat().st_mode):
                raise ValueError(f"{own} is a link or no file, which jreg doesn't follow in the folder of a study")
    with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - 8))
        # SQLite would delete the file that it names when it has read the journal.
        if file.read() == _MAGIC:
            raise ValueError(f"{journal} names another journal, which jreg's never do, so it isn't read")


def journal_of(path: Path) -> Path:
    """Where SQLite notes what a transaction changes."""
    return path.with_name(f"{path.name}-journal")


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
