"""Whose fault it is: errors that Python, NumPy and JAX raise inside a recipe, as sentences that say what to write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any

import jax

# What Python or NumPy raises where it is given a traced value.
TRACER_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
# Whose sentences a person can use as they are.
_TOLD = (ValueError, TypeError, KeyError, OSError, MemoryError)


def is_of_tracer(error: BaseException) -> bool:
    """Whether an error says that a traced value stands where it can't."""
    words = str(error)
    formed = isinstance(error, TypeError) and "Tracer" in words and ("__format__" in words or "unhashable" in words)
    return formed or isinstance(error, TRACER_ERRORS)


_JAX = "write jax.numpy for NumPy (jnp.log for np.log) and jnp.where for an if on values, without float() or .item()"


def in_numpy(what: str, remedy: str = _JAX) -> str:
    """The sentence about a part of a recipe that hands its arrays to NumPy or to Python."""
    return f"{what} hands a traced array to NumPy or to Python, but runs inside the compiled program: {remedy}"


def of_hyperparameter(name: str) -> str:
    """The sentence about a traced hyperparameter that Python or NumPy reads."""
    return (
        f"the recipe puts hyperparameter {name!r} where Python needs a plain number, but floating hyperparameters are "
        "traced, so that a study trains all their values in one program: write jnp.where for an if and jax.numpy for "
        "NumPy, take a layer of jreg.nn instead of Flax's Dropout or a schedule of optax's that takes traced numbers, "
        f"or compile one program for each value: whole numbers or names, or space.as_static({name!r})"
    )


@contextlib.contextmanager
def part(what: str, remedy: str = _JAX) -> Generator[None]:
    """Words what a part of a recipe raises when it is tried; `what` names it.

    Errors that already are a sentence pass. What is left is Python's own, such as an AttributeError, and what other
    libraries say of their parts.
    """
    try:
        yield
    except Exception as error:
        if is_of_tracer(error):
            raise TypeError(in_numpy(what, remedy)) from error
        if isinstance(error, _TOLD) and not (isinstance(error, ValueError | TypeError) and _of_library(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} raised {type(error).__name__}: {' '.join(str(error).split())}") from error


def _of_library(error: BaseException) -> bool:
    """Whether an error was raised inside one of the libraries that networks, losses and optimizers are made of."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in ("jax", "flax", "optax", "haiku", "equinox", "numpy")


@contextlib.contextmanager
def whole_numbers(setting: Mapping[str, Any], again: Callable[[dict[str, Any]], Any]) -> Generator[None]:
    """Names the floating hyperparameter that had to be a whole number, such as a width, where one is at fault.

    Args:
      setting: with which something is tried.
      again: tries it with another setting.
    """
    try:
        yield
    except TypeError as error:
        for name, value in setting.items():
            if isinstance(value, float) and value == value // 1 and _works(again, {**setting, name: int(value)}):
                raise TypeError(
                    f"hyperparameter {name!r} is {value!r}, a floating number, where the recipe needs a whole one: "
                    f"give whole numbers, as in grid({name}=[{int(value)}])"
                ) from error
        raise


def _works(again: Callable[[dict[str, Any]], Any], setting: dict[str, Any]) -> bool:
    try:
        again(setting)
    except Exception:
        return False
    return True
