"""A data set in memory, checked once when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples and targets, with a test set that no study looks at before the end.

    Args:
      x: ``(n, ...)`` examples; uint8 stays uint8 on the device, anything else becomes float32.
      y: ``(n,)`` targets; integers are class labels 0 to K - 1, floating ones are numbers to predict.
      x_test, y_test: the held-out test set in the same form, or None.
      name: what tables and folders call it.

    Raises:
      ValueError: the arrays' shapes don't fit, a value is NaN or infinite, or a label is out of range.
      TypeError: an array doesn't hold real numbers.

    >>> data = Dataset(x=[[0.0], [1.0]], y=[0, 1], name="two points")
    >>> data.x.dtype, data.task, data.classes
    (dtype('float32'), 'classification', 2)
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError(f"{self.name} has one of x_test and y_test, but needs both or neither")
        for part in ("", "_test"):
            if getattr(self, "x" + part) is not None:
                x = _examples(getattr(self, "x" + part), f"{self.name}'s x{part}")
                y = _targets(getattr(self, "y" + part), f"{self.name}'s y{part}")
                if len(x) != len(y):
                    raise ValueError(f"{self.name} has {len(x)} rows in x{part} but {len(y)} in y{part}")
                object.__setattr__(self, "x" + part, x)
                object.__setattr__(self, "y" + part, y)
        if self.x_test is not None and self.y_test is not None:
            if self.x_test.shape[1:] != self.x.shape[1:]:
                raise ValueError(
                    f"{self.name}'s test examples have shape {self.x_test.shape[1:]}, the others {self.x.shape[1:]}"
                )
            if (self.y_test.dtype.kind == "i") != (self.task == "classification"):
                raise ValueError(f"{self.name}'s y is {self.y.dtype}, but its y_test is {self.y_test.dtype}")
            if self.task == "classification" and self.y_test.size and self.y_test.max() >= self.classes:
                raise ValueError(
                    f"{self.name}'s y_test has label {self.y_test.max()}, out of range: y has labels 0 to "
                    f"{self.classes - 1}"
                )

    @property
    def task(self) -> str:
        """``"classification"`` for integer targets, else ``"regression"``."""
        return "classification" if self.y.dtype.kind == "i" else "regression"

    @property
    def classes(self) -> int:
        """How many classes there are; 1 for regression."""
        return int(self.y.max()) + 1 if self.task == "classification" else 1

    def __repr__(self) -> str:
        test = "no test set" if self.y_test is None else f"{len(self.y_test)} test rows"
        return f"Dataset({self.name}: {len(self.y)} rows of {self.x.shape[1:]} {self.x.dtype}, {self.task}, {test})"


def _numbers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, but must hold real numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name} has NaN or infinity (first in row {row}): remove or impute it")
    return array


def _float32(array: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        short = array.astype(np.float32)
    if not np.isfinite(short).all():
        raise ValueError(f"{name} has {np.abs(array).max():g}, which float32 can't hold: scale it down")
    return short


def _examples(values: Any, name: str) -> np.ndarray:
    array = _numbers(values, name)
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, but must be rows of features, (n, ...), n at least 1")
    return array if array.dtype == np.uint8 else _float32(array, name)


def _targets(values: Any, name: str) -> np.ndarray:
    array = _numbers(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, but must be one target a row, (n,)")
    if array.dtype.kind == "f":
        return _float32(array, name)
    if array.size and int(array.min()) < 0:
        raise ValueError(f"{name} has label {array.min()}, out of range: labels are 0 to K - 1")
    # A label near 2**31 is a mistake, and would ask for as many output units.
    if array.size and int(array.max()) >= 2**20:
        raise ValueError(f"{name} has label {array.max()}, out of range: labels are 0 to K - 1, K at most 2**20")
    return array.astype(np.int32)
