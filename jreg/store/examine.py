"""What state a study's folder is in."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from jreg._base.names import cut
from jreg.store import checkpoints
from jreg.store.lock import NAME as LOCK
from jreg.store.lock import is_held
from jreg.store.reading import NAME, reading


class Examined(NamedTuple):
    """What a folder's state is.

    Attributes:
      state: of the database, in words.
      damaged: whether it is.
      checkpoints: of each one what it has, in words, and whether it is whole.
      holder: the process that writes to it, or "".
    """

    state: str
    damaged: bool
    checkpoints: tuple[tuple[str, bool], ...]
    holder: str


def examine(folder: str | Path) -> Examined:
    """Looks at a study's folder, and changes nothing in it."""
    folder, found = Path(folder), []
    try:
        with reading(folder / NAME) as connection:
            problems = [text for [text] in connection.execute("PRAGMA integrity_check(3)")]
            rows = connection.execute("SELECT number, sha256 FROM checkpoint ORDER BY number DESC").fetchall()
        state = (
            "whole" if problems == ["ok"] else f"damaged: {cut('; '.join(map(str, problems)).replace(chr(10), ' '))}"
        )
    except ValueError as error:
        problems, rows, state = [], [], str(error)
    for number, sha256 in rows:
        try:
            under_way = sum(len(some.fold) for some in checkpoints.read(folder, number, sha256))
            found.append((f"{number}, whole, with {under_way} trainings under way", True))
        except ValueError as error:
            found.append((cut(str(error)), False))
        except (TypeError, KeyError) as error:
            found.append((f"{number}, of another version of jreg ({cut(str(error))})", False))
    return Examined(state, problems != ["ok"], tuple(found), _holder(folder))


def _holder(folder: Path) -> str:
    if not is_held(folder):
        return ""
    with contextlib.suppress(OSError), (folder / LOCK).open("rb") as file:
        return cut(file.read(100).decode(errors="replace").strip(), 60) or "another process"
    return "another process"
