"""Which axes of a weight array are inputs, outputs and a stack of layers, and how leaf functions come to know it.

A leaf function on a bare array takes all axes but the last for a unit's inputs. A lift knows more, by a weight's place
in its tree: it calls the function `within` a reading, which `axis=None` then means. The array is handed over as it
stands, so an explicit `axis` and functions of one's own count its axes as they are.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jreg._base.types import Array

F = TypeVar("F", bound=Callable[..., Any])


class Axes(NamedTuple):
    """Which axes of a weight array are what, for the `axis` of lifts; those that aren't named are outputs.

    Attributes:
      inputs: the axes of one unit's incoming weights, a number or several.
      stack: the axes that count layers, whose weights are matrices of their own; default: none.

    >>> Axes(inputs=1, stack=0)  # (layers, in, out)
    Axes(inputs=1, stack=0)
    """

    inputs: int | Sequence[int]
    stack: int | Sequence[int] = ()


class Reading(NamedTuple):
    """The axes of one weight array, each once.

    Attributes:
      shape: the array's.
      stack: axes that count layers.
      inputs: axes of a unit's incoming weights, those of a convolution's window first.
      outputs: axes that count units.
      window: how many of `inputs` are a convolution's window.
    """

    shape: tuple[int, ...]
    stack: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    window: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is what a leaf function takes a bare array for."""
        rank = len(self.shape)
        matrix_or_convolution = rank < 3 or self.window == rank - 2
        return self.outputs == (rank - 1,) and self.inputs == tuple(range(rank - 1)) and matrix_or_convolution

    def layers(self, w: Array) -> Array:
        """`w` as ``(layers, *window, inputs, outputs)``."""
        turned = jnp.transpose(w, (*self.stack, *self.inputs, *self.outputs))
        count, *rest = (math.prod(self.shape[a] for a in some) for some in self._parts())
        window = (self.shape[a] for a in self.inputs[: self.window])
        return turned.reshape(count, *window, *rest)

    def _parts(self) -> tuple[tuple[int, ...], ...]:
        return self.stack, self.inputs[self.window :], self.outputs

    def restored(self, layers: Array) -> Array:
        """The array whose `layers` these are."""
        order = (*self.stack, *self.inputs, *self.outputs)
        turned = layers.reshape(tuple(self.shape[a] for a in order))
        return jnp.transpose(turned, tuple(order.index(a) for a in range(len(order))))


class Doubt(NamedTuple):
    """A weight array whose reading can't be known.

    Attributes:
      shape: the array's.
      path: where it is.
    """

    shape: tuple[int, ...]
    path: str


# What `axis=None` means for an array of this shape while a lift calls a leaf function; set by `within` alone.
_ASSUMED: contextvars.ContextVar[Reading | Doubt | None] = contextvars.ContextVar("_ASSUMED", default=None)


def within(reading: Reading | Doubt | None, function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``, in which leaf functions read `axis=None` as `reading` says."""
    token = _ASSUMED.set(reading)
    try:
        return function(*args)
    finally:
        _ASSUMED.reset(token)


def assumed(w: Any) -> Reading | None:
    """The reading in which a lift calls for `w`, None for a bare array.

    Raises:
      ValueError: the reading of this weight can't be known.
    """
    reading = _ASSUMED.get()
    if reading is None or reading.shape != jnp.shape(w):
        return None
    if isinstance(reading, Doubt):
        raise ValueError(
            f"which axes of {reading.path!r}, an array of shape {reading.shape}, are inputs, outputs or a stack of "
            f"layers can't be known from its name and shape: give the lift an axis for this path, such as "
            f"axis={{{reading.path!r}: jreg.Axes(inputs=1, stack=0)}}"
        )
    return reading


def layerwise(function: F) -> F:
    """A leaf function of one layer's weights for stacks of layers too, and for weights in another order of axes.

    Scalars are summed over layers, arrays go back to their places.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def whole(w: Array, *args: Any, **kwargs: Any) -> Any:
        explicit = signature.bind(w, *args, **kwargs).arguments.get("axis") is not None
        reading = None if explicit else assumed(w)
        if reading is None or reading.plain:
            return function(w, *args, **kwargs)
        each = jax.vmap(lambda layer: function(layer, *args, **kwargs))
        found = within(None, each, reading.layers(w))
        if found.ndim > 1:
            return reading.restored(found)
        return jnp.sum(found, dtype=jnp.promote_types(found.dtype, jnp.float32)).astype(found.dtype)

    return whole  # ty: ignore[invalid-explicit-return]


def said(axis: Any, path: str, shape: tuple[int, ...]) -> Reading:
    """The reading that a user's `axis` gives an array: the axes of its inputs, or `Axes`.

    Raises:
      ValueError: an axis doesn't exist, or is named twice.
      TypeError: `axis` is no number, sequence of numbers or `Axes`.
    """
    given = axis if isinstance(axis, Axes) else Axes(axis)
    try:
        inputs, stack = (tuple(map(operator.index, some if isinstance(some, Sequence) else (some,))) for some in given)
    except TypeError:
        raise TypeError(
            f"axis is {axis!r} for {path!r}, but must be a number, several, jreg.Axes(inputs, stack), or a dict of "
            f"these by path"
        ) from None
    rank = len(shape)
    if any(not -rank <= a < rank for a in (*inputs, *stack)):
        raise ValueError(f"axis={axis!r} does not exist in {path!r}, an array of shape {shape}")
    inputs, stack = tuple(a % rank for a in inputs), tuple(a % rank for a in stack)
    if len({*inputs, *stack}) < len(inputs) + len(stack):
        raise ValueError(f"axis={axis!r} names an axis twice in {path!r}, an array of shape {shape}")
    outputs = tuple(a for a in range(rank) if a not in (*inputs, *stack))
    return Reading(shape, stack, inputs, outputs)
