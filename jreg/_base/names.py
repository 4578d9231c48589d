"""What functions and classes are called outside of this process, and leaves in their tree."""

from __future__ import annotations

from typing import Any

import jax

from jreg._base.types import Path


def qualified_name(value: Any) -> str | None:
    """``module.name`` of a function or class; None for anything else.

    >>> import math
    >>> qualified_name(math.tanh), qualified_name("tanh")
    ('math.tanh', None)
    """
    name, module = getattr(value, "__qualname__", None), getattr(value, "__module__", None)
    return f"{module}.{name}" if callable(value) and name and module else None


def path_of(keys: tuple[Any, ...]) -> Path:
    """A leaf's key path as text, ``"Dense_0/kernel"``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")
