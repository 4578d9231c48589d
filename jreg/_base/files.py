"""Files that are written whole or not at all, and folders to write them into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces a file in one step, which also survives that the machine stops."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to write bit by bit, which takes the place of another one when everything is written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Has the names in a folder on the disk, where the system can say so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_folder(folder: str | Path) -> None:
    """Raises ValueError where a folder can't be written, before the work that it is for; makes nothing."""
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"results can't be written into {folder}: {there} is no folder, or not one to write into")


def free_folder(path: Path) -> Path:
    """Makes `path`, or the first of path-2, path-3, ... that doesn't exist yet, so that nobody else can take it."""
    number, free = 1, path
    while True:
        try:
            free.mkdir(parents=True)
        except FileExistsError:
            number += 1
            free = path.with_name(f"{path.name}-{number}")
        else:
            return free
