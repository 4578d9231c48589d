"""Choosing leaves of a parameter tree by their path, and norms along axes."""

from __future__ import annotations

import fnmatch
import functools
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array, Path, PyTree, Where

Axis = int | Sequence[int] | None


def kernels(path: Path, leaf: Any) -> bool:
    """The default choice of leaves: the weights of affine maps (two axes or more).

    Biases and normalization scales have one axis and are left alone, as the literature does
    (Goodfellow, Bengio and Courville, Deep Learning, section 7.1).

    >>> import jax.numpy as jnp
    >>> kernels("Dense_0/kernel", jnp.ones((3, 2))), kernels("Dense_0/bias", jnp.ones(2))
    (True, False)
    """
    del path
    return jnp.ndim(leaf) >= 2


def path_of(keys: tuple[Any, ...]) -> Path:
    """A leaf's key path as text, ``"Dense_0/kernel"``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def matching(tree: PyTree, like: PyTree, name: str) -> PyTree:
    """`tree`, or one sentence when its structure is not that of `like`."""
    if jax.tree.structure(tree) != jax.tree.structure(like):
        found, wanted = (
            ", ".join(path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(t)) for t in (tree, like)
        )
        raise ValueError(
            f"{name} is a tree with the paths {found or 'none'}, but must have those of the parameters: "
            f"{wanted or 'none'}"
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
    if isinstance(where, str):
        flags = [fnmatch.fnmatchcase(path, where) for path, _ in leaves]
    elif isinstance(where, re.Pattern):
        flags = [bool(where.search(path)) for path, _ in leaves]
    elif callable(where):
        flags = [bool(where(path, leaf)) for path, leaf in leaves]
    elif where is None or not all(isinstance(flag, bool | np.bool_) for flag in jax.tree.leaves(where)):
        raise TypeError(
            f"where is {where!r}, but must be a path pattern such as '*/kernel', a compiled regular expression, a "
            "function of (path, leaf) or a tree of flags"
        )
    else:
        flags = [bool(flag) for flag in jax.tree.leaves(matching(where, tree, "where"))]
    if not any(flags) and not may_be_none:
        paths = ", ".join(path for path, _ in leaves) or "none"
        chosen = where if isinstance(where, str) else getattr(where, "pattern", getattr(where, "__name__", where))
        raise ValueError(f"where={chosen!r} matches no {what}; the paths are: {paths}")
    return flags


def map_selected(
    f: Callable[..., Array], where: Where, tree: PyTree, *rest: PyTree, may_be_none: bool = False
) -> PyTree:
    """Applies `f` to the leaves of `tree` (and the matching leaves of `rest`) that `where` chooses.

    The others are returned as they stand in `tree`; `where` looks at the last tree given.
    """
    flags = selected(rest[-1] if rest else tree, where, may_be_none=may_be_none)
    leaves, treedef = jax.tree.flatten(tree)
    others = [treedef.flatten_up_to(other) for other in rest]
    changed = [f(leaf, *more) if flag else leaf for flag, leaf, *more in zip(flags, leaves, *others, strict=True)]
    return treedef.unflatten(changed)


def axes(w: Array, axis: Axis) -> tuple[int, ...]:
    """`axis` as a tuple of non-negative axes; None means all but the last, a unit's incoming weights."""
    rank = jnp.ndim(w)
    if axis is None:
        return tuple(range(rank - 1)) if rank > 1 else tuple(range(rank))
    wanted = tuple(map(operator.index, axis if isinstance(axis, Sequence) else (axis,)))
    if any(not -rank <= a < rank for a in wanted):
        raise ValueError(f"axis={axis!r} does not exist in an array of shape {jnp.shape(w)}")
    return tuple(a % rank for a in wanted)


def safe_norm(w: Array, axis: Axis = None) -> Array:
    """Euclidean norm along `axis` with axes kept, whose gradient at 0 is 0 and not NaN; NaN where a weight is."""
    along = axes(w, axis)
    # Scaled by the largest element, squares neither overflow nor vanish.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(w), axis=along, keepdims=True, initial=0))
    # NaN isn't 0 either, and must not get lost.
    positive = largest != 0
    squared = jnp.sum(jnp.square(w / jnp.where(positive, largest, 1)), axis=along, keepdims=True)
    return jnp.where(positive, largest * jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def copied(tree: PyTree) -> PyTree:
    """Arrays of their own, so that a program that is given both trees may reuse the memory of both."""
    return jax.tree.map(jnp.copy, tree)


def all_finite(tree: PyTree) -> Any:
    """Whether all floating numbers are finite; on NumPy's arrays nothing is compiled."""
    floating = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(operator.and_, ((abs(leaf) < math.inf).all() for leaf in floating), True)
