"""The arguments of fits and studies that are of another kind than they must be, each in a sentence."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg.data import Dataset
from jreg.search.space import Space
from jreg.training.stopping import EarlyStopping


def check_data(data: Any) -> None:
    """Raises TypeError unless `data` is a `jreg.Dataset`."""
    if isinstance(data, Dataset):
        return
    if isinstance(data, str):
        remedy = f"jreg.load_dataset({data!r}) reads one"
    elif isinstance(data, Space) or callable(data):
        remedy = "the order is recipe, data, space"
    elif isinstance(data, tuple | list) and len(data) in (2, 4):
        names = ("x, y", "x, y, x_test, y_test")[len(data) == 4]
        remedy = f"jreg.Dataset({names}) makes one of arrays"
    else:
        remedy = "jreg.Dataset(x, y) makes one of arrays, jreg.load_dataset(...) of a file, a name or a table"
    raise TypeError(f"the data is a {type(data).__name__}, but must be a jreg.Dataset: {remedy}")


def check_stopping(stopping: Any) -> None:
    """Raises TypeError unless `stopping` is an `EarlyStopping` or None."""
    if isinstance(stopping, EarlyStopping | None):
        return
    found = stopping.__name__ if isinstance(stopping, type) else repr(stopping)
    raise TypeError(f"stopping is {found}, but must be a rule such as jreg.EarlyStopping(patience=5), or None")


def check_keep(keep: Any) -> None:
    """Raises TypeError unless `keep` is a sequence of functions or None."""
    if keep is None or (isinstance(keep, list | tuple) and all(map(callable, keep))):
        return
    raise TypeError(f"keep is a {type(keep).__name__}, but must be a list of functions, such as [jreg.keep.outputs]")


def check_key(key: Any) -> None:
    """Raises TypeError unless `key` is a random key of JAX's, typed or raw."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jax.dtypes.prng_key) or dtype == jnp.uint32):
        raise TypeError(
            f"the key is a {type(key).__name__}, but must be a random key, which comes first: jax.random.key(0), or "
            "jreg.member_key(seed, fold) of a study's training"
        )


def rows_given(train: Any, validation: Any, length: int, owner: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the rows to train on, by default all others, and of those to validate on."""
    chosen = checks.rows(validation, length, f"{owner}validation")
    others = train is None
    rows = np.setdiff1d(np.arange(length), chosen) if others else checks.rows(train, length, f"{owner}train")
    if not len(rows):
        found = f"{owner}validation takes all {length} rows" if others else f"{owner}train names no row"
        raise ValueError(f"{found}, so there are no rows to train on")
    return rows, chosen
