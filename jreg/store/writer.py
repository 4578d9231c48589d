"""A thread that alone writes to a database, one transaction after the other."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

Work = Callable[[sqlite3.Connection], None]


class Writer:
    """Writes in the order in which it is asked to, while the caller goes on.

    After an error it writes no more: what it was asked to write stays in `left`.

    Args:
      path: of a database; it is made where there is none.

    Attributes:
      error: what ended it, or None.
      left: what was not written.
    """

    def __init__(self, path: Path):
        self._path, self._queue = path, queue.SimpleQueue[Work | None]()
        self.error: Exception | None = None
        self.left: list[Work] = []
        self._thread = threading.Thread(target=self._write, name="jreg store", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        """Has a transaction written."""
        self._queue.put(work)

    def end(self) -> None:
        """Returns when everything is written, or can't be."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        connection = None
        while (work := self._queue.get()) is not None:
            if self.error is None:
                try:
                    connection = connection or connected(self._path)
                    with connection:
                        connection.execute("BEGIN IMMEDIATE")
                        work(connection)
                # Anything else than an error of the disk would be one of jreg's own, and must not lose results either.
                except Exception as error:
                    self.error = error
            if self.error is not None:
                self.left.append(work)
        if connection is not None:
            connection.close()


def connected(path: Path) -> sqlite3.Connection:
    """A connection that writes, so that a transaction that is over survives a crash of the machine."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60.0)
    # A write-ahead log has a fault in SQLite before 3.51.3 that can damage the database, and Python brings older ones.
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
