"""What outlives a training: functions that run on the device once, when it ends.

Any function of a `Finished` that returns a dict, list or tuple of arrays may be given as `keep`:

>>> import optax
>>> def largest_weight(finished):
...     return {"largest": optax.tree.max(finished.params)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training import measure
from jreg.training.inputs import Rows, take


class Finished(NamedTuple):
    """What a keep function receives.

    Attributes:
      params: the parameters that count; with early stopping those of the best epoch.
      model_state: the running averages that belong to them.
      statistics: of the preprocessing.
      recipe: of the training.
      rows: the data, all of it.
      fold: the training's row numbers.
      block: how many rows to evaluate at once.
    """

    params: PyTree
    model_state: PyTree
    statistics: PyTree
    recipe: Recipe
    rows: Rows
    fold: Folds
    block: int

    __repr__ = brief


Keep = Callable[[Finished], Any]


def outputs(finished: Finished) -> dict[str, PyTree]:
    """The network's outputs for the validation rows of its fold, ``(rows of the largest fold, ...)``, padded with 0.

    In a regression they are in the targets' own units. From them come out-of-fold predictions, and any score of them,
    without another training.
    """
    rows, fold = finished.rows, finished.fold
    if fold.validation.shape[-1] == 0:
        return {}
    size, padded, blocks = measure.blocks_of(fold, "validation", finished.block)
    network = (finished.params, finished.model_state, finished.statistics)
    shapes = measure.block_shapes(finished.recipe, *network, rows, size).outputs

    def body(number: Any, found: PyTree) -> PyTree:
        chosen = jax.lax.dynamic_slice_in_dim(padded, number * size, size)
        values = measure.forward(finished.recipe, *network, take(rows.x, chosen))
        if finished.recipe.targets is not None and finished.recipe.targets.invert is not None:
            values = finished.recipe.targets.invert(finished.statistics[1], values)
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, number * size, 0), found, values
        )

    empty = jax.tree.map(lambda leaf: jnp.zeros((padded.shape[0], *leaf.shape[1:]), leaf.dtype), shapes)
    found = jax.lax.fori_loop(0, blocks, body, empty)
    return {"outputs": jax.tree.map(lambda leaf: leaf[: fold.validation.shape[-1]], found)}


def network(finished: Finished) -> dict[str, PyTree]:
    """The trained network: its parameters, running averages and preprocessing statistics."""
    return {
        "network": {
            "params": finished.params,
            "model_state": finished.model_state,
            "statistics": finished.statistics,
        }
    }


def collect(functions: Sequence[Keep], finished: Finished) -> dict[str, PyTree]:
    """What all keep functions return, by name: a dict's own names, else the name of the function.

    Raises:
      ValueError: two functions use one name.
      TypeError: a function returns nothing that can be kept.
    """
    found: dict[str, PyTree] = {}
    for function in functions:
        kept = function(finished)
        name = getattr(function, "__name__", type(function).__name__)
        if not isinstance(kept, Mapping | list | tuple) and not hasattr(kept, "dtype"):
            raise TypeError(
                f"the keep function {name} returned a {type(kept).__name__}, but must return a dict, list or tuple of "
                "arrays"
            )
        for key, value in (kept if isinstance(kept, Mapping) else {name: kept}).items():
            if key in found:
                raise ValueError(f"two keep functions keep something called {key!r}: rename one")
            found[key] = jax.tree.map(jnp.asarray, value)
    return found
