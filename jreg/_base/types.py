"""Aliases and protocols shared by every level; no logic lives here."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
Scalar: TypeAlias = float | jax.Array
PyTree: TypeAlias = Any
Path: TypeAlias = str
Where: TypeAlias = str | re.Pattern[str] | Callable[[Path, Any], bool] | PyTree
Static: TypeAlias = Hashable


class Model(NamedTuple):
    """A network as pure functions; what every later level trains.

    Attributes:
      init: ``(key, x) -> (params, state)``; `state` holds what training updates without gradients
        (running averages) and is an empty dict for most networks.
      apply: ``(params, state, x, *, train, key, mask) -> (outputs, state)``; `mask` is None or marks with
        True the rows of `x` that are data and not padding.
      capture: like apply, but returns ``(outputs, state, activations)`` with the hidden activations by path; None
        for a network that shows none.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree]]
    capture: Callable[..., tuple[Array, PyTree, dict[str, Array]]] | None = None
