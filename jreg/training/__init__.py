"""One training run: pure functions for its start, an epoch and its evaluation, and `fit` that runs them all."""

from jreg.training import doors, keep
from jreg.training.check import make_plan, sample_steps, sampled
from jreg.training.columns import Column, find, labels
from jreg.training.fit import (
    Fit,
    evaluate,
    first_fold,
    fit,
    fit_of,
    named_tracers,
    predict,
    rows_of,
)
from jreg.training.inputs import Rows
from jreg.training.keep import Finished, Keep, collect
from jreg.training.keys import FINAL, member_key, streams, streams_on_host
from jreg.training.observing import Epoch
from jreg.training.plan import Plan
from jreg.training.status import STATUS, Status, why_diverged
from jreg.training.step import Training, TrainState, best_epoch, epoch, final_network, recipe_of, start
from jreg.training.stopping import EarlyStopping, StoppingState
from jreg.training.stream import fit_stream

__all__ = [
    "FINAL",
    "STATUS",
    "Column",
    "EarlyStopping",
    "Epoch",
    "Finished",
    "Fit",
    "Keep",
    "Plan",
    "Rows",
    "Status",
    "StoppingState",
    "TrainState",
    "Training",
    "best_epoch",
    "collect",
    "doors",
    "epoch",
    "evaluate",
    "final_network",
    "find",
    "first_fold",
    "fit",
    "fit_of",
    "fit_stream",
    "keep",
    "labels",
    "make_plan",
    "member_key",
    "streams",
    "streams_on_host",
    "named_tracers",
    "predict",
    "recipe_of",
    "rows_of",
    "sample_steps",
    "sampled",
    "start",
    "why_diverged",
]
