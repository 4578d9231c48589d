"""What the machine has left for this process."""

from __future__ import annotations

import os
from pathlib import Path

# A group of processes has its limit, its use and, in a table, the part of that which the kernel would give back.
_VERSIONS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process may still take before it is ended; None: nobody knows.

    The least of what the machine has free and what the limits of its control groups, as of a container or a batch
    job, leave.

    Args:
      root: where ``proc`` and ``sys`` are.
    """
    free = [_machine(root / "proc/meminfo")]
    for controllers, group in _groups(root / "proc/self/cgroup"):
        if controllers not in _VERSIONS:
            continue
        top = root / "sys/fs/cgroup" / controllers
        # A container sees its own group as the topmost one, whatever the name says.
        folder = top / group.strip("/")
        free += [
            _left(place, *_VERSIONS[controllers])
            for place in (folder, *folder.parents)
            if top in (place, *place.parents)
        ]
    known = [number for number in free if number is not None]
    return max(0, min(known)) if known else None


def _machine(meminfo: Path) -> int | None:
    try:
        return _table(meminfo)["MemAvailable:"] * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None


def _groups(cgroup: Path) -> list[tuple[str, str]]:
    try:
        lines = [line.split(":", 2) for line in cgroup.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    return [(line[1], line[2]) for line in lines if len(line) == 3]


def _left(folder: Path, limit: str, usage: str, given_back: str) -> int | None:
    try:
        used = int((folder / usage).read_text()) - _table(folder / "memory.stat").get(given_back, 0)
        # "max" is no number, and means that there is no limit.
        return int((folder / limit).read_text()) - used
    except (OSError, ValueError):
        return None


def _table(path: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines()) if len(words) > 1}
