"""Short representations: shapes instead of arrays, so that a prompt or a log line stays readable."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from jreg._base.names import shown


def brief(value: Any) -> str:
    """The fields of a NamedTuple or a dataclass in a line, without those that are empty, for its ``__repr__``.

    >>> import numpy as np, typing
    >>> class Found(typing.NamedTuple):
    ...     name: str
    ...     scores: np.ndarray
    ...     kept: dict
    ...     note: str = ""
    ...     __repr__ = brief
    >>> Found("l2", np.zeros((3, 2)), {"a": np.ones(4), "b": np.ones(6)})
    Found(name='l2', scores=float64[3, 2], kept=2 arrays of 10 numbers)
    """
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        names = list(value._fields)
    given = {name: getattr(value, name) for name in names}
    texts = [f"{name}={_text(part)}" for name, part in given.items() if not _is_empty(part)]
    return f"{type(value).__name__}({', '.join(texts)})"


def _is_empty(part: Any) -> bool:
    return part is None or part is False or (isinstance(part, str | tuple | list | dict) and not part)


def _text(part: Any) -> str:
    if hasattr(part, "dtype"):
        return f"{part.dtype}{list(part.shape)}"
    if isinstance(part, dict | list | tuple):
        arrays = [leaf for leaf in jax.tree.leaves(part) if hasattr(leaf, "dtype")]
        if arrays:
            return f"{len(arrays)} arrays of {sum(leaf.size for leaf in arrays)} numbers"
        return shown(part, most=100) if len(part) < 20 else f"{len(part)} items"
    return shown(part, most=100)
