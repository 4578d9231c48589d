"""Arguments that the functions of scores have in common."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np


def number(value: Any, name: str, wanted: str) -> float:
    """`value` as a float; raises TypeError where it is no number."""
    if isinstance(value, bool | np.bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, but must be {wanted}")
    return float(value)


def confidence(value: Any, name: str) -> float:
    """`value` as a float; raises unless it lies between 0 and 1, without these."""
    found = number(value, name, "a number between 0 and 1, such as 0.95 for 95%")
    if not 0 < found < 1:
        raise ValueError(f"{name} is {value}, but must lie between 0 and 1, such as 0.95 for 95%")
    return found


def level(value: Any, name: str) -> float:
    """`value` as a float; raises unless it is a probability above 0 and below 1."""
    found = number(value, name, "a probability, such as 0.05")
    if not 0 < found < 1:
        raise ValueError(f"{name} is {value}, but must lie between 0 and 1, such as 0.05")
    return found


def test_share(value: Any, name: str) -> float:
    """`value` as a float; raises unless it can be validation rows divided by training rows."""
    wanted = "the validation rows of a fold divided by its training rows, such as 0.25 in 5 folds"
    found = number(value, name, wanted)
    if not (found >= 0 and math.isfinite(found)):
        raise ValueError(f"{name} is {value}, but must be finite and at least 0: {wanted}")
    return found


def scores(values: Any, name: str) -> np.ndarray:
    """`values` as float64; raises unless their last two axes are folds and seeds."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise TypeError(f"{name} have dtype {found.dtype}, but must be numbers")
    if found.ndim < 2 or 0 in found.shape[-2:]:
        raise ValueError(
            f"{name} have shape {found.shape}, but must have one of (..., folds, seeds) with at least one of each"
        )
    return found.astype(np.float64)
