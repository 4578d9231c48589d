"""Rows of data as arrays or trees of arrays: which dtypes are kept, which become 32-bit, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.names import listed
from jreg._base.tree import path_of
from jreg._base.types import PyTree

_BFLOAT16 = np.dtype(jnp.bfloat16)


def is_tree(values: Any) -> bool:
    """Whether `values` are several arrays: a dict, a NamedTuple, or a tuple that holds an array.

    A list is one array in any case, and so is a tuple of plain numbers: their items are rows.

    >>> is_tree({"age": [30, 40]}), is_tree((np.zeros(2), np.ones(2))), is_tree(((0, 1), (2, 3)))
    (True, True, False)
    """
    if not isinstance(values, tuple):
        return isinstance(values, dict)
    return hasattr(values, "_fields") or any(is_tree(value) or _is_array(value) for value in values)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and getattr(value, "ndim", 1) > 0


def convert(function: Callable[[Any, str], np.ndarray], values: Any, name: str) -> PyTree:
    """``function(part, name of the part)`` of every part; `values` that aren't a tree are the only part.

    Raises:
      ValueError: there are no parts.
    """
    if not is_tree(values):
        return function(values, name)
    tree = jax.tree_util.tree_map_with_path(
        lambda keys, part: function(part, f"{name}/{path_of(keys)}"), values, is_leaf=lambda part: not is_tree(part)
    )
    if not jax.tree.leaves(tree):
        raise ValueError(f"{name} is an empty {type(values).__name__}, but must hold at least one array")
    return tree


def parts(tree: PyTree, name: str) -> list[tuple[str, np.ndarray]]:
    """The arrays of converted data by name: ``x`` where there is one, ``x/tokens`` and so on where there are several.

    >>> [name for name, _ in parts({"mask": np.ones(2), "tokens": np.ones((2, 3))}, "x")]
    ['x/mask', 'x/tokens']
    """
    return [
        (f"{name}/{path_of(keys)}" if keys else name, part) for keys, part in jax.tree_util.tree_leaves_with_path(tree)
    ]


def shown(tree: PyTree) -> str:
    """What one row of the data is, in words.

    >>> shown(np.zeros((5, 2))), shown({"mask": np.ones(2), "tokens": np.ones((2, 3), np.int32)})
    ('(2,) float64', 'mask () float64, tokens (3,) int32')
    """
    found = (f"{name[1:]} {part.shape[1:]} {part.dtype}" for name, part in parts(tree, ""))
    return ", ".join(text.lstrip() for text in found)


def structure(tree: PyTree) -> str:
    """Whether the data are one array or several, in words.

    >>> structure(np.zeros(2)), structure({"mask": np.ones(2), "tokens": np.ones((2, 3))})
    ('one array', 'the parts mask, tokens')
    """
    names = [name[1:] for name, _ in parts(tree, "")]
    return "one array" if names == [""] else f"the parts {listed(names)}"


def take(tree: PyTree, rows: Any) -> PyTree:
    """The rows of every array.

    >>> take({"age": np.array([30, 40, 50])}, [2, 0])["age"].tolist()
    [50, 30]
    """
    return jax.tree.map(lambda part: part[rows], tree)


def is_floating(array: Any) -> bool:
    """Whether the array can hold NaN; numpy doesn't count bfloat16 among its own."""
    return array.dtype.kind == "f" or array.dtype == _BFLOAT16


def numbers(values: Any, name: str) -> np.ndarray:
    """`values` as an array of real numbers.

    Raises:
      ValueError: the rows differ in shape.
      TypeError: they hold something else.
    """
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise TypeError(f"{name} is sparse, a {type(values).__name__}: .toarray() makes the array that is needed")
    try:
        array = unmasked(values)
    except ValueError:
        raise ValueError(
            f"{name} is a {type(values).__name__} of rows of different shapes, but must be one array, or a dict or "
            "tuple of arrays"
        ) from None
    if array.dtype.kind not in "fiub" and array.dtype != _BFLOAT16:
        advice = (
            ": .astype(numpy.float32) converts them, and jreg.load_dataset(table, target=...) codes columns of text"
            if array.dtype.kind in "OUST"
            else ""
        )
        raise TypeError(f"{name} has dtype {array.dtype}, but must hold real numbers{advice}")
    return array


def unmasked(values: Any) -> np.ndarray:
    """`values` as an array, with NaN for what a masked array hides.

    >>> unmasked(np.ma.masked_array([1, 2], [True, False])).tolist(), unmasked([1, 2]).tolist()
    ([nan, 2.0], [1, 2])
    """
    if not np.ma.is_masked(values):
        return np.asarray(values)
    return (values if values.dtype.kind in "fOUS" else values.astype(np.float64)).filled(
        "" if values.dtype.kind in "US" else np.nan
    )


def refuse(bad: np.ndarray, sentence: str) -> None:
    """Raises ValueError with `sentence` where anything is `bad`; ``{row}`` in it becomes the first such row."""
    if bad.any():
        raise ValueError(sentence.replace("{row}", str(np.argwhere(bad)[0][0])))


def float32(array: np.ndarray, name: str) -> np.ndarray:
    """A copy in float32.

    Raises:
      ValueError: a number is too large for it.
    """
    with np.errstate(over="ignore"):
        short = array.astype(np.float32)
    if (np.isinf(short) & ~np.isinf(array)).any():
        raise ValueError(f"{name} has {np.nanmax(np.abs(array)):g}, which float32 can't hold: scale it down")
    return short


def check_digits(array: np.ndarray, name: str, share: float) -> None:
    """Raises ValueError where float32 rounds a column by more than a share of its standard deviation.

    A column is one number of each row. What differs by the rounding of float64 alone counts as constant.
    """
    columns = array.reshape(len(array), -1)
    if columns.dtype.itemsize <= 4 or not columns.size:
        return
    tiny = float(np.finfo(np.float32).tiny)
    with np.errstate(over="ignore", invalid="ignore"):
        least, most = np.fmin.reduce(columns, axis=0), np.fmax.reduce(columns, axis=0)
        width, largest = most - least, np.maximum(np.abs(least), np.abs(most))
        # Two values at the ends have the smallest standard deviation that a width allows.
        lowest = width / np.sqrt(2 * len(columns))
        doubtful = (np.maximum(largest * 2**-24, tiny) > share * lowest) & (width > 2**-40 * largest)
    for number in np.flatnonzero(doubtful):
        values = columns[:, number][np.isfinite(columns[:, number])]
        short = values.astype(np.float32)
        # Computing flushes what is below the smallest normal number.
        short = np.where(np.abs(short) < tiny, 0, short).astype(np.float64)
        if np.abs(short - values).max() > share * values.std():
            place = np.unravel_index(number, array.shape[1:])
            where = f"{name}[:, {', '.join(map(str, place))}]" if place else name
            advice = f"subtract an offset such as {values.mean():.8g} in float64, of new rows too"
            if largest[number] * 2**-24 < tiny:
                advice = f"divide it by a number such as {largest[number]:.1g} in float64, of new rows too"
            raise ValueError(
                f"{where} has {len(np.unique(values))} different values from {least[number]:.15g} to "
                f"{most[number]:.15g}, of which float32 keeps {len(np.unique(short))}: {advice}"
            )


def integer(array: np.ndarray, dtype: type[np.integer], name: str) -> np.ndarray:
    """A copy in another dtype of integers.

    Raises:
      ValueError: a number doesn't fit into it.
    """
    limits = np.iinfo(dtype)
    for value in (int(array.min()), int(array.max())) if array.size else ():
        if not limits.min <= value <= limits.max:
            raise ValueError(
                f"{name} has {value}, which {limits.dtype} can't hold: subtract an offset, or make it floating"
            )
    return array.astype(dtype)


def example(values: Any, name: str, missing: str, axes: int, whole: bool = False) -> np.ndarray:
    """One array of examples with `axes` axes or more; 64 bits become 32 as in JAX, other dtypes are kept.

    Raises:
      ValueError: the shape isn't that of rows, a value is NaN, infinite or too large, or float32 loses what tells the
        rows apart, which is looked at where they are the `whole` of them.
      TypeError: it doesn't hold real numbers.
    """
    array = numbers(values, name)
    if array.ndim < axes or array.size == 0:
        wanted = "rows of features" if axes > 1 else "one row per example"
        raise ValueError(f"{name} has shape {array.shape}, but must be {wanted}, (n, ...), n at least 1")
    if array.dtype == np.uint8:
        # Not copied, because images may take most of the memory.
        return array
    if not is_floating(array):
        if array.dtype.itemsize > 4:
            return integer(array, np.int32 if array.dtype.kind == "i" else np.uint32, name)
        return array.astype(array.dtype.newbyteorder("="))
    if missing == "keep":
        refuse(np.isinf(array), f"{name} has infinity (first in row {{row}}), but a missing value is NaN")
    else:
        advice = "remove the row, or keep NaN by missing='keep' (--missing keep) for impute"
        refuse(~np.isfinite(array), f"{name} has NaN or infinity (first in row {{row}}): {advice}")
    if array.dtype.itemsize <= 4:
        return array.astype(array.dtype.newbyteorder("="))
    short = float32(array, name)
    if whole:
        check_digits(array, name, 0.01)
    return short


def row_weights(values: Any, rows: int, name: str) -> np.ndarray:
    """One weight per row in float32.

    Raises:
      ValueError: there are more or fewer than rows, one is negative, NaN or infinite, or all are 0.
      TypeError: they aren't real numbers.
    """
    array = numbers(values, name)
    if array.shape != (rows,):
        raise ValueError(f"{name} have shape {array.shape}, but must be one number per row, ({rows},)")
    if is_floating(array):
        refuse(~np.isfinite(array), f"{name} have NaN or infinity (first in row {{row}}): 0 leaves a row out")
    refuse(array < 0, f"{name} have a negative number (first in row {{row}}), but must be at least 0")
    short = float32(array, name)
    if not short.any():
        raise ValueError(f"{name} are all 0 in float32, but at least one row must count")
    return short


def row_groups(values: Any, rows: int, name: str) -> np.ndarray:
    """One group per row: numbers, texts or dates.

    Raises:
      ValueError: there are more or fewer than rows, or one is missing.
      TypeError: they are something else.
    """
    array = np.asarray(values)
    if array.shape != (rows,):
        raise ValueError(f"{name} have shape {array.shape}, but must be one group per row, ({rows},)")
    if array.dtype == object:
        refuse(
            np.array([is_missing(group) for group in array]),
            f"{name} are missing in row {{row}}: remove the row, or give it a group of its own",
        )
        # A table's column of texts is one of objects, which neither sort nor compare as fast.
        array = np.array(array.tolist())
    if array.dtype.kind not in "biufUSmM" or array.ndim != 1:
        raise TypeError(f"{name} are of type {type(values[0]).__name__}, but must be numbers or texts")
    refuse(array != array, f"{name} are missing in row {{row}}: remove the row, or give it a group of its own")
    return array


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, or the missing value of pandas."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        # The missing value of pandas refuses to be compared.
        return True
