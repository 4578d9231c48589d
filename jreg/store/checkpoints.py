"""Files with the trainings that are under way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jreg._base.files import write_bytes
from jreg._base.tensors import packed, unpacked
from jreg.store.protocol import Halfway

NAME = "checkpoints"
# How many stay: the one before the last is there for when the last is damaged.
KEPT = 2
_IDENTITY = ("settings", "fold", "seed", "stage", "place")


def file_of(folder: Path, number: int) -> Path:
    """Where a checkpoint is."""
    return folder / NAME / f"{number:06}.safetensors"


def write(folder: Path, number: int, halfway: Sequence[Halfway]) -> str:
    """Writes a checkpoint; returns its SHA-256.

    Raises:
      OSError: it can't be written.
    """
    arrays = {}
    for place, some in enumerate(halfway):
        own = {name: np.asarray(getattr(some, name), np.int64) for name in _IDENTITY}
        states = {f"state/{name}": array for name, array in some.state.items()}
        arrays |= {f"{place}/{name}": array for name, array in (own | states).items()}
    data = packed(arrays, {"static": json.dumps([some.static for some in halfway])})
    file = file_of(folder, number)
    if file.parent.is_symlink():
        raise OSError(f"{file.parent} is a link, which jreg doesn't follow in the folder of a study")
    file.parent.mkdir(exist_ok=True)
    write_bytes(file, data)
    return hashlib.sha256(data).hexdigest()


def read(folder: Path, number: int, sha256: str) -> list[Halfway]:
    """The trainings of a checkpoint.

    Raises:
      ValueError: it is damaged, or isn't there.
    """
    file = file_of(folder, number)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ValueError(f"the checkpoint {file} can't be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"the checkpoint {file} is damaged: it isn't what was written")
    arrays, metadata = unpacked(data)
    found = []
    try:
        for place, static in enumerate(json.loads(metadata["static"])):
            own = {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{place}/")}
            identity = {name: own.pop(name) for name in _IDENTITY}
            state = {name.split("/", 1)[1]: array for name, array in own.items()}
            found.append(Halfway(static=static, state=state, **identity))
    except (KeyError, IndexError) as error:
        raise ValueError(f"the checkpoint {file} was written by another version: it lacks {error}") from None
    return found


def drop(folder: Path, kept: Sequence[int]) -> None:
    """Deletes the files of all other checkpoints, also of those that were not finished."""
    names = {file_of(folder, number).name for number in kept}
    for file in (folder / NAME).glob("*"):
        if file.name not in names and (file.suffix == ".safetensors" or file.name.startswith(".")):
            file.unlink(missing_ok=True)
