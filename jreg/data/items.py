"""Data sets that another library hands over in Python, one example at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg.data.dataset import Dataset


def from_items(
    items: Any, x: Any = 0, y: Any = 1, *, test: Any = None, name: str = "data", task: str | None = None
) -> Dataset:
    """A data set from anything with a length whose items are pairs or dictionaries.

    That is a ``torch.utils.data.Dataset`` of the map style, a Hugging Face ``datasets.Dataset``, or a list. Neither
    library is imported: a value is whatever ``numpy.asarray`` makes an array of, such as a number, a tensor in the
    host's memory or a PIL image. Dtypes are kept as `Dataset` keeps them: bytes stay bytes, so leave out a transform to
    floating point, and integers stay integers, which an embedding needs and a dense layer doesn't take.
    Targets may be texts, which are class names.

    Args:
      items: has ``len(items)`` and ``items[i]``.
      x: where an item has its example: an index into a pair, or a key of a dictionary, such as ``"image"``.
      y: where it has its target, such as ``"label"``.
      test: the test set in the same form, or None.
      name: what tables and folders call it.
      task: as in `Dataset`; default: what the targets show.

    Returns:
      A `Dataset`.

    Raises:
      ValueError: there are no items, one lacks a part, or examples differ in shape or dtype.
      TypeError: `items` has no length or can't be indexed.

    >>> from_items([{"image": [0.0, 1.0], "label": 0}, {"image": [2.0, 3.0], "label": 1}], "image", "label", name="two")
    Dataset(two: 2 rows of (2,) float32, classification, no test set)
    """
    parts: dict[str, Any] = {}
    for end, source in (("", items), ("_test", test)):
        if source is not None:
            parts["x" + end], parts["y" + end] = _gather(source, (x, y), name)
    return Dataset(**parts, name=name, task=task)


def _gather(items: Any, keys: tuple[Any, Any], name: str) -> list[np.ndarray]:
    if not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
        raise TypeError(f"from_items got a {type(items).__name__}, but needs a data set with a length and items[i]")
    if len(items) == 0:
        raise ValueError(f"{name} has no items")
    arrays: list[np.ndarray] = []
    for number in range(len(items)):
        values = [_value(items[number], key, number, name) for key in keys]
        if not arrays:
            arrays = [np.empty((len(items), *value.shape), value.dtype) for value in values]
        for array, value, key in zip(arrays, values, keys, strict=True):
            if value.shape != array.shape[1:] or value.dtype != array.dtype:
                raise ValueError(
                    f"{name}'s item {number} has {value.dtype} of shape {value.shape} under {key!r}, but the first one "
                    f"{array.dtype} of shape {array.shape[1:]}"
                )
            array[number] = value[()]
    return arrays


def _value(item: Any, key: Any, number: int, name: str) -> np.ndarray:
    try:
        value = item[key]
    except (KeyError, IndexError, TypeError):
        found = f"the keys {', '.join(map(repr, item))}" if hasattr(item, "keys") else f"a {type(item).__name__}"
        raise ValueError(f"{name}'s item {number} has nothing under {key!r}: it is or has {found}") from None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}'s item {number} has a value under {key!r} that is no array ({error})") from None
    # Texts differ in length, and so in dtype.
    return array.astype(object) if array.dtype.kind == "U" else array
