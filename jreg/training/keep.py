"""What outlives a training: functions that run on the device once, when it ends.

Any function of a `Finished` that returns a dict, list or tuple of arrays may be given as `keep`:

>>> import optax
>>> def largest_weight(finished):
...     return {"largest": optax.tree.max(finished.params)}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training import measure
from jreg.training.columns import Column
from jreg.training.inputs import Rows, take, targets_of


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
      task: of the data.
    """

    params: PyTree
    model_state: PyTree
    statistics: PyTree
    recipe: Recipe
    rows: Rows
    fold: Folds
    block: int
    task: str

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


def train_scores(finished: Finished) -> dict[str, PyTree]:
    """Losses and metrics of the recipe on the fold's training rows, in evaluation mode, by name.

    The history's training columns are measured while the network learns: with dropout, on augmented examples, with the
    parameters before each step. These are measured as the network predicts: with the parameters that count, no noise,
    and clean examples. They are what `jreg.Network.evaluate` gives for these rows. The rows come in blocks, so that
    memory doesn't grow with their number, except for metrics of `jreg.metrics.collecting`.
    """
    network = (finished.params, finished.model_state, finished.statistics)
    rows = finished.rows, finished.fold, "train"
    found = measure.evaluate_rows(finished.recipe, finished.task, finished.block, network, *rows)
    return {"train_scores": {name: value for (_, _, name), value in found.items()}}


def network(finished: Finished) -> dict[str, PyTree]:
    """The trained network: its parameters, running averages and preprocessing statistics."""
    return {
        "network": {
            "params": finished.params,
            "model_state": finished.model_state,
            "statistics": finished.statistics,
        }
    }


# Those that a study which goes on knows by their names.
KNOWN: dict[str, Keep] = {"outputs": outputs, "network": network, "train_scores": train_scores}


def names(functions: Sequence[Keep]) -> tuple[str, ...]:
    """What functions are called in a specification."""
    return tuple(getattr(function, "__name__", type(function).__name__) for function in functions)


def collect(functions: Sequence[Keep], finished: Finished) -> dict[str, PyTree]:
    """What all keep functions return, by name: a dict's own names, else the name of the function.

    Raises:
      ValueError: two functions use one name.
      TypeError: a function returns nothing that can be kept.
    """
    found: dict[str, PyTree] = {}
    for function, name in zip(functions, names(functions), strict=True):
        kept = function(finished)
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


@dataclasses.dataclass(frozen=True)
class RowScores:
    """A keep function: the score of each validation row alone, ``(rows of the largest fold,)``, padded with NaN.

    Attributes:
      column: of the validation rows, a loss or a metric that is a mean over rows (`jreg.metrics.average`).
      task: of the data.
    """

    column: Column
    task: str

    def __call__(self, finished: Finished) -> dict[str, Any]:
        """The scores.

        Raises:
          ValueError: the column is no mean over rows.
        """
        recipe, fold = finished.recipe, finished.fold
        if fold.validation.shape[-1] == 0:
            return {}
        size, padded, blocks = measure.blocks_of(fold, "validation", finished.block)
        network = (finished.params, finished.model_state, finished.statistics)

        def body(number: Any, found: Any) -> Any:
            chosen = jax.lax.dynamic_slice_in_dim(padded, number * size, size)
            x, y = take(finished.rows.x, chosen), take(finished.rows.y, chosen)
            outputs = measure.forward(recipe, *network, x)
            block = measure.seen(recipe, outputs, targets_of(recipe, finished.statistics, x, y))
            scores = self._of(recipe, block).astype(jnp.float32)
            return jax.lax.dynamic_update_slice_in_dim(found, scores, number * size, 0)

        found = jax.lax.fori_loop(0, blocks, body, jnp.full(padded.shape, jnp.nan, jnp.float32))
        found = found[: fold.validation.shape[-1]]
        meant = jnp.arange(found.shape[0], dtype=jnp.int32) < fold.validation_count
        return {"row_scores": jnp.where(meant, found, jnp.nan)}

    def _of(self, recipe: Recipe, block: measure.Seen) -> Any:
        if self.column.kind == "loss":
            return block.losses if self.column.name == "loss" else block.parts[self.column.name]
        metric = measure.meters(recipe, self.task)["metric", self.column.name]
        if metric.values is None:
            raise ValueError(
                f"a race that compares rows ranks by {self.column.label!r}, which is no mean over rows: take a score "
                "that is one, such as 'val_accuracy' or 'val_loss', or another race"
            )
        outputs = block.outputs.reshape(block.targets.shape) if recipe.reconstruct else block.outputs
        return metric.values(outputs, block.targets)
