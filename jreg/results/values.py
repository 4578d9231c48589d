"""Hyperparameters as text: what makes two settings the same, and how they are written down."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base.names import qualified_name


def canonical(setting: Mapping[str, Any]) -> str:
    """A setting as JSON: two settings are the same when this text is.

    Numbers are taken by value, so that 1 and 1.0 are one and -0.0 is 0; infinities are text; a function is its
    qualified name.

    Raises:
      ValueError: a value is a lambda or a local function, which another process couldn't name.

    >>> canonical({"l2": 1.0, "width": 64}) == canonical({"width": 64, "l2": 1})
    True
    """
    return json.dumps({name: _value(name, setting[name]) for name in sorted(setting)}, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN becomes None, infinity text, a function its qualified name, others their repr.

    >>> plain({"l2": np.float32(0.5), "c": float("inf"), "scores": [float("nan")], "activation": math.tanh})
    {'l2': 0.5, 'c': 'inf', 'scores': [None], 'activation': 'math.tanh'}
    """
    # Most are these.
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        whole = value.dtype.kind in "biu" or (value.dtype.kind == "f" and np.isfinite(value).all())
        return value.tolist() if whole else plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return qualified_name(value) or repr(value)


def restored(axes: Mapping[str, Sequence[Any]], traced: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Axes or settings as they were before `plain`: traced values are floats again, lists are tuples."""
    return {name: tuple(float(v) if name in traced else tuples(v) for v in values) for name, values in axes.items()}


def tuples(value: Any) -> Any:
    """A value with tuples for lists.

    >>> tuples([1, [2.0]])
    (1, (2.0,))
    """
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def _value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value == int(value) else value
    if isinstance(value, list | tuple):
        return [_value(name, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _value(name, item) for key, item in value.items()}
    found = qualified_name(value)
    if found is not None and ("<lambda>" in found or "<locals>" in found):
        raise ValueError(
            f"hyperparameter {name!r} has the value {found}, which no other process can name: define the function at "
            "the top of a module, or give its name and look it up in the recipe"
        )
    return found or repr(value)
