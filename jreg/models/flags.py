"""What networks of Flax call the argument that says whether they train."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

_TRAINS = ("train", "training", "is_training", "is_train")
_RESTS = ("deterministic", "inference", "use_running_average", "eval", "evaluate")


def flags(train: bool, accepted: Container[str], **more: Any) -> dict[str, Any]:
    """The arguments of a call by name, as far as they are `accepted`.

    >>> flags(True, ("x", "is_training", "deterministic"), mask=None)
    {'is_training': True, 'deterministic': False}
    """
    known = dict.fromkeys(_TRAINS, train) | dict.fromkeys(_RESTS, not train) | more
    return {name: value for name, value in known.items() if name in accepted}
