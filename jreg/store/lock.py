"""One writer per folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from jreg._base.names import cut

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

NAME = "study.lock"


class Lock:
    """Held from when it is made to `release`.

    Args:
      folder: that this process alone may write to.

    Raises:
      ValueError: another process holds it, or its file is a link.
    """

    def __init__(self, folder: Path):
        if (folder / NAME).is_symlink():
            # What it names would be written over.
            raise ValueError(f"{folder / NAME} is a link, which jreg doesn't follow: remove it")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor: int | None = os.open(folder / NAME, flags, 0o644)
        if not _try(self._descriptor):
            holder = cut(os.read(self._descriptor, 100).decode(errors="replace").strip(), 60)
            self.release()
            raise ValueError(
                f"{folder} is being written by {holder or 'another process'}: wait until it has ended, or take "
                "another folder"
            )
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Lets others write; the file stays, since another process may be waiting for it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(folder: Path) -> bool:
    """Whether a process that is alive writes to a folder."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return not _try(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _try(descriptor: int, shared: bool = False) -> bool:
    if fcntl is None:
        return True
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    return False
