"""Examples and targets that a trained network is given, checked against those that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jreg._base.types import Array, PyTree
from jreg.data import Dataset, Encoder
from jreg.data.arrays import is_tree, parts, row_weights, structure
from jreg.data.given import given_rows, given_targets


def as_examples(x: Any, shapes: PyTree = None) -> PyTree:
    """Examples ``(n, ...)``, or a tree of them, on the device.

    Args:
      x: the examples.
      shapes: one example as `jax.ShapeDtypeStruct`, or a tree of them; default: unknown.

    Raises:
      ValueError: there are no rows, or they are no such examples.
      TypeError: they are no numbers.
    """
    if isinstance(x, Dataset):
        raise TypeError("the network got a Dataset, but needs its arrays: data.x and data.y, or data.x_test and so on")
    if isinstance(x, str | Path):
        raise TypeError(
            f"the network got the path {str(x)!r}, but was trained on arrays, so it can't code a table: give arrays, "
            "or train it on jreg.load_dataset(table)"
        )
    found = given_rows(x, "x")
    if shapes is None:
        return found
    if jax.tree.structure(found) != jax.tree.structure(shapes):
        raise ValueError(f"x has {structure(found)}, but the network was trained on {structure(shapes)}")
    for (name, part), (_, known) in zip(parts(found, "x"), parts(shapes, "x"), strict=True):
        if part.shape == known.shape:
            raise ValueError(f"{name} has shape {part.shape}, which is one example alone: give {name}[None]")
        if part.shape[1:] != known.shape or not part.shape[0]:
            raise ValueError(
                f"{name} has shape {part.shape}, but the network takes {('n', *known.shape)} with n at least 1".replace(
                    "'", ""
                )
            )
    return found


def as_targets(y: Any, task: str, rows: int, outputs: Any, encoder: Encoder | None = None) -> PyTree:
    """Targets as the loss takes them: labels that are texts, or -1 and 1, become class numbers.

    Args:
      y: the targets of `rows` examples.
      task: of the network.
      rows: how many.
      outputs: the shape of the network's where they belong to classes, otherwise None.
      encoder: the network's.

    Raises:
      ValueError: there are others than one for each row, or a label is out of range.
      TypeError: they are no numbers.
    """
    if y is None:
        raise ValueError("y is missing: the targets that examples are compared with")
    found = given_targets(y, task, encoder)
    for name, part in parts(found, "y"):
        if part.shape[:1] != (rows,):
            raise ValueError(f"x has {rows} rows, but {name} has shape {part.shape}")
    if outputs is not None and not is_tree(found) and jnp.issubdtype(found.dtype, jnp.integer):
        # One output stands for two classes.
        classes = outputs[-1] if len(outputs) == found.ndim + 1 and outputs[-1] > 1 else 2
        wrong = found[(found < 0) | (found >= classes)]
        if len(wrong):
            raise ValueError(
                f"y has label {wrong[0]}, out of range: beside arrays labels are the class numbers 0 to {classes - 1}"
            )
    return found


def as_weights(weights: Any, rows: int) -> Array:
    """How much each row counts, float32; default: all alike.

    Raises:
      ValueError: there are others than one for each row, one is negative, NaN or infinite, or all are 0.
      TypeError: they are no numbers.
    """
    if weights is None:
        return jnp.ones(rows, jnp.float32)
    return jnp.asarray(row_weights(weights, rows, "evaluate's weights"))
