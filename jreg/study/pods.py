"""A study that JAX's own processes share: which share is whose, and how the shares are joined."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jreg.results import Results
from jreg.store import Beside, Folder, Nowhere, folder_or_nowhere, load_results, merge
from jreg.study.shards import Shard

# For how many seconds at least a process that has ended its share waits for news of the others, and from one look at
# their stores to the next.
_PATIENCE, _PAUSE = 60.0, 0.5


def share_of(
    shard: str | Sequence[int] | None, store: str | Path | Nowhere | None, executor: Any = None
) -> tuple[Nowhere, Shard | None]:
    """The store and the share of this process, or None for the whole study, which an executor always trains.

    After `jax.distributed.initialize()` a process takes the share of its number into a folder of its own inside,
    unless it is given a shard, or a store that is no folder. The processes exchange nothing.

    Raises:
      TypeError, ValueError: there is no such shard, or the store can't be written.
    """
    own, kept = None if shard is None else Shard.named(shard), folder_or_nowhere(store)
    if executor is not None:
        return kept, None
    if own is not None or type(kept) is not Folder or not jax.distributed.is_initialized():
        return kept, None if own is not None and own.of == 1 else own
    own, root = Shard(jax.process_index(), jax.process_count()), kept.folder
    others = [root, *sorted(root.glob("shard-*-of-*")), *(root / one.folder for one in own.all())]
    folder = root if own.of == 1 else root / own.folder
    return Beside(folder, list(dict.fromkeys(others)), own.owns, kept.checkpoint_seconds), None if own.of == 1 else own


def join(store: Nowhere, own: Shard | None, results: Results, begun: float) -> None:
    """Ends the share of one of JAX's processes: waits for the others, and as process 0 joins all shares.

    Args:
      store: of this process.
      own: its share.
      results: of its share.
      begun: when it began, by `time.monotonic`.
    """
    if own is None or not isinstance(store, Beside):
        return
    root = store.folder.parent
    # A share that its time limit has ended is joined when it has been gone on with.
    left = [own] if own.left(results)[0] else _waited(root, own, results, max(_PATIENCE, time.monotonic() - begun))
    if own.number != 0:
        return
    why = f"of {len(left)} of {own.of} shards not all trainings are there"
    try:
        if not left:
            merge([root / one.folder for one in own.all()], root)
            return
    except (ValueError, OSError) as error:
        why = str(error)
    command = f"jreg merge {root}/shard-*-of-{own.of} --out {root}"
    warnings.warn(f"the shards aren't joined yet ({why}): {command} joins what there is", RuntimeWarning, stacklevel=3)


def _waited(root: Path, own: Shard, results: Results, patience: float) -> list[Shard]:
    """The other shards that have not ended when all have, or when there was no news of them for so many seconds.

    JAX ends all processes that still train some minutes after the first one has left, so each of them waits here.
    """
    others = [one for one in own.all() if one != own]
    known, news = -len(others) - 1, time.monotonic()
    while True:
        begun = time.monotonic()
        found = [_looked(root / one.folder, one, results) for one in others]
        now = time.monotonic()
        if (count := sum(number for number, _ in found)) > known:
            known, news = count, now
        # Where each machine has a disk of its own, the folders of the others will never be seen.
        unseen = any(number < 0 for number, _ in found)
        left = [one for one, (_, ended) in zip(others, found, strict=True) if not ended]
        if not left or now > news + (_PATIENCE if unseen else patience):
            return left
        time.sleep(max(_PAUSE, 5 * (now - begun)))


def _looked(folder: Path, shard: Shard, own: Results) -> tuple[int, bool]:
    """How many trainings another process has stored, -1 for one without a store, and whether its share has ended."""
    try:
        results = load_results(folder)
    except FileNotFoundError:
        return -1, False
    except ValueError:
        return 0, False
    return len(results), results.spec.digest == own.spec.digest and not shard.left(results)[0]
