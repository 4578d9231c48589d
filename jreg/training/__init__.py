"""One training run: pure functions for its start, an epoch and its evaluation, and `fit` that runs them all."""

from jreg.training.fit import Fit, evaluate, fit, named_tracers, predict
from jreg.training.plan import Plan, make_plan
from jreg.training.step import (
    COMPLETED,
    DIVERGED,
    PRUNED,
    RUNNING,
    STATUS,
    STOPPED,
    Rows,
    TrainState,
    best_epoch,
    epoch,
    kept,
    member_key,
    start,
)
from jreg.training.stopping import EarlyStopping, StoppingState, higher_is_better
from jreg.training.stream import fit_stream

__all__ = [
    "COMPLETED",
    "DIVERGED",
    "PRUNED",
    "RUNNING",
    "STATUS",
    "STOPPED",
    "EarlyStopping",
    "Fit",
    "Plan",
    "Rows",
    "StoppingState",
    "TrainState",
    "best_epoch",
    "epoch",
    "evaluate",
    "fit",
    "fit_stream",
    "higher_is_better",
    "kept",
    "make_plan",
    "member_key",
    "named_tracers",
    "predict",
    "start",
]
