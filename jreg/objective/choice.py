"""Which parameters a lift takes, and what it takes their axes for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from jreg._base.reading import Reading
from jreg._base.tree import kernels, readings, selected
from jreg._base.types import Path, PyTree, Where
from jreg._base.weights import read


class Choice(NamedTuple):
    """One parameter in the table of `jreg.where`.

    Attributes:
      path: where it is.
      shape: the array's.
      chosen: whether the lift takes it.
      what: what it is taken for, which is why.
      stack: the axes that count layers. This and the two below are None where it can't be known, and with fewer than
        two axes.
      inputs: the axes of a unit's incoming weights; of a bias, a scale or an embedding those of its vector.
      outputs: the axes that count units.
    """

    path: Path
    shape: tuple[int, ...]
    chosen: bool
    what: str
    stack: tuple[int, ...] | None
    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True, repr=False)
class Choices:
    """What `jreg.where` returns: printed it is a table.

    Attributes:
      rows: a `Choice` for each parameter, in `jax.tree.leaves` order.
      treedef: the parameters' structure.
    """

    rows: tuple[Choice, ...]
    treedef: Any

    @property
    def mask(self) -> PyTree:
        """The flags as a tree like the parameters, for `where` and `optax.masked`."""
        return self.treedef.unflatten([row.chosen for row in self.rows])

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.rows)

    def __getitem__(self, path: Path) -> Choice:
        return {row.path: row for row in self.rows}[path]

    def __str__(self) -> str:
        def axes(row: Choice, found: tuple[int, ...] | None) -> str:
            unknown = "?" if len(row.shape) > 1 else ""
            return unknown if found is None else ", ".join(map(str, sorted(found)))

        lines = [("path", "shape", "chosen", "what it is", "stack", "in", "out")] + [
            (
                row.path,
                str(row.shape),
                "yes" if row.chosen else "no",
                row.what,
                *(axes(row, found) for found in (row.stack, row.inputs, row.outputs)),
            )
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    __repr__ = __str__


def where(params: PyTree, where: Where = kernels, axis: Any = None) -> Choices:
    """Shows which parameters a lift takes and why, and which of their axes are a stack of layers, inputs and outputs.

    Args:
      params: the parameters, or their shapes from `jax.eval_shape`.
      where: that of the lift, see `jreg.on_params`; default: the weights of affine maps.
      axis: that of the lift; default: what names, shapes and modules tell.

    Returns:
      A table that prints; a question mark stands where it can't be known which axes are what, and a function that
      depends on it would raise an error. Its `mask` is a tree of flags.

    Raises:
      ValueError: a `where` of your own chooses nothing, or `axis` doesn't fit the arrays.

    >>> import jax.numpy as jnp
    >>> params = {"query": {"kernel": jnp.ones((8, 2, 4)), "bias": jnp.ones((2, 4))}, "table": jnp.ones((3, 4, 5))}
    >>> print(where(params))
    path          shape      chosen  what it is                stack  in    out
    query/bias    (2, 4)     no      bias                             0, 1
    query/kernel  (8, 2, 4)  yes     weights of an affine map         0     1, 2
    table         (3, 4, 5)  yes     weights of an affine map  ?      ?     ?

    Source: the names are those of Flax, Haiku and Equinox; for what is regularized Goodfellow, Bengio and Courville,
    Deep Learning (2016), section 7.1.
    """
    found = read(params)
    # Where the default chooses nothing the table says why.
    flags = [leaf.weight for leaf in found] if where is kernels else selected(params, where)
    chosen = readings(params, flags, axis) if any(flags) else [None] * len(flags)
    rows = []
    for leaf, flag, reading in zip(found, flags, chosen, strict=True):
        known = reading if flag else leaf.reading
        parts = (known.stack, known.inputs, known.outputs) if isinstance(known, Reading) else (None, None, None)
        rows.append(Choice(leaf.path, leaf.shape, flag, leaf.what, *parts))
    return Choices(tuple(rows), jax.tree.structure(params))
