"""Rows that a trained network is given, as arrays of JAX's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jreg._base.types import Array, PyTree
from jreg.data.arrays import convert, integer, is_tree, numbers
from jreg.data.encoding import Encoder


def given_rows(values: Any, name: str) -> PyTree:
    """Examples or targets as in a `jreg.Dataset`: one array, of which a list is one too, or several.

    Raises:
      ValueError: there is no row, or a number is too large.
      TypeError: they don't hold real numbers.

    >>> given_rows([[1, 2], [3, 4]], "x").shape
    (2, 2)
    """

    def one(part: Any, name: str) -> Any:
        array = part if isinstance(part, jax.Array) else numbers(part, name)
        if array.ndim == 0 or array.shape[0] == 0:
            raise ValueError(f"{name} has shape {array.shape}, but must be rows, (n, ...), n at least 1")
        if isinstance(array, np.ndarray) and array.dtype.kind in "iu" and array.dtype.itemsize > 4:
            array = integer(array, np.int32 if array.dtype.kind == "i" else np.uint32, name)
        return jnp.asarray(array)

    return convert(one, values, name)


def given_targets(values: Any, task: str, encoder: Encoder | None = None) -> PyTree:
    """Targets as in a `jreg.Dataset`: numbers, or labels that were coded when it was made.

    Raises:
      ValueError: a label is out of range, or none of those to train on.
    """
    labels = encoder.labels if encoder is not None and task != "regression" else ()
    if labels and not is_tree(values) and not isinstance(values, jax.Array):
        known = np.asarray(values)
        # Class numbers of such labels are neither texts nor negative.
        if encoder is not None and (known.dtype.kind in "OUST" or (known.size and known.min() < 0)):
            values = encoder.encode_target(values)
    y: Array = given_rows(values, "y")
    if task == "classification" and not is_tree(y) and not isinstance(y, Tracer) and y.dtype.kind in "iu":
        least = int(y.min())
        if least < 0:
            raise ValueError(f"y has label {least}, out of range: labels are 0 to K - 1")
    return y
