"""Choosing leaves of a parameter tree, and what lifts know of their axes."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.leaves import weights
from jreg._base.names import listed, path_of
from jreg._base.reading import Doubt, Reading, assumed, said, within
from jreg._base.types import Array, Path, PyTree, Where
from jreg._base.weights import Leaf, read

Axis = int | Sequence[int] | None


def kernels(path: Path, leaf: Any) -> bool:
    """The default choice of leaves: the weights of affine maps.

    Biases, normalization scales and embeddings are left alone, whatever their rank (Goodfellow, Bengio and Courville,
    Deep Learning, section 7.1). `selected` looks at the whole tree; of a leaf alone this sees path and shape.

    >>> import jax.numpy as jnp
    >>> kernels("Dense_0/kernel", jnp.ones((3, 2))), kernels("query/bias", jnp.ones((2, 4)))
    (True, False)
    """
    *modules, name = path.split("/")
    tree = {name: leaf}
    for module in reversed(modules):
        tree = {module: tree}
    return weights(tree)[0]


def matching(tree: PyTree, like: PyTree, name: str) -> PyTree:
    """`tree`, or one sentence when its structure is not that of `like`."""
    if jax.tree.structure(tree) != jax.tree.structure(like):
        found, wanted = (
            listed([path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(t)], 24) for t in (tree, like)
        )
        raise ValueError(
            f"{name} is a tree with the paths {found}, but must have those of the parameters: {wanted or 'none'}"
        )
    return tree


def selected(tree: PyTree, where: Where, what: str = "parameter", may_be_none: bool = False) -> list[bool]:
    """One flag a leaf, in `jax.tree.leaves` order: does `where` choose it?

    Raises:
      ValueError: nothing matches, and the sentence lists the paths there are; or a tree of flags has another
        structure.
      TypeError: `where` is nothing that chooses.
    """
    leaves = [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    if not _is_mask(where) and callable(where) and _takes_a_tree(where):
        where = where(tree)  # ty: ignore[missing-argument]
    if _is_mask(where):
        flags = [bool(flag) for flag in jax.tree.leaves(_flags(where, tree))]
    elif where is kernels:
        flags = weights(tree)
    elif isinstance(where, str):
        flags = [fnmatch.fnmatchcase(path, where) for path, _ in leaves]
    elif isinstance(where, re.Pattern):
        flags = [bool(where.search(path)) for path, _ in leaves]
    elif callable(where):
        flags = [bool(where(path, leaf)) for path, leaf in leaves]
    else:
        raise TypeError(
            f"where is {where!r}, but must be a path pattern such as '*/kernel', a compiled regular expression, a "
            "function of (path, leaf), a tree of flags or a function that makes one of the parameters"
        )
    if not any(flags) and not may_be_none:
        paths = listed([path for path, _ in leaves], 24)
        chosen = where if isinstance(where, str) else getattr(where, "pattern", getattr(where, "__name__", where))
        raise ValueError(f"where={chosen!r} matches no {what}; the paths are: {paths}")
    return flags


def _is_mask(where: Where) -> bool:
    return where is not None and all(isinstance(flag, bool | np.bool_) for flag in jax.tree.leaves(where))


def _takes_a_tree(where: Callable[..., Any]) -> bool:
    """Whether `where` is a function of the whole tree, as the masks of `optax.masked` may be."""
    try:
        inspect.signature(where).bind(None, None)
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def _flags(where: PyTree, tree: PyTree) -> PyTree:
    """One flag a leaf; a flag for a whole subtree counts for all its leaves, as in `optax.masked`."""
    try:
        return jax.tree.broadcast(where, tree)
    except ValueError:
        return matching(where, tree, "where")


def readings(tree: PyTree, flags: Sequence[bool], axis: Any = None) -> list[Reading | Doubt | None]:
    """The axes of each leaf that has a flag: those that a lift's `axis` says, else what can be known.

    Raises:
      ValueError: a path of `axis` matches no such leaf, or an axis doesn't exist.
      TypeError: `axis` is nothing that says axes.
    """
    found = [leaf if flag else None for leaf, flag in zip(read(tree), flags, strict=True)]
    patterns = axis if isinstance(axis, Mapping) else {} if axis is None else {"*": axis}
    for pattern in patterns:
        paths = [leaf.path for leaf in found if leaf]
        if not fnmatch.filter(paths, pattern):
            raise ValueError(f"axis names the path {pattern!r}, which matches none of the chosen: {', '.join(paths)}")

    def of(leaf: Leaf | None) -> Reading | Doubt | None:
        if leaf is None or len(leaf.shape) < 2:
            return None
        matches = (value for pattern, value in patterns.items() if fnmatch.fnmatchcase(leaf.path, pattern))
        given = next(matches, None)
        return leaf.reading if given is None else said(given, leaf.path, leaf.shape)

    return list(map(of, found))


def map_selected(
    f: Callable[..., Array], where: Where, tree: PyTree, *rest: PyTree, may_be_none: bool = False
) -> PyTree:
    """Applies `f` to the leaves of `tree` (and the matching leaves of `rest`) that `where` chooses.

    The others are returned as they stand in `tree`; `where` looks at the last tree given.
    """
    flags = selected(rest[-1] if rest else tree, where, may_be_none=may_be_none)
    return _mapped(f, flags, [None] * len(flags), tree, *rest)


def map_weights(
    f: Callable[..., Array], where: Where, axis: Any, tree: PyTree, *rest: PyTree, may_be_none: bool = False
) -> PyTree:
    """`map_selected` for an `f` that may depend on which axes are what, see `readings`."""
    looked_at = rest[-1] if rest else tree
    flags = selected(looked_at, where, may_be_none=may_be_none)
    return _mapped(f, flags, readings(looked_at, flags, axis), tree, *rest)


def _mapped(f: Callable[..., Array], flags: Any, known: Any, tree: PyTree, *rest: PyTree) -> PyTree:
    leaves, treedef = jax.tree.flatten(tree)
    parts = zip(leaves, *map(treedef.flatten_up_to, rest), strict=True)
    return treedef.unflatten(
        [
            within(reading, f, *part) if flag else part[0]
            for flag, reading, part in zip(flags, known, parts, strict=True)
        ]
    )


def axes(w: Array, axis: Axis) -> tuple[int, ...]:
    """`axis` as a tuple of non-negative axes; None means a unit's incoming weights.

    They are what the lift knows that calls for `w`, and all axes but the last of a bare array.
    """
    rank = jnp.ndim(w)
    if axis is None:
        reading = assumed(w)
        if reading is not None:
            return tuple(sorted(reading.inputs))
        return tuple(range(rank - 1)) if rank > 1 else tuple(range(rank))
    try:
        wanted = tuple(map(operator.index, axis if isinstance(axis, Sequence) else (axis,)))
    except TypeError:
        raise TypeError(f"axis is {axis!r}, but must be a whole number, several, or None") from None
    if any(not -rank <= a < rank for a in wanted):
        raise ValueError(f"axis={axis!r} does not exist in an array of shape {jnp.shape(w)}")
    if len({a % rank for a in wanted}) < len(wanted):
        raise ValueError(f"axis={axis!r} names an axis of an array of shape {jnp.shape(w)} twice")
    return tuple(a % rank for a in wanted)


def copied(tree: PyTree) -> PyTree:
    """Arrays of their own, so that a program that is given both trees may reuse the memory of both."""
    return jax.tree.map(jnp.copy, tree)


def all_finite(tree: PyTree) -> Any:
    """Whether all floating numbers are finite; on NumPy's arrays nothing is compiled."""
    floating = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(operator.and_, ((abs(leaf) < math.inf).all() for leaf in floating), True)
