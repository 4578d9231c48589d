"""Targets and the task that they are for."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg._base.types import PyTree
from jreg.data.arrays import check_digits, float32, integer, is_floating, is_tree, numbers, refuse, structure

TASKS = ("classification", "multilabel", "regression")
_WANTED = "'classification' (class labels; one per example has shape (n,)), 'multilabel' or 'regression' (floating)"


def check_word(task: str | None, name: str) -> None:
    """Raises ValueError unless `task` is one of the three or left open."""
    if task is not None and task not in TASKS:
        raise ValueError(f"{name}'s task is {task!r}, but must be 'classification', 'multilabel' or 'regression'")


def target(values: Any, name: str, whole: bool = False) -> np.ndarray:
    """One array of targets: floating ones in float32, integers in int32.

    Raises:
      ValueError: the shape isn't that of targets, a value is NaN, infinite or too large, or float32 loses what tells
        the rows apart, which is looked at where they are the `whole` of them.
      TypeError: it doesn't hold real numbers.
    """
    array = numbers(values, name)
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise ValueError(f"{name} has shape {array.shape}, but must be one target per row, (n,), or several, (n, k)")
    if not is_floating(array):
        return integer(array, np.int32, name)
    refuse(~np.isfinite(array), f"{name} has NaN or infinity (first in row {{row}}): remove the row")
    short = float32(array, name)
    if whole:
        # A tenth of a deviation costs a score at most a hundredth of the variance.
        check_digits(array, name, 0.1)
    return short


def seen_task(y: PyTree, name: str) -> str:
    """The task, where converted targets show it.

    Raises:
      ValueError: they don't.

    >>> seen_task(np.array([0, 2, 1]), "y"), seen_task(np.eye(2, dtype=int), "y"), seen_task(np.zeros(3), "y")
    ('classification', 'multilabel', 'regression')
    """
    if is_tree(y):
        found = f"has {structure(y)}"
    elif is_floating(y):
        return "regression"
    elif y.ndim == 1:
        return "classification"
    elif y.ndim > 2:
        found = f"has integers of shape {y.shape}"
    elif np.isin(y, (0, 1)).all():
        return "multilabel"
    else:
        found = f"has integers of shape {y.shape} that aren't all 0 and 1"
    raise ValueError(f"{name} {found}, which doesn't show the task: give task={_WANTED}")


def check_task(y: PyTree, task: str, name: str) -> None:
    """Raises ValueError unless converted targets are those of the task; what a tree must hold depends on its loss."""
    if is_tree(y):
        return
    if (task == "regression") != is_floating(y):
        found, wanted = "floating numbers", "integers"
        if task == "regression":
            found, wanted = wanted, "floating numbers: .astype(numpy.float32) makes them"
        raise ValueError(f"{name} has {found}, but task={task!r} needs {wanted}")
    if task == "multilabel":
        if y.ndim == 1:
            raise ValueError(f"{name} has shape {y.shape}, but task='multilabel' needs a column per label, (n, k)")
        if not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"{name} has {y[~np.isin(y, (0, 1))][0]} in a column of labels, but must have 0 and 1: numbers to "
                "predict are floating, and one class per example has shape (n,)"
            )
    if task == "classification" and y.size:
        if int(y.min()) < 0:
            raise ValueError(f"{name} has label {y.min()}, out of range: labels are 0 to K - 1")
        # A label near 2**31 is a mistake, and would ask for as many output units.
        if int(y.max()) >= 2**20:
            raise ValueError(f"{name} has label {y.max()}, out of range: labels are 0 to K - 1, K at most 2**20")
