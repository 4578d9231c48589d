"""Metrics: values that score a network's outputs block by block in constant memory, each with a stated direction.

Call one on arrays, ``metrics.accuracy(outputs, targets)``, or feed it blocks of an epoch through its `init`, `update`
and `compute`. `average`, `collecting` and `of_params` make metrics of your own functions.
"""

from jreg.metrics.classification import accuracy, log_loss, perplexity, top_k_accuracy
from jreg.metrics.counts import balanced_accuracy, f1, mcc
from jreg.metrics.lifts import average, collecting, of_params
from jreg.metrics.metric import Metric, ParamsMetric, as_metric
from jreg.metrics.probabilities import brier, ece
from jreg.metrics.ranking import average_precision, roc_auc
from jreg.metrics.regression import mae, mape, mse, pinball, r2, rmse

__all__ = [
    "Metric",
    "ParamsMetric",
    "average",
    "collecting",
    "of_params",
    "as_metric",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "ece",
    "f1",
    "log_loss",
    "mae",
    "mape",
    "mcc",
    "mse",
    "perplexity",
    "pinball",
    "r2",
    "rmse",
    "roc_auc",
    "top_k_accuracy",
]
