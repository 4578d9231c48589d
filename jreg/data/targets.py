"""Targets and the task that they are for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jreg._base.types import PyTree
from jreg.data._labels import labels_in
from jreg.data.arrays import check_digits, float32, integer, is_floating, is_tree, numbers, refuse, structure
from jreg.data.encoding import Encoder, of_labels

TASKS = ("classification", "multilabel", "regression")
_WANTED = "'classification' (class labels; one per example has shape (n,)), 'multilabel' or 'regression' (floating)"


def check_word(task: str | None, name: str) -> None:
    """Raises ValueError unless `task` is one of the three or left open."""
    if task is not None and task not in TASKS:
        raise ValueError(f"{name}'s task is {task!r}, but must be 'classification', 'multilabel' or 'regression'")


def coded(
    y: Any, y_test: Any, task: str | None, labels: Sequence[str], encoder: Encoder | None, name: str
) -> tuple[Any, Any, Encoder | None]:
    """Targets with class numbers in place of labels that are texts, or -1 and 1, and the encoder that has both.

    Raises:
      ValueError: a label of the test set isn't one of the others.
      TypeError: labels are texts, and those of the test set aren't, or the task needs numbers.
    """
    texts = _are_texts(y)
    if encoder is None or (encoder.task == "classification" and not encoder.labels):
        if task not in (None, "classification") or not (texts or _are_signs(y, task)):
            if texts:
                raise TypeError(
                    f"{name}'s y holds texts, but task={task!r} needs numbers: .astype(float) converts them"
                )
            return y, y_test, encoder
        found = (labels or labels_in(y)) if texts else (-1, 1)
        encoder = of_labels(found) if encoder is None else dataclasses.replace(encoder, labels=found)
        if texts and y_test is not None and not _are_texts(y_test):
            raise TypeError(f"{name}'s y holds texts, but its y_test doesn't: give both as texts")
    elif task in ("classification", "regression") and task != encoder.task:
        y, y_test = encoder.decode(y), None if y_test is None else encoder.decode(y_test)
        encoder = dataclasses.replace(encoder, task=task, labels=labels_in(y) if task == "classification" else ())
        if task == "classification":
            y, y_test = (None if part is None else encoder.encode_target(part, f"{name}'s y") for part in (y, y_test))

    def numbered(values: Any, part: str) -> Any:
        signs = not is_tree(values) and -1 in encoder.labels and np.size(values) and np.min(values) < 0
        return encoder.encode_target(values, f"{name}'s {part}") if _are_texts(values) or signs else values

    return numbered(y, "y"), None if y_test is None else numbered(y_test, "y_test"), encoder


def _are_texts(values: Any) -> bool:
    array = _array(values)
    if array is None or array.dtype.kind != "O":
        return array is not None and array.dtype.kind in "UST"
    return any(isinstance(value, str) for value in array)


def _are_signs(values: Any, task: str | None) -> bool:
    """Whether these are labels -1 and 1; floating ones may be numbers to predict, unless the task is given."""
    array = _array(values)
    if array is None or array.dtype.kind not in ("if" if task else "i"):
        return False
    return np.array_equal(np.unique(array), (-1, 1))


def _array(values: Any) -> np.ndarray | None:
    """One value per row as an array, None where it is anything else."""
    if is_tree(values):
        return None
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    return array if array.ndim == 1 and array.size else None


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


def as_task(y: PyTree, task: str | None, name: str) -> PyTree:
    """Converted targets in the dtype of the task that is given, where they can be.

    >>> as_task(np.array([0.0, 2.0]), "classification", "y"), as_task(np.array([0, 2]), "regression", "y")
    (array([0, 2], dtype=int32), array([0., 2.], dtype=float32))
    """
    if task is None or is_tree(y) or is_floating(y) == (task == "regression"):
        return y
    if task == "regression":
        return float32(y, name)
    whole = np.array_equal(y, np.round(y)) and (y.ndim == 1 or task == "multilabel")
    return integer(y, np.int32, name) if whole else y


def _are_one_hot(y: np.ndarray) -> bool:
    # A few rows may have one label each by chance.
    if y.ndim != 2 or y.shape[1] < 2 or len(y) < 10:
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all() and y.any(axis=0).sum() > 1)


def seen_task(y: PyTree, name: str) -> str:
    """The task, where converted targets show it.

    Raises:
      ValueError: they don't.

    >>> seen_task(np.array([0, 2, 1]), "y"), seen_task(np.ones((2, 2), int), "y"), seen_task(np.zeros(3), "y")
    ('classification', 'multilabel', 'regression')
    """
    if is_tree(y):
        found = f"has {structure(y)}"
    elif _are_one_hot(y):
        raise ValueError(
            f"{name} has a single 1 in every row, as one-hot labels of {y.shape[1]} classes have: give class numbers, "
            "y.argmax(-1), or say task='multilabel' or task='regression' (--task) where it is meant so"
        )
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
        wanted = "0 and 1" if task == "multilabel" else "whole ones (n,), such as y.argmax(-1) of one-hot labels"
        raise ValueError(f"{name} has floating numbers, but task={task!r} needs {wanted}")
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
            raise ValueError(
                f"{name} has label {y.min()}, out of range: labels are 0 to K - 1, or -1 and 1, or texts, which "
                ".astype(str) makes of any others; numbers to predict are floating, or have task='regression'"
            )
        # A label near 2**31 is a mistake, and would ask for as many output units.
        if int(y.max()) >= 2**20:
            raise ValueError(f"{name} has label {y.max()}, out of range: labels are 0 to K - 1, K at most 2**20")
