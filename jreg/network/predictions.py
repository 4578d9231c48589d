"""Outputs of a network as probabilities, labels and values."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg._base.types import Array
from jreg.data.arrays import structure


def probabilities_of(outputs: Any, link: str | None, task: str) -> np.ndarray:
    """The classes' probabilities, ``(n, ..., K)``; of several labels each one's own, ``(n, k)``.

    Args:
      outputs: of the network, ``(n, ..., K)``; ``(n, 1)`` or ``(n,)`` for two classes with one output.
      link: of the loss.
      task: of the data.

    Raises:
      ValueError: the loss says nothing of probabilities, or there are none in a regression.
      TypeError: the outputs are several arrays.
    """
    if task == "regression":
        raise ValueError("a regression has no classes, so there are no probabilities: predict gives the values")
    check_one(outputs)
    if link not in ("softmax", "sigmoid"):
        raise ValueError(
            f"the recipe's loss has the link {link!r}, which gives no probabilities: use a loss such as "
            "losses.softmax_cross_entropy, or state yours by my_loss.link = 'softmax' or 'sigmoid'"
        )
    from scipy.special import expit, softmax

    # In float64, so that they sum to 1 as closely as scikit-learn asks.
    wide = np.asarray(outputs, np.float64)
    found = softmax(wide, axis=-1) if link == "softmax" else expit(wide)
    if link == "sigmoid" and task == "classification" and (found.ndim == 1 or found.shape[-1] == 1):
        # One output for two classes.
        found = found.reshape(len(found))
        return np.stack([1 - found, found], axis=-1)
    return found


def labels_of(outputs: Any, task: str, values_shape: tuple[int, ...] = ()) -> np.ndarray:
    """What outputs predict: class numbers, flags of labels, or values.

    Args:
      outputs: of the network, in the targets' units for a regression.
      task: of the data.
      values_shape: of one target of a regression.

    Raises:
      ValueError: an output is NaN.
      TypeError: the outputs are several arrays.
    """
    check_one(outputs)
    found = np.asarray(outputs)
    if task == "regression":
        return found.reshape(len(found), *values_shape)
    # No comparison with NaN holds, so that such a row would get the first class or no label.
    undefined = np.isnan(found.reshape(len(found), -1)).any(axis=1)
    if undefined.any():
        raise ValueError(
            f"the outputs for row {undefined.argmax()} are NaN, so that it has no label: its example has NaN or "
            "infinity, which only a recipe that imputes takes, or the network diverged"
        )
    if task == "multilabel":
        return (found > 0).astype(np.int32)
    if found.ndim == 1 or found.shape[-1] == 1:
        return (found.reshape(len(found)) > 0).astype(np.int32)
    return found.argmax(axis=-1).astype(np.int32)


def check_one(outputs: Any) -> None:
    """Raises TypeError where outputs are several arrays, which no single prediction can be made of."""
    if not hasattr(outputs, "shape"):
        raise TypeError(
            f"the network's outputs are {structure(outputs)}, and jreg doesn't know which of them is the prediction: "
            "take outputs(x), or the outputs of study.out_of_fold(), and predict from the part that you want"
        )


def mean_probabilities(parts: list[np.ndarray]) -> np.ndarray:
    """The mean of several networks' probabilities or values, float64."""
    for part in parts:
        check_one(part)
    return np.asarray(np.mean(np.stack(parts), axis=0, dtype=np.float64))


def most_probable(probabilities: np.ndarray, task: str) -> np.ndarray:
    """What probabilities predict: class numbers, or flags of labels."""
    if task == "multilabel":
        return (probabilities > 0.5).astype(np.int32)
    return probabilities.argmax(axis=-1).astype(np.int32)


def values_of(outputs: Array, statistics: Any, targets: Any) -> Array:
    """Outputs of a regression in the targets' own units."""
    return targets.invert(statistics, outputs) if targets is not None and targets.invert is not None else outputs
