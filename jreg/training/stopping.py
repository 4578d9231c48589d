"""Early stopping as a pure state machine that works under jit, vmap and scan.

Flax's own `flax.training.early_stopping` compares in Python and keeps no best parameters.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.tree import copied
from jreg._base.types import Array, PyTree

# What is monitored unless the user says otherwise.
_LOSS = "val_loss"


class StoppingState(NamedTuple):
    """What the next evaluation needs.

    Attributes:
      best: the best value so far, float32.
      best_epoch: the zero-based epoch at which it was seen, int32; -1 before the first improvement.
      wait: evaluations since then, int32.
      stopped: whether patience has run out, bool.
      best_params: the parameters of that epoch.
    """

    best: Array
    best_epoch: Array
    wait: Array
    stopped: Array
    best_params: PyTree


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    r"""Stops after `patience` evaluations in a row without improvement and keeps the best parameters.

    With the best value b before an evaluation v (mode "min"): v improves if :math:`v < b - \delta`; then the
    wait is 0, else it grows by one, and training stops when it reaches `patience`.

    Args:
      patience: how many evaluations without improvement stop the training, at least 0 (0 and 1 both stop at
        the first one).
      min_delta: by how much a value has to be better, at least 0, in units of the monitored quantity.
      monitor: label of a column of the history, such as ``"val_loss"`` or ``"val_accuracy"``.
      start_from_epoch: the zero-based epoch that is the first to be looked at, at least 0; a training that ends before
        it keeps its last parameters.
      baseline: a value that has to be beaten as well for the wait to start again; default: none.
      mode: ``"min"``, ``"max"``, or ``"auto"``: the better end of the column. Outside of a training there is no column
        to ask, so ``"auto"`` then needs the default `monitor`.

    Raises:
      ValueError: `patience`, `min_delta` or `start_from_epoch` is negative, `baseline` isn't finite, `mode` is none of
        the three, or (when used outside of a training) "auto" while another column than the loss is monitored.
      TypeError: `patience` or `start_from_epoch` is no whole number.

    >>> stopping = EarlyStopping(patience=2)
    >>> state = stopping.init({})
    >>> for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.4, 1.0]):
    ...     state = stopping.update(state, loss, epoch, {})
    ...     if state.stopped:
    ...         break
    >>> epoch, int(state.best_epoch), float(state.best)
    (3, 1, 2.0)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), algorithm 7.1; the semantics are those of
    Keras' ``EarlyStopping(restore_best_weights=True)``.
    """

    patience: int
    min_delta: float = 0.0
    monitor: str = _LOSS
    mode: Literal["auto", "min", "max"] = "auto"
    start_from_epoch: int = 0
    baseline: float | None = None

    def __post_init__(self) -> None:
        checks.count(self.patience, "EarlyStopping's patience", least=0)
        checks.strength(self.min_delta, "EarlyStopping's min_delta")
        checks.count(self.start_from_epoch, "EarlyStopping's start_from_epoch", least=0)
        if self.baseline is not None and not (isinstance(self.baseline, Real) and math.isfinite(self.baseline)):
            raise ValueError(f"EarlyStopping's baseline is {self.baseline!r}, but must be a finite number, or None")
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping's mode is {self.mode!r}, but must be 'auto', 'min' or 'max'")

    @property
    def maximize(self) -> bool:
        """Whether larger values of the monitored quantity are better."""
        if self.mode == "auto" and self.monitor != _LOSS:
            raise ValueError(
                f"EarlyStopping(monitor={self.monitor!r}) has mode='auto', which only a training can resolve: give "
                "mode='min' or mode='max' to use it alone"
            )
        return self.mode == "max"

    def towards(self, maximize: bool) -> EarlyStopping:
        """The same with the better end of its column, unless the user has stated one."""
        return self if self.mode != "auto" else dataclasses.replace(self, mode="max" if maximize else "min")

    def init(self, params: PyTree) -> StoppingState:
        """The state before the first evaluation; `params` stand in until there is a best."""
        worst = -jnp.inf if self.maximize else jnp.inf
        zero = jnp.zeros((), jnp.int32)
        return StoppingState(jnp.full((), worst, jnp.float32), zero - 1, zero, jnp.zeros((), bool), copied(params))

    def update(self, state: StoppingState, value: Array | float, epoch: Array | int, params: PyTree) -> StoppingState:
        """The state after evaluating `params`; a stopped state stays as it is, and NaN is no improvement."""
        value, epoch = jnp.asarray(value, jnp.float32), jnp.asarray(epoch, jnp.int32)
        counts = epoch >= self.start_from_epoch
        better = self._improves(value, state.best) & ~state.stopped & counts
        restarts = better if self.baseline is None else better & self._improves(value, self.baseline)
        wait = jnp.where(restarts, 0, jnp.where(state.stopped | ~counts, state.wait, state.wait + 1))
        # What comes before is kept while there is nothing to compare.
        newest = better | ~(counts | state.stopped)
        return StoppingState(
            best=jnp.where(better, value, state.best),
            best_epoch=jnp.where(newest, epoch, state.best_epoch),
            wait=wait,
            # Like Keras never at epoch 0, where only NaN is no improvement.
            stopped=state.stopped | (~better & counts & (wait >= self.patience) & (epoch > 0)),
            best_params=jax.tree.map(lambda new, old: jnp.where(newest, new, old), params, state.best_params),
        )

    def _improves(self, value: Array, other: Array | float) -> Array:
        return value > other + self.min_delta if self.maximize else value < other - self.min_delta
