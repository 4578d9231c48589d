"""Files that are written whole or not at all, and folders to write them into."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def check_folder(folder: str | Path) -> None:
    """Raises ValueError where a folder can't be written, before the work that it is for; makes nothing."""
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"results can't be written into {folder}: {there} is no folder, or not one to write into")


def free_folder(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that doesn't exist yet, so that no results are overwritten."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
