"""Trainings as rows of the database."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jreg._base.tensors import to_bytes
from jreg._base.types import PyTree
from jreg.results import Results, Trained
from jreg.store.schema import statuses_of
from jreg.training import Status

# SQLite takes at most 10^9 bytes as one value.
_LARGEST = 2**29
# Rows that are read at once.
_MANY = 10_000
_INSERT = (
    "INSERT INTO training VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
    "epochs = excluded.epochs, best_epoch = excluded.best_epoch, score = excluded.score, history = excluded.history, "
    "block = coalesce(excluded.block, block), place = coalesce(excluded.place, place), append = excluded.append "
    "WHERE excluded.epochs >= epochs"
)


def insert(connection: sqlite3.Connection, found: Trained, score: int, append: int) -> None:
    """Adds trainings; `score` is the column that ranks them, `append` the number of this addition."""
    for some in _split(found):
        block = None
        if some.kept:
            [block] = connection.execute("SELECT coalesce(max(block) + 1, 0) FROM kept").fetchone()
            connection.execute("INSERT INTO kept VALUES (?, ?)", (block, to_bytes(some.kept)))
        connection.executemany(_INSERT, _rows(some, score, block, append))


def _split(found: Trained) -> Iterator[Trained]:
    """Parts whose kept things fit into one value of SQLite's."""
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(found.kept))
    each = max(1, _LARGEST * len(found) // size) if size > _LARGEST else max(1, len(found))
    for first in range(0, len(found), each):
        yield found.take(slice(first, first + each)) if each < len(found) else found


def _rows(found: Trained, score: int, block: int | None, append: int) -> Iterator[tuple[Any, ...]]:
    history = np.ascontiguousarray(found.history, "<f4")
    best = np.maximum(found.best_epoch, 0)
    words = [status.word for status in Status]
    columns = (found.setting, found.fold, found.seed, found.status, found.epochs, found.best_epoch, best)
    for place, (setting, fold, seed, status, epochs, best_epoch, at) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        scored = epochs and Status(status).has_score and score < history.shape[2]
        value = float(history[place, at, score]) if scored else None
        own = None if block is None else place
        own_history = history[place, :epochs].tobytes()
        yield (setting, fold, seed, words[status], epochs, best_epoch, value, own_history, block, own, append)


def read_into(
    results: Results, connection: sqlite3.Connection, read: Callable[[int], PyTree], appends: int | None = None
) -> None:
    """Reads all trainings, or those of the first `appends` additions.

    A block of what they kept is read by `read` when it is asked for.

    Raises:
      ValueError: they are damaged.
    """
    blocks, places = [], []
    columns = len(results.spec.columns)
    for rows in _fetched(connection, appends):
        setting, fold, seed, words, epochs, best, histories, block, place = zip(*rows, strict=True)
        lengths = np.array(epochs, np.int64)
        numbers = (np.array(part, np.int64) for part in (setting, fold, seed, statuses_of(words)))
        history, best_epoch = _histories(histories, lengths, columns), np.array(best, np.int64)
        if (best_epoch < -1).any() or (best_epoch >= np.maximum(lengths, 1)).any():
            raise ValueError("a best epoch is none that was run")
        results.add(Trained(*numbers, lengths, best_epoch, history, {}))
        blocks.append(np.array(block, np.int64))
        places.append(np.array(place, np.int64))
    if sum(map(len, blocks)) != len(results):
        raise ValueError("trainings are there twice")
    if blocks:
        results.refer(np.concatenate(blocks), np.concatenate(places), read)


def _fetched(connection: sqlite3.Connection, appends: int | None) -> Iterator[list[tuple[Any, ...]]]:
    cursor = connection.execute(
        "SELECT setting, fold, seed, status, epochs, best_epoch, history, coalesce(block, -1), coalesce(place, 0) "
        "FROM training WHERE append <= ? ORDER BY rowid",
        (2**62 if appends is None else appends,),
    )
    while rows := cursor.fetchmany(_MANY):
        yield rows


def _histories(found: Sequence[bytes], epochs: np.ndarray, columns: int) -> np.ndarray:
    """``(n, epochs, columns)`` from the bytes of each training, which may lack columns that came later."""
    sizes = np.fromiter(map(len, found), np.int64)
    widths = sizes // (4 * np.maximum(epochs, 1))
    if (epochs < 0).any() or (widths * epochs * 4 != sizes).any() or (widths > columns).any():
        raise ValueError("a history has another length than its training's epochs")
    history = np.full((len(sizes), int(epochs.max(initial=0)), columns), np.nan, np.float32)
    run = np.arange(history.shape[1]) < epochs[:, None]
    different = np.unique(widths[epochs > 0]).tolist()
    for width in different:
        some = widths == width
        data = found if len(different) == 1 else itertools.compress(found, some.tolist())
        history[run & some[:, None], :width] = np.frombuffer(b"".join(data), "<f4").reshape(-1, width)
    return history
