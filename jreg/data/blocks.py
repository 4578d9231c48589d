"""Sums over all rows of the data without a second copy of them in floating point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jreg._base.types import Array, PyTree

# Numbers that are converted at once, 2 MB: every training of a study has such a block, but never the whole data.
_NUMBERS = 2**19


class HostRows:
    """Rows that are read from the host block by block; `over_rows` takes them instead of an array.

    Args:
      read: ``(first, last) -> rows``; rows of weight 0 may be anything.
      shape: of all rows.
    """

    def __init__(self, read: Callable[[int, int], Any], shape: tuple[int, ...]):
        self.read, self.shape, self.ndim = read, shape, len(shape)

    @property
    def dtype(self) -> Any:
        """That of the rows when they are read."""
        return self.read(0, 1).dtype


def mapped(function: Callable[[Any], Any], x: PyTree) -> PyTree:
    """``function(x)`` of any number of rows, of rows on the host when they are read; both may be several arrays."""
    if not any(isinstance(part, HostRows) for part in jax.tree.leaves(x)):
        return function(x)
    jitted = jax.jit(function)

    def read(first: int, last: int) -> PyTree:
        return jax.tree.map(lambda part: part.read(first, last), x)

    like, form = jax.tree.flatten(jax.eval_shape(function, read(0, 1)))
    rows = jax.tree.leaves(x)[0].shape[0]

    def part(number: int) -> HostRows:
        return HostRows(
            lambda first, last: jax.tree.leaves(jitted(read(first, last)))[number], (rows, *like[number].shape[1:])
        )

    return form.unflatten([part(number) for number in range(len(like))])


def shifted(x: Array, offset: Array | None) -> Array:
    """``x - offset`` in float32; the difference of integers is exact before it is rounded."""
    if offset is None:
        return x.astype(jnp.float32)
    if any(jnp.issubdtype(array.dtype, jnp.floating) for array in (x, offset)):
        return x.astype(jnp.float32) - offset.astype(jnp.float32)
    offset = offset.astype(x.dtype)
    if jnp.issubdtype(x.dtype, jnp.signedinteger):
        return (x - offset).astype(jnp.float32)
    return jnp.where(x < offset, -(offset - x).astype(jnp.float32), (x - offset).astype(jnp.float32))


def over_rows(
    part: Callable[[Array, Array], PyTree],
    x: Array | HostRows,
    weights: Array,
    combine: Callable[[Array, Array], Array] = jnp.add,
    offset: Array | None = None,
) -> PyTree:
    """``part(x, weights)`` of blocks of rows, put together.

    Args:
      part: of rows ``(m, ...)`` in float32 and their weights ``(m, 1, ...)``; rows of weight 0 come as 0.
      x: ``(n, ...)``.
      weights: ``(n,)``.
      combine: what puts two results together.
      offset: what is subtracted from x, as `shifted` does it.
    """

    def block(x: Array, weights: Array) -> PyTree:
        weights = weights.reshape(-1, *[1] * (x.ndim - 1))
        # Whatever stands in a row that doesn't count, NaN too, must not reach the sums.
        return part(jnp.where(weights > 0, shifted(x, offset), 0), weights)

    rows = max(1, _NUMBERS // math.prod(x.shape[1:]))
    if isinstance(x, HostRows):
        return _over_host_rows(jax.jit(block), x, weights, combine, rows)
    blocks = x.shape[0] // rows
    if blocks == 0:
        return block(x, weights)

    def both(first: PyTree, second: PyTree) -> PyTree:
        return jax.tree.map(combine, first, second)

    def step(number: Array, total: PyTree) -> PyTree:
        return both(total, block(*(lax.dynamic_slice_in_dim(array, number * rows, rows) for array in (x, weights))))

    total = lax.fori_loop(1, blocks, step, block(x[:rows], weights[:rows]))
    rest = blocks * rows
    return both(total, block(x[rest:], weights[rest:])) if rest < x.shape[0] else total


def _over_host_rows(
    block: Callable[[Array, Array], PyTree],
    x: HostRows,
    weights: Array,
    combine: Callable[[Array, Array], Array],
    rows: int,
) -> PyTree:
    total = None
    for first in range(0, x.shape[0], rows):
        last = min(first + rows, x.shape[0])
        found = block(jnp.asarray(x.read(first, last)), weights[first:last])
        total = found if total is None else jax.tree.map(combine, total, found)
    return total
