"""What can still be read from a damaged database, written into a new one."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreg._base.files import write_text
from jreg._base.names import cut
from jreg._base.tensors import from_bytes
from jreg.results import Spec
from jreg.store import checkpoints, schema
from jreg.store.files import export, to_csv
from jreg.store.reading import NAME, load_results
from jreg.store.recovery import recovered, rows_of
from jreg.store.writer import connected
from jreg.training.status import STATUS

Row = tuple[Any, ...]
_ROLES = ("validation", "inner", "outer", "final", "bootstrap")


class Salvaged(NamedTuple):
    """What was saved.

    Attributes:
      trainings: how many.
      asked: how many the study asks for; 0 where it isn't known any more.
      lost: what couldn't be read, in words.
      whole: whether there is a database again, and not only tables of numbers.
    """

    trainings: int
    asked: int
    lost: tuple[str, ...]
    whole: bool


def salvage(folder: str | Path, out: str | Path) -> Salvaged:
    """Writes what can be read of a study into a new folder; the old one isn't touched.

    Rows are read one by one past damaged pages, and those that make no sense are left out. A flipped bit in a score or
    in the history of a training isn't noticed: SQLite has no checksums.

    Args:
      folder: of the study.
      out: a folder that doesn't exist, or an empty one.

    Raises:
      FileNotFoundError: there is no database.
      ValueError: nothing can be read, or `out` has files.
      OSError: it can't be written.
    """
    path, out = Path(folder) / NAME, Path(out)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {NAME} in {folder}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already: name a new folder")
    with recovered(path) as source:
        tables = {name: rows_of(source, name) for name in schema.TABLES}
    return _written(tables, path.parent, out)


def _written(tables: dict[str, tuple[list[Row], int]], folder: Path, out: Path) -> Salvaged:
    lost = [f"{faults} places of the table {name}" for name, (_, faults) in tables.items() if faults]
    found = {name: rows for name, (rows, _) in tables.items()}
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(connected(out / NAME)) as connection, connection:
        connection.execute("BEGIN")
        schema.create(connection)
        try:
            _fill(connection, found, lost)
            spec = schema.read_spec(connection)
            if not (spec.settings and spec.numbered()):
                raise ValueError("there are no settings, or no folds")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, sqlite3.DatabaseError) as error:
            spec, reason = None, str(error)
        else:
            _fill_trainings(connection, found, spec, lost)
            _fill_checkpoints(connection, found, folder, out)
    if spec is None:
        (out / NAME).unlink()
        return _numbers(found, out, [*lost, f"what the study asks ({cut(reason, 100)})"])
    # A flipped bit may have changed a name, too.
    for name in (None, "timing", "stretches", "baseline", "layouts"):
        if name is not None:
            with contextlib.closing(connected(out / NAME)) as connection, connection:
                connection.execute("DELETE FROM study WHERE name = ?", (name,))
            lost.append(f"the study's {name}")
        try:
            results = load_results(out)
            export(out, results)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            reason = str(error)
            continue
        asked = len(spec.settings) * len(spec.numbered()) * len(spec.seeds)
        return Salvaged(len(results), asked, tuple(lost), True)
    (out / NAME).unlink()
    return _numbers(found, out, [*lost, f"what makes a study of it ({cut(reason, 100)})"])


def _fill(connection: sqlite3.Connection, found: dict[str, list[Row]], lost: list[str]) -> None:
    """Writes what the study asks, in which settings are numbered without gaps."""
    known = _kept(found["study"], _is_json, 1)
    head = next((json.loads(value) for name, value in known if name == "spec"), None)
    if head is None:
        raise ValueError("there is no specification")
    names = set(head["space"]["axes"])
    settings = _kept(found["setting"], lambda text: _is_json(text) and set(json.loads(text)) == names, 1)
    # Rows of the first version have no place for those to stop on.
    folds = [(*row, None)[:5] for row in found["fold"] if _is_fold(row, head["rows"])]
    for name, kept in (("study", known), ("setting", settings), ("fold", folds)):
        if len(kept) < len(found[name]):
            lost.append(f"{len(found[name]) - len(kept)} rows of the table {name}")
    connection.executemany("INSERT OR IGNORE INTO study VALUES (?, ?)", known)
    numbers = sorted({row[0]: row[1] for row in settings if isinstance(row[0], int)}.items())
    if any(place != number for place, (number, _) in enumerate(numbers)):
        lost.append("settings, so that the others have new numbers")
    found["numbers"] = [(number, place) for place, (number, _) in enumerate(numbers)]
    connection.executemany("INSERT INTO setting VALUES (?, ?)", [(place, v) for place, (_, v) in enumerate(numbers)])
    connection.executemany("INSERT OR IGNORE INTO fold VALUES (?, ?, ?, ?, ?)", folds)


def _kept(rows: list[Row], fits: Callable[[Any], bool], place: int) -> list[Row]:
    return [row for row in rows if fits(row[place])]


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(text, str)


def _is_fold(row: Row, rows: int) -> bool:
    number, role, *parts = row
    if not isinstance(number, int) or role not in _ROLES or not isinstance(parts[0], bytes):
        return False
    given = [part for part in parts if part is not None]
    return all(
        isinstance(part, bytes) and len(part) % 8 == 0 and _inside(np.frombuffer(part, "<i8"), rows) for part in given
    )


def _inside(numbers: np.ndarray, rows: int) -> bool:
    return not numbers.size or bool(0 <= numbers.min() <= numbers.max() < rows)


def _fill_trainings(connection: sqlite3.Connection, found: dict[str, list[Row]], spec: Spec, lost: list[str]) -> None:
    blocks = set()
    for block, data in found["kept"]:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            from_bytes(data)
            connection.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (block, data))
            blocks.add(block)
    places, folds = dict(found["numbers"]), {fold.number for fold in spec.folds}
    bad = 0
    for row in found["training"]:
        if not _is_training(row, spec, places, folds):
            bad += 1
            continue
        setting, fold, seed, status, epochs, best, score, history, block, place, append = row
        if block not in blocks or not isinstance(place, int):
            block = place = None
        own = (places[setting], fold, seed, status, epochs, best, score, history, block, place, append)
        connection.execute(f"INSERT OR IGNORE INTO training VALUES ({', '.join('?' * 11)})", own)
    if bad:
        lost.append(f"{bad} trainings that make no sense")
    if len(blocks) < len(found["kept"]):
        lost.append(f"{len(found['kept']) - len(blocks)} blocks of what trainings kept")


def _is_training(row: Row, spec: Spec, places: dict[int, int], folds: set[int]) -> bool:
    setting, fold, seed, status, epochs, best, score, history, _, _, append = row
    if not all(isinstance(value, int) for value in (setting, fold, seed, epochs, best, append)):
        return False
    known = setting in places and fold in folds and seed in spec.seeds
    if not known or not 0 <= epochs <= spec.epochs or not 0 <= append < 2**62 or not -1 <= best < max(1, epochs):
        return False
    if status not in STATUS:
        return False
    width, rest = divmod(len(history) if isinstance(history, bytes) else -1, 4 * max(1, epochs))
    return (
        isinstance(score, float | None) and not rest and 0 <= width <= len(spec.columns) and (epochs > 0) >= (width > 0)
    )


def _fill_checkpoints(connection: sqlite3.Connection, found: dict[str, list[Row]], folder: Path, out: Path) -> None:
    """Writes the log as far as it has no gap, and the checkpoints that are whole."""
    log = [text for (_, text) in _contiguous(found["log"])]
    connection.executemany("INSERT INTO log VALUES (?, ?)", enumerate(log))
    if any(number != place for number, place in found["numbers"]):
        return
    for number, sha256, appends, entries in found["checkpoint"]:
        if not isinstance(entries, int) or not 0 <= entries <= len(log) or not isinstance(appends, int):
            continue
        with contextlib.suppress(ValueError, TypeError, OSError):
            checkpoints.read(folder, number, sha256)
            place = checkpoints.file_of(out, number)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(checkpoints.file_of(folder, number), place)
            connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", (number, sha256, appends, entries))


def _contiguous(rows: list[Row]) -> Iterator[Row]:
    for place, row in enumerate(rows):
        if row[0] != place or not _is_json(row[1]):
            return
        yield row


def _numbers(found: dict[str, list[Row]], out: Path, lost: list[str]) -> Salvaged:
    """Writes the numbers alone, as tables."""
    names = ("setting", "fold", "seed", "status", "epochs", "best_epoch", "score")
    rows = [dict(zip(names, row, strict=False)) for row in found["training"]]
    rows = [row for row in rows if not any(isinstance(value, bytes) for value in row.values())]
    settings = [{"setting": number, "hyperparameters": text} for number, text in found["setting"] if _is_json(text)]
    if not rows and not settings:
        with contextlib.suppress(OSError):
            out.rmdir()
        raise ValueError("nothing could be read from it")
    write_text(out / "trainings.csv", to_csv(rows, names))
    write_text(out / "settings.csv", to_csv(settings, ("setting", "hyperparameters")))
    return Salvaged(len(rows), 0, tuple(lost), False)
