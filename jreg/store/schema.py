"""The tables of a study's database, and the specification in them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base.machine import free_memory
from jreg._base.names import cut
from jreg.results import FoldRows, Spec
from jreg.results.values import plain
from jreg.search.space import Setting
from jreg.training import Status

# "jreg", and the version of the tables.
APPLICATION, VERSION = 0x6A726567, 2

# The text is part of the format: tables with another one aren't read.
TABLES = {
    # What was asked, and what is known of the study as a whole: JSON by name.
    "study": "CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # The hyperparameters of each setting, a JSON object.
    "setting": "CREATE TABLE setting (setting INTEGER PRIMARY KEY, hyperparameters TEXT NOT NULL)",
    # Row numbers, int64; no training rows where they are all others in order, and none to stop on in most studies.
    "fold": (
        "CREATE TABLE fold (fold INTEGER PRIMARY KEY, role TEXT NOT NULL, validation BLOB NOT NULL, train BLOB, "
        "stopping BLOB)"
    ),
    # The history is (epochs, columns) float32; what was kept is row `place` of a block.
    "training": (
        "CREATE TABLE training (setting INTEGER, fold INTEGER, seed INTEGER, status TEXT, epochs INTEGER, "
        "best_epoch INTEGER, score REAL, history BLOB, block INTEGER, place INTEGER, append INTEGER, "
        "PRIMARY KEY (setting, fold, seed))"
    ),
    # Trees of arrays as safetensors.
    "kept": "CREATE TABLE kept (block INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    # What the policy decided: JSON.
    "log": "CREATE TABLE log (number INTEGER PRIMARY KEY, entry TEXT NOT NULL)",
    # Files of trainings under way: their SHA-256, and how many appends and entries of the log there were.
    "checkpoint": (
        "CREATE TABLE checkpoint (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, appends INTEGER, entries INTEGER)"
    ),
}
# What brings a database from a version to the next one, by the former; `FORMER` has the tables of such versions.
UPGRADES: dict[int, Callable[[sqlite3.Connection], Any]] = {
    1: lambda connection: connection.execute("ALTER TABLE fold ADD COLUMN stopping BLOB"),
}
FORMER: dict[int, dict[str, str]] = {1: TABLES | {"fold": TABLES["fold"].replace(", stopping BLOB", "")}}
# What SQLite makes by itself for the primary keys.
_INDEXES = ("sqlite_autoindex_study_1", "sqlite_autoindex_training_1")
_WORDS = {status.word: int(status) for status in Status}
# More epochs than anybody trains; arrays are as long.
_EPOCHS = 10**7


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables."""
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for sql in TABLES.values():
        connection.execute(sql)


def check(connection: sqlite3.Connection, name: str) -> int:
    """The version of a database.

    Raises:
      ValueError: it isn't one of a study, is of a newer version or has anything else in it.
    """
    try:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100").fetchall()
    except sqlite3.DatabaseError as error:
        raise damaged(name, error) from None
    if application != APPLICATION:
        raise ValueError(f"{name} is no database of a study of jreg's")
    if version > VERSION:
        raise ValueError(
            f"{name} has version {version}, but this jreg reads up to version {VERSION}: install a newer jreg"
        )
    tables = {sql for kind, _, sql in found if kind == "table"}
    others = [name for kind, name, _ in found if kind != "table" and name not in _INDEXES]
    if others or tables != set((TABLES if version == VERSION else FORMER.get(version, {})).values()):
        # A view or a trigger could compute anything.
        raise ValueError(f"{name} has other tables, indexes, views or triggers than jreg makes, so it isn't read")
    return version


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Brings a database of an older version to this one, in one transaction."""
    if version == VERSION:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for old in range(version, VERSION):
            UPGRADES[old](connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def damaged(name: str, error: Exception) -> ValueError:
    """The error to raise where a database can't be read."""
    return ValueError(
        f"{name} is damaged ({cut(str(error), 200)}): jreg doctor {_folder(name)} --salvage OUT writes what can still "
        "be read into a new folder"
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0] or "."


def head(spec: Spec) -> str:
    """The specification without settings and folds, which have tables of their own, as JSON."""
    return json.dumps(spec.head(), allow_nan=False)


def setting_rows(settings: Iterable[Setting], first: int) -> list[tuple[int, str]]:
    """Rows of the table of settings, numbered from `first` on."""
    return [(number, _object(setting)) for number, setting in enumerate(settings, first)]


def _object(setting: Setting) -> str:
    # Most are finite numbers, and there may be a million.
    if all(type(value) is float and math.isfinite(value) for value in setting.values()):
        return json.dumps(setting)
    return json.dumps(plain(setting), allow_nan=False)


def fold_rows(folds: Sequence[FoldRows], rows: int) -> list[tuple[Any, ...]]:
    """Rows of the table of folds."""
    found = []
    for fold in folds:
        rest = _others(rows, fold.validation, fold.stopping)
        train = None if np.array_equal(rest, fold.train) else np.asarray(fold.train, "<i8").tobytes()
        stopping = np.asarray(fold.stopping, "<i8").tobytes() if len(fold.stopping) else None
        found.append((fold.number, fold.role, np.asarray(fold.validation, "<i8").tobytes(), train, stopping))
    return found


def _others(rows: int, *parts: np.ndarray) -> np.ndarray:
    """The rows that are in none of these parts, in order."""
    rest = np.ones(rows, bool)
    for part in parts:
        rest[part] = False
    return np.flatnonzero(rest)


def read_spec(connection: sqlite3.Connection, most: int | None = None) -> Spec:
    """The specification, with at most the first settings.

    Raises:
      ValueError: it is damaged.
    """
    found = read_study(connection, "spec")
    if not isinstance(found, dict) or not isinstance(rows := found.get("rows"), int):
        raise ValueError("there is no specification")
    wanted = "SELECT setting, hyperparameters FROM setting ORDER BY setting LIMIT ?"
    texts = connection.execute(wanted, (-1 if most is None else most,)).fetchall()
    if [number for number, _ in texts] != list(range(len(texts))):
        raise ValueError("settings are missing")
    settings = json.loads(f"[{','.join(text for _, text in texts)}]")
    folds = list(_read_folds(connection, rows))
    spec = Spec.of(found, settings, folds)
    places = len(settings) * len(folds) * max(1, len(spec.seeds))
    free = free_memory()
    if not 0 < spec.epochs <= _EPOCHS or (free is not None and 4 * places > free):
        raise ValueError(f"it asks for {places} trainings of {spec.epochs} epochs, which don't fit into the memory")
    return spec


def _read_folds(connection: sqlite3.Connection, rows: int) -> Iterable[FoldRows]:
    known = connection.execute("SELECT fold, role, validation, train, stopping FROM fold ORDER BY rowid").fetchall()
    free = free_memory()
    if rows < 0 or (free is not None and 16 * rows * max(1, len(known)) > free):
        raise ValueError(f"it has {rows} rows in {len(known)} folds, which don't fit into the memory")
    for number, role, *parts in known:
        given = [None if part is None else np.frombuffer(part, "<i8") for part in parts]
        if any(part is not None and len(part) and not 0 <= part.min() <= part.max() < rows for part in given):
            raise ValueError(f"fold {number} has rows that the data don't have")
        validation, train, stopping = given
        validation, stopping = np.asarray(validation), np.arange(0) if stopping is None else stopping
        train = _others(rows, validation, stopping) if train is None else train
        yield FoldRows(int(number), str(role), train, validation, stopping)


def read_study(connection: sqlite3.Connection, name: str) -> Any:
    """What is known of the study under a name; None where nothing is."""
    row = connection.execute("SELECT value FROM study WHERE name = ?", (name,)).fetchone()
    return None if row is None else json.loads(row[0])


def write_study(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    """Notes what is known of the study, by name; what is text already is JSON."""
    texts = [(n, v if isinstance(v, str) else json.dumps(plain(v), allow_nan=False)) for n, v in values.items()]
    connection.executemany("INSERT OR REPLACE INTO study VALUES (?, ?)", texts)


def write_rows(connection: sqlite3.Connection, settings: Sequence[Any], folds: Sequence[Any]) -> None:
    """Adds the rows that `setting_rows` and `fold_rows` made."""
    connection.executemany("INSERT INTO setting VALUES (?, ?)", settings)
    connection.executemany("INSERT INTO fold VALUES (?, ?, ?, ?, ?)", folds)


def write_log(connection: sqlite3.Connection, first: int, entries: Sequence[Mapping[str, Any]]) -> None:
    """Adds what a policy decided, numbered from `first` on."""
    rows = [(number, json.dumps(plain(entry), allow_nan=False)) for number, entry in enumerate(entries, first)]
    connection.executemany("INSERT INTO log VALUES (?, ?)", rows)


def write_checkpoint(
    connection: sqlite3.Connection, number: int, sha256: str, appends: int, entries: int, most: int
) -> list[int]:
    """Notes a checkpoint whose file is there, and forgets all but the last `most`; returns their numbers."""
    connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", (number, sha256, appends, entries))
    connection.execute("DELETE FROM checkpoint WHERE number <= ?", (number - most,))
    return [known for [known] in connection.execute("SELECT number FROM checkpoint")]


def cut_back(connection: sqlite3.Connection, settings: int, appends: int, entries: int) -> None:
    """Takes back what came after the point from which a search goes on."""
    connection.execute("DELETE FROM training WHERE append > ?", (appends,))
    connection.execute("DELETE FROM setting WHERE setting >= ?", (settings,))
    connection.execute("DELETE FROM log WHERE number >= ?", (entries,))


def statuses_of(words: Iterable[Any]) -> list[int]:
    """The numbers of the statuses that words stand for."""
    return list(map(_WORDS.__getitem__, words))
