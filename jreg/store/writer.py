"""A thread that alone writes to a database, one transaction after the other."""

from __future__ import annotations

import contextlib
import itertools
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

Work = Callable[[sqlite3.Connection], None]
# How much is written in one transaction at most, so that what a process loses that is killed stays little.
_MOST = 64


class Joining:
    """Work that may share its transaction with other work of this kind.

    Each transaction waits for the disk, some milliseconds, and many small ones would fall behind.
    """

    def __init__(self, work: Work):
        self._work = work

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Does it."""
        self._work(connection)


class Writer:
    """Writes in the order in which it is asked to, while the caller goes on.

    Work has a transaction of its own, unless it is `Joining`.

    What couldn't be written is tried again whenever there is more to write, and at the end: a disk that was full may
    have room again.

    Args:
      path: of a database; it is made where there is none.

    Attributes:
      error: why something is not written yet, or None.
    """

    def __init__(self, path: Path):
        self._path, self._queue = path, queue.SimpleQueue[Work | None]()
        self.error: Exception | None = None
        self._left = deque[Work]()
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
        connection, over = None, False
        while not over:
            works = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    works.append(self._queue.get_nowait())
            over = works[-1] is None
            self._left += [work for work in works if work is not None]
            connection = self._try(connection)
        if connection is not None:
            connection.close()

    def _try(self, connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """Writes what is left, as far as that goes."""
        # What can't be written may be one work's fault, and those before it still can.
        most = _MOST if self.error is None else 1
        try:
            while self._left:
                connection = connection or connected(self._path)
                works = self._next(most)
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    for work in works:
                        work(connection)
                for _ in works:
                    self._left.popleft()
        # Anything else than an error of the disk would be one of jreg's own, and must not lose results either.
        except Exception as error:
            self.error = error
            if connection is not None:
                # It may be in the midst of a transaction, or have a file that is no longer there.
                connection.close()
            return None
        self.error = None
        return connection

    def _next(self, most: int) -> list[Work]:
        """What is written in one transaction."""
        joining = itertools.takewhile(lambda work: isinstance(work, Joining), itertools.islice(self._left, most))
        return list(joining) or [self._left[0]]


def connected(path: Path) -> sqlite3.Connection:
    """A connection that writes, so that a transaction that is over survives a crash of the machine."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60.0)
    # A write-ahead log has a fault in SQLite before 3.51.3 that can damage the database, and Python brings older ones.
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
