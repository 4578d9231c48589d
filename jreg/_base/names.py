"""What functions and classes are called outside of this process, leaves in their tree, and lists in sentences."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import jax

from jreg._base.types import Path

# Also what turns the direction of writing, and halves of pairs that no encoding has.
_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


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


def shown(value: Any, most: int = 60) -> str:
    """A value in a sentence: its repr where that is short, a function or class by its name, others by their type.

    >>> shown("mse"), shown(sum), shown(int), shown(list(range(99)))
    ("'mse'", 'the function sum', 'the class int', 'a list')
    """
    if callable(value) and hasattr(value, "__name__"):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    text = repr(value)
    return text if len(text) <= most and text.isprintable() and " at 0x" not in text else f"a {type(value).__name__}"


def listed(items: Collection[Any], most: int = 12) -> str:
    """Items in a sentence, cut where there are more than a person reads.

    >>> listed(["l2", "dropout"]), listed(range(300_000), 3), listed([])
    ('l2, dropout', '0, 1, 2 and 299,997 more', 'none')
    """
    first = ", ".join(str(item) for item, _ in zip(items, range(most), strict=False))
    more = len(items) - most
    return f"{first} and {more:,} more" if more > 0 else first or "none"


def cut(text: str, most: int = 300) -> str:
    """A text in a sentence, with an ellipsis in place of its middle where it is longer than a person reads.

    >>> cut("abcdefghij", 7), cut("abc", 7)
    ('abcd...hij', 'abc')
    """
    return text if len(text) <= most else f"{text[: most - most // 2]}...{text[len(text) - most // 2 :]}"


def printable(text: str, lines: bool = False) -> str:
    r"""Text as a terminal may have it: control characters as the escapes that Python writes.

    `lines` keeps line feeds and tabs.

    >>> printable("a\x1b[31mred\n"), printable("one\ntwo", lines=True)
    ('a\\x1b[31mred\\n', 'one\ntwo')
    """

    def escaped(found: re.Match[str]) -> str:
        return found[0] if lines and found[0] in "\n\t" else repr(found[0])[1:-1]

    return re.sub(_CONTROLS, escaped, text)
