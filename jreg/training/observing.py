"""Who watches one training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from jreg.training.columns import labels
from jreg.training.plan import Plan
from jreg.training.status import Status
from jreg.training.step import TrainState


class Epoch(NamedTuple):
    """What an observer of `fit` receives after each epoch; numbers on the host.

    Attributes:
      done: epochs that have been trained.
      total: the most that there will be.
      measured: the epoch's row of the history, by label.
      status: how the training stands now.
    """

    done: int
    total: int
    measured: Mapping[str, float]
    status: Status


Observer = Callable[[Epoch], None]


def observer(progress: Observer | Sequence[Observer], given: Any = ()) -> Observer:
    """One function that calls all, for a training of what is `given`, which must be known after each epoch."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
        raise TypeError(
            "fit calls progress after each epoch, which it can't while jax.jit, jax.vmap or a derivative traces it: "
            "leave progress out, and read the history that it returns"
        )
    if not callable(progress) and not isinstance(progress, Sequence):
        raise TypeError(
            f"progress is {progress!r}, but must be a function of a jreg.training.Epoch, or several, such as "
            "progress=print"
        )
    several = (progress,) if callable(progress) else tuple(progress)
    for one in several:
        if not callable(one):
            raise TypeError(f"progress has {one!r}, but must be functions of a jreg.training.Epoch")

    def observe(epoch: Epoch) -> None:
        for one in several:
            one(epoch)

    return observe


def epoch_of(plan: Plan, state: TrainState, total: Any) -> Epoch:
    """What there is to tell of a training after an epoch."""
    done = int(state.epoch)
    row = np.asarray(state.history)[done - 1]
    measured = dict(zip(labels(plan.columns), row.tolist(), strict=True))
    return Epoch(done, int(total), measured, Status(int(state.status)))
