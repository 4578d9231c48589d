"""Metrics: values that score a network's outputs block by block in constant memory, each with a stated direction.

Call one on arrays, ``metrics.accuracy(outputs, targets)``, or feed it blocks of an epoch through its `init`, `update`
and `compute`. `average`, `collecting` and `of_params` make metrics of your own functions.
"""

from jreg.metrics.classification import accuracy, log_loss, perplexity
from jreg.metrics.lifts import average, collecting, of_params
from jreg.metrics.metric import Metric, ParamsMetric, as_metric
from jreg.metrics.regression import mae, mse, r2

__all__ = [
    "Metric",
    "ParamsMetric",
    "average",
    "collecting",
    "of_params",
    "as_metric",
    "accuracy",
    "log_loss",
    "mae",
    "mse",
    "perplexity",
    "r2",
]
