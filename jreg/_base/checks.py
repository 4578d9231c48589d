"""One-sentence checks of numbers that are known in Python; traced values pass through untouched."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def concrete(value: Any) -> float | None:
    """The value as a float, or None when it is traced or not a single number.

    Only Python and NumPy numbers are looked at: reading a `jax.Array` would wait for the device.
    """
    if isinstance(value, jax.Array | bool):
        return None
    if isinstance(value, int | float | np.number) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return float(value)
    return None


def strength(value: Any, name: str) -> None:
    """Raises ValueError unless a known `value` is a number of at least 0."""
    number = concrete(value)
    if number is not None and not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{name} is {number:g}, but a strength must be a finite number of at least 0")


def rate(value: Any, name: str) -> None:
    """Raises ValueError unless a known `value` lies in [0, 1)."""
    number = concrete(value)
    if number is not None and not 0 <= number < 1:
        raise ValueError(f"{name} is {number:g}, but a rate must lie in [0, 1): 0 drops nothing")


def radius(value: Any, name: str) -> None:
    """Raises ValueError unless a known `value` is positive (infinity leaves everything as it is)."""
    number = concrete(value)
    if number is not None and not number > 0:
        raise ValueError(f"{name} is {number:g}, but a radius must be above 0")


def count(value: Any, name: str, least: int = 1) -> int:
    """`value` as an int; raises TypeError when it is no whole number, ValueError when below `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}, but must be a whole number of at least {least}")
    if value < least:
        raise ValueError(f"{name} is {value}, but must be at least {least}")
    return int(value)


def seconds(value: Any, name: str) -> None:
    """Raises TypeError or ValueError unless `value` is None or a number of seconds above 0."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} is {value!r}, but must be a number of seconds, or None for no limit")
    if not value > 0:
        raise ValueError(f"{name} is {value:g}, but must be above 0 seconds, or None for no limit")


def no_number_as_text(value: Any, name: str) -> None:
    """Raises TypeError where a text is a number, as YAML reads 1e-3 and a command line everything."""
    if not isinstance(value, str) or not any(letter.isdigit() for letter in value):
        return
    try:
        float(value)
    except ValueError:
        return
    raise TypeError(f"{name} is the text {value!r}, but must be a number: float({value!r}) makes one")


def positive(value: Any, name: str) -> None:
    """Raises ValueError unless a known `value` is finite and above 0."""
    number = concrete(value)
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} is {number:g}, but must be a finite number above 0")


def share(value: Any, name: str) -> None:
    """Raises ValueError unless a known `value` lies in [0, 1]."""
    number = concrete(value)
    if number is not None and not 0 <= number <= 1:
        raise ValueError(f"{name} is {number:g}, but must lie in [0, 1]")


def floating(array: Any, name: str, remedy: str = "convert it with .astype(jnp.float32)") -> None:
    """Raises TypeError unless `array` is an array of floating dtype; complex numbers keep both parts only as two."""
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        raise TypeError(f"{name} is a {type(array).__name__}, but must be an array: jnp.asarray makes one")
    if jnp.issubdtype(dtype, jnp.complexfloating):
        remedy = "give its two parts as real numbers, jnp.stack([w.real, w.imag]), which have the same sum of squares"
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} has dtype {dtype}, but must have a floating one: {remedy}")


def matrix(w: Any, name: str) -> None:
    """Raises unless `w`, the weights that `name` takes, has a floating dtype, two axes or more, and elements."""
    floating(w, f"{name}'s array of weights")
    if w.ndim < 2:
        raise ValueError(f"{name} got an array of shape {w.shape}, but needs one with two axes or more")
    if w.size == 0:
        raise ValueError(f"{name} got an empty array of shape {w.shape}, but needs at least one weight")


def rows(value: Any, length: int | None, name: str) -> np.ndarray:
    """Row numbers as int32, of numbers or of a mask with a flag for each of `length` rows; none for None.

    Where `length` is None, nobody knows how many rows there are, and so there are no masks.

    Raises:
      TypeError: they are neither.
      ValueError: a row doesn't exist, or a mask has another length.
    """
    found = np.asarray([] if value is None else value)
    if not found.size and found.dtype.kind != "b":
        return np.empty(0, np.int32)
    if found.ndim != 1 or found.dtype.kind not in ("iub" if length is not None else "iu"):
        flags = f", or {length} flags" if length is not None else ""
        raise TypeError(f"{name} is {found.dtype} of shape {found.shape}, but must be row numbers, (n,){flags}")
    if found.dtype.kind == "b":
        if len(found) != length:
            raise ValueError(f"{name} is a mask of {len(found)} flags, but there are {length} rows")
        return np.flatnonzero(found).astype(np.int32)
    if not 0 <= found.min() <= found.max() < (2**31 if length is None else length):
        raise ValueError(f"{name} names a row outside 0 to {2**31 - 1 if length is None else length - 1}")
    return found.astype(np.int32)
