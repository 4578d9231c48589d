"""The static part of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array
from jreg.recipe import Recipe, Steps, build
from jreg.splits import Folds
from jreg.training.columns import Column
from jreg.training.stopping import EarlyStopping

# The most rows that a forward pass of an evaluation takes at once, so that its memory doesn't grow with the data, and
# what a further block costs, in rows.
MOST_ROWS, _COST = 2048, 32


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static part of a training: what shapes and code depend on.

    Attributes:
      recipe: the user's function of the hyperparameters.
      static: the hyperparameters that are not traced, as (name, value) pairs.
      task: ``"classification"``, ``"multilabel"`` or ``"regression"``.
      epochs: the most passes over the training rows, which the history has room for.
      batch_size: examples per step.
      block: examples that an evaluation sends through the network at once.
      stopping: early stopping with its column and the better end of that stated, or None.
      columns: of the history.
      output_bytes: that the network's outputs for one example take.
      keep: functions of a `Finished` whose results outlive the training.
    """

    recipe: Callable[..., Recipe]
    static: tuple[tuple[str, Any], ...]
    task: str
    epochs: int
    batch_size: int
    block: int
    stopping: EarlyStopping | None
    columns: tuple[Column, ...]
    output_bytes: int = 0
    keep: tuple[Callable[..., Any], ...] = ()

    def build(self, hp: Mapping[str, Any], fold: Folds, epochs: Array | int) -> Recipe:
        """The recipe of one training with the traced hyperparameters `hp`, for as many epochs on this fold."""
        steps = self.steps(fold)
        return build(self.recipe, {**dict(self.static), **hp}, Steps(steps, steps * epochs))

    def steps(self, fold: Folds) -> Array:
        """How many steps an epoch takes on a fold, int32."""
        return -(-jnp.asarray(fold.train_count, jnp.int32) // self.batch_size)

    def full(self, fold: Folds) -> Array:
        """How many rows the largest batch of a fold has, int32."""
        return jnp.minimum(jnp.asarray(fold.train_count, jnp.int32), self.batch_size)

    @property
    def monitored(self) -> Column | None:
        """The column that early stopping looks at."""
        wanted = self.stopping.monitor if self.stopping else None
        return next((column for column in self.columns if column.label == wanted), None)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what the loss returns beside its values."""
        return tuple(c.name for c in self.columns if (c.split, c.kind) == ("train", "loss") and c.name != "loss")

    @property
    def evaluated(self) -> tuple[str, ...]:
        """On which rows the network is evaluated after each epoch: ``"stopping"``, ``"validation"``, both or none."""
        there = {column.split for column in self.columns}
        return tuple(split for split in ("stopping", "validation") if split in there)


def block_size(counts: np.ndarray) -> int:
    """How many rows to evaluate at once, so that folds of unequal size cost about what they have.

    The size among shares of the largest fold, at most 2048 rows, with which all folds together cost the least; a
    block costs its rows and some more.

    >>> block_size(np.array([288, 287, 287])), block_size(np.array([1000, 10, 10, 10, 10, 10, 10])) < 300
    (288, True)
    """
    largest = max(1, int(counts.max(initial=1)))
    fewest = -(-largest // MOST_ROWS)
    sizes = sorted({-(-largest // share) for share in range(fewest, max(fewest, largest // 16) + 1)}, reverse=True)
    cost = [int(np.sum(-(-counts // size)) * (size + _COST)) for size in sizes]
    return sizes[int(np.argmin(cost))]
