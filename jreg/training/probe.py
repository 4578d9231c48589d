"""Whether a loss keeps examples apart: it is run on shapes, with numbers of rows that no other axis has."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax

from jreg._base.types import PyTree
from jreg.recipe import Recipe

_COUNTS = (11, 13, 17, 19, 23, 29, 31, 37, 41, 43)


def check_loss(recipe: Recipe, outputs: PyTree, targets: PyTree) -> None:
    """Checks a loss that isn't one of jreg's.

    Rows of padding have the weight 0, so a mean over the batch would count them; and outputs ``(n, 1)`` against targets
    ``(n,)`` broadcast to all pairs, of which a mean shows nothing.

    Raises:
      ValueError: it doesn't return one value per example, or pairs every output with every target.
    """
    loss = recipe.loss
    while isinstance(loss, functools.partial):
        loss = loss.func
    leaves = jax.tree.leaves((outputs, targets))
    if str(getattr(loss, "__module__", "")).startswith("jreg.") or not all(leaf.shape[:1] == (2,) for leaf in leaves):
        return
    known = {length for leaf in leaves for length in leaf.shape}
    few, more, *_ = (count for count in _COUNTS if count not in known)
    values, parts = jax.eval_shape(recipe.losses_and_parts, _rows(outputs, few), _rows(targets, few))
    for name, found in (("loss", values), *((f"loss's part {name!r}", part) for name, part in parts.items())):
        if found.shape != (few,):
            raise ValueError(
                f"the recipe's {name} has shape {found.shape} for {few} examples, but must be one value per example, "
                "(n,) or (n, ...): leave out the mean over the batch, in which rows of padding would count"
            )
    shapes = [getattr(tree, "shape", ()) for tree in (outputs, targets)]
    if sorted(shapes) != [(2,), (2, 1)]:
        return
    try:
        traced = jax.make_jaxpr(recipe.losses_and_parts)(_rows(outputs, few), _rows(targets, more))
    except Exception:
        # So it should be: each output belongs to a target.
        return
    if any({few, more} <= set(shape) for shape in _shapes_in(traced)):
        first, second = (str(("n", *shape[1:])).replace("'", "") for shape in shapes)
        raise ValueError(
            f"the recipe's loss pairs every output with every target, as outputs of shape {first} broadcast against "
            f"targets of shape {second}: take jnp.squeeze of the longer one, axis=-1, or a loss of jreg.losses"
        )


def _rows(tree: PyTree, count: int) -> PyTree:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype), tree)


def _shapes_in(traced: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of everything that is computed, in inner functions too."""
    for equation in getattr(traced, "jaxpr", traced).eqns:
        yield from (getattr(found.aval, "shape", ()) for found in equation.outvars)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns")):
            if hasattr(inner, "eqns"):
                yield from _shapes_in(inner)
