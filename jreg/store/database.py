"""The store of a study: a folder with a database, checkpoints, and tables made from them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jreg._base.files import check_folder
from jreg._base.names import shown
from jreg.results import Results, Spec, Trained
from jreg.store import checkpoints, schema, trainings
from jreg.store.files import export, tables
from jreg.store.lock import NAME as LOCK
from jreg.store.lock import Lock
from jreg.store.noted import Noted, known
from jreg.store.past import Past, past_of
from jreg.store.protocol import Halfway, Nowhere
from jreg.store.reading import NAME, check_file
from jreg.store.writer import Joining, Writer, connected


class Folder(Nowhere):
    """Keeps a study in a folder: what was asked, what was found, and the trainings that are under way.

    The results of trainings that have ended are on the disk while the next ones train. A study that was ended by
    whatever goes on from there: `jreg.resume`.

    Args:
      folder: where to; it is made.
      checkpoint_seconds: after how long the states of the trainings under way are stored again; a process that is
        killed loses at most this.

    Attributes:
      folder, checkpoint_seconds: as given.
      trouble: why not everything could be written, or None.

    Raises:
      ValueError: it can't be written.
    """

    keeps = True

    def __init__(self, folder: str | Path, checkpoint_seconds: float = 60.0):
        check_folder(folder)
        self.folder, self.checkpoint_seconds = Path(folder), checkpoint_seconds
        self.trouble: Exception | None = None
        self._lock: Lock | None = None
        # Whether this process has made the folder, and whether no training has ever left anything there.
        self._made = self._is_new = False
        self._fresh = False
        self._writer: Writer | None = None
        self._past: Past | None = None
        # How much of it is in the database, or on its way there.
        self._settings = self._folds = self._appends = self._entries = self._number = 0
        self._last = time.monotonic()
        self._noted = Noted()

    def __repr__(self) -> str:
        return f"Folder({str(self.folder)!r})"

    def __enter__(self) -> Folder:
        """Takes the folder for this process, and reads what an earlier run has left.

        Raises:
          ValueError: another process writes to it, or what is there is damaged.
        """
        self._made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.folder)
        try:
            if (self.folder / NAME).exists():
                self._past = past_of(self.folder / NAME)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *ended: Any) -> None:
        """Lets others write; a study that ended in an error before anything was trained leaves nothing."""
        if self._writer is not None:
            self._writer.end()
        failed = ended[0] is not None and issubclass(ended[0], Exception)
        with contextlib.suppress(OSError):
            if failed and self._is_new:
                for file in [self.folder / NAME, *self.folder.glob(f"{checkpoints.NAME}/*"), *tables(self.folder)]:
                    file.unlink(missing_ok=True)
                if (self.folder / checkpoints.NAME).exists():
                    (self.folder / checkpoints.NAME).rmdir()
            if not (self.folder / NAME).exists():
                (self.folder / LOCK).unlink()
                if self._made:
                    self.folder.rmdir()
        if self._lock is not None:
            self._lock.release()

    def stored(self) -> Spec | None:
        """What an earlier run was asked, whose results are here."""
        return None if self._past is None else self._past.results.spec

    def forget(self) -> None:
        """Restarts, whatever was stored."""
        (self.folder / NAME).unlink(missing_ok=True)
        self._past = None

    def layouts(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the layouts with which its programs trained, see `jreg.results.Results`."""
        return {} if self._past is None else self._past.results.layouts

    def known(self, name: str) -> Any:
        """What an earlier run has noted under a name; None where it hasn't."""
        return None if self._past is None else self._past.known.get(name)

    def log(self) -> list[dict[str, Any]]:
        """What the policy of an earlier run had decided, in order."""
        return [] if self._past is None else self._past.log

    def halfway(self) -> list[Halfway]:
        """The trainings that were under way at the last checkpoint of an earlier run."""
        return [] if self._past is None else self._past.halfway

    def open(self, spec: Spec) -> Results:
        """The results of an earlier run, with room for what is asked now; none where there was no earlier run."""
        self._writer, self.trouble = Writer(self.folder / NAME), None
        past, self._last = self._past, time.monotonic()
        self._is_new = past is None
        self._fresh = past is None
        self._settings = self._folds = self._appends = self._entries = self._number = 0
        self._noted = Noted()
        if past is None:
            results = Results(spec)
        else:
            self._settings, self._folds = len(past.results.spec.settings), len(past.results.spec.folds)
            self._appends, self._entries, self._number = past.appends, len(past.log), past.number
            counts = self._settings, self._appends, self._entries
            self._writer.put(lambda connection: schema.cut_back(connection, *counts))
            results = past.results
            results.grow(spec)
        self.append(results, ())
        return results

    def note(self, name: str, value: Any) -> None:
        """Notes something about the study; `value` may be a function that computes it while others train."""
        if self._writer is not None:
            found = value if callable(value) else lambda: value
            self._writer.put(lambda connection: schema.write_study(connection, {name: found()}))

    def append(self, results: Results, found: Sequence[Trained], log: Sequence[dict[str, Any]] = ()) -> None:
        """Has what trainings have left, and what the policy has decided since, written in one transaction."""
        if self._writer is None:
            raise ValueError(f"{self!r} isn't open: call open first")
        spec, self._appends = results.spec, self._appends + 1
        self._is_new &= not any(map(len, found))
        score, append, entry = spec.columns.index(spec.score) if spec.columns else 0, self._appends, self._entries
        settings = schema.setting_rows(spec.settings[self._settings :], self._settings)
        folds = schema.fold_rows(spec.folds[self._folds :], spec.rows)
        new = bool(settings or folds) or not self._settings
        values = self._noted.changed(results) | ({"spec": schema.head(spec)} if new else {})
        self._settings, self._folds = len(spec.settings), len(spec.folds)
        self._entries += len(log)

        # With what is asked in one transaction: a process may be killed between two.
        fresh, self._fresh = self._fresh, False

        def write(connection: sqlite3.Connection) -> None:
            if fresh:
                schema.create(connection)
            schema.write_study(connection, values)
            schema.write_rows(connection, settings, folds)
            for some in found:
                trainings.insert(connection, some, score, append)
            schema.write_log(connection, entry, log)

        self._writer.put(Joining(write))

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() >= self._last + self.checkpoint_seconds

    def checkpoint(self, halfway: Sequence[Halfway]) -> None:
        """Has the trainings that are under way written; the checkpoint before stays as well."""
        self._last = time.monotonic()
        if self._writer is None or self._writer.error is not None:
            # While results can't be written, states would only fill the memory.
            return
        self._is_new &= not any(len(some.stage) for some in halfway)
        self._number += 1
        number, counts = self._number, (self._appends, self._entries)

        def write(connection: sqlite3.Connection) -> None:
            try:
                sha256 = checkpoints.write(self.folder, number, halfway)
            except OSError as error:
                # Results matter more, and may still find room.
                self.trouble = error
                return
            kept = schema.write_checkpoint(connection, number, sha256, *counts, most=checkpoints.KEPT)
            checkpoints.drop(self.folder, kept)
            self.trouble = None

        self._writer.put(write)

    def close(self, results: Results) -> None:
        """Writes the rest, and the tables; what can't be written is warned of, and stays in the results."""
        if self._writer is None:
            return
        values = known(results) | {"spec": schema.head(results.spec)}
        self._writer.put(lambda connection: schema.write_study(connection, values))
        self._writer.end()
        self.trouble, self._writer = self._writer.error or self.trouble, None
        try:
            export(self.folder, results)
        except OSError as error:
            self.trouble = self.trouble or error
        if self.trouble is not None:
            warnings.warn(
                f"not everything could be written into {self.folder} ({self.trouble}): the study has all results, and "
                "study.save(folder) writes them elsewhere",
                RuntimeWarning,
                stacklevel=2,
            )


def folder_or_nowhere(folder: str | Path | Nowhere | None) -> Nowhere:
    """The store for what a user gives as `store`.

    Raises:
      TypeError: it is no path.
      ValueError: it is empty, or can't be written.
    """
    if isinstance(folder, Nowhere):
        return folder
    if not isinstance(folder, str | Path | None):
        raise TypeError(f"store is {shown(folder)}, but must be the path of a folder, such as 'runs/digits'")
    if folder == "":
        raise ValueError("store is empty, but must be the path of a folder, such as 'runs/digits'")
    return Nowhere() if folder is None else Folder(folder)


def add_note(folder: str | Path, name: str, value: Any) -> None:
    """Notes something about a stored study that isn't being trained, for `load_note`.

    Raises:
      FileNotFoundError: there is no study.
      ValueError: another process writes to it.
      OSError, sqlite3.Error: it can't be written.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise FileNotFoundError(f"there is no study in {folder}")
    check_file(path)
    lock = Lock(Path(folder))
    try:
        with contextlib.closing(connected(path)) as connection:
            schema.upgrade(connection, schema.check(connection, str(path)))
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                schema.write_study(connection, {name: value})
    finally:
        lock.release()


def write(folder: str | Path, results: Results) -> Path:
    """Writes results into a folder, made if need be, as a study does: a database and tables.

    Raises:
      ValueError: another study is there, or it can't be written.
      OSError: the disk is full.
    """
    # What trainings kept may have to be read from there first.
    blocks = list(results.blocks())
    with Folder(folder) as store:
        stored, wanted = store.stored(), results.spec
        if stored and (schema.head(stored), stored.settings) != (schema.head(wanted), wanted.settings):
            raise ValueError(f"{folder} has another study: take another folder")
        store.forget()
        store.open(results.spec)
        store.append(results, blocks)
        store.close(results)
        if store.trouble is not None:
            raise store.trouble
    return Path(folder)
