"""What is taken from a file that nobody vouches for: regular files only, and no more than fits into memory."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Generator
from pathlib import Path

from jreg._base.machine import free_memory

# Where nobody knows how much memory is free.
_MOST_BYTES = 16 * 2**30
# Below it, asking the machine what is free isn't worth the time.
_FEW_BYTES = 2**26


def opened(path: Path) -> io.BufferedReader:
    """A regular file, or a link to one, open for reading; a pipe or a device may have no end, and none is waited for.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is something else, such as a folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    # A pipe without a writer opens at once this way, so that it can be looked at.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    # Looked at when it is open: what stands under a name may change in between.
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ValueError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}, but must be a file")
    return open(descriptor, "rb")


def free_bytes() -> int:
    """How many bytes this process may still take: as the machine says, and as `ulimit -v` does."""
    free = free_memory()
    return min(_MOST_BYTES if free is None else free, _address_space())


def _address_space() -> int:
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return 2**63
        return max(0, most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    except (ImportError, OSError, ValueError):  # as on Windows
        return 2**63


def check_room(size: int, what: str, advice: str) -> None:
    """Raises ValueError, with the advice, where `size` bytes are more than are free."""
    if size <= _FEW_BYTES:
        return
    free = free_bytes()
    if size > free:
        raise ValueError(
            f"{what} would take {size / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free: {advice}"
        )


@contextlib.contextmanager
def within_memory(name: str) -> Generator[None]:
    """Says in a sentence that there was no memory, which Python and NumPy say in none."""
    try:
        yield
    except MemoryError:
        raise ValueError(f"{name} doesn't fit into the memory that is free: take fewer rows or columns") from None
