"""The lectures' table of last layer, loss and score by the kind of target."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax

from jreg import metrics
from jreg._base.types import Array
from jreg.losses.classification import sigmoid_cross_entropy, softmax_cross_entropy
from jreg.losses.regression import squared_error


class Task(NamedTuple):
    """What belongs together for one kind of target.

    Attributes:
      activation: of the last layer, to be applied to the network's outputs for probabilities or numbers; the loss
        and the metric take the outputs without it.
      loss: ``(outputs, targets) -> one loss per example``.
      metric: of `jreg.metrics`.
      name: of the metric.
    """

    activation: Callable[[Array], Array]
    loss: Callable[[Array, Array], Array]
    metric: metrics.Metric
    name: str


def _identity(outputs: Array) -> Array:
    return outputs


_R2_OF_SIGMOID = dataclasses.replace(
    metrics.r2,
    update=lambda state, outputs, targets, weights: metrics.r2.update(state, jax.nn.sigmoid(outputs), targets, weights),
)

_TASKS = {
    "binary": Task(jax.nn.sigmoid, sigmoid_cross_entropy, metrics.accuracy, "accuracy"),
    "multiclass": Task(jax.nn.softmax, softmax_cross_entropy, metrics.accuracy, "accuracy"),
    "multilabel": Task(jax.nn.sigmoid, sigmoid_cross_entropy, metrics.accuracy, "accuracy"),
    "regression": Task(_identity, squared_error, metrics.r2, "r2"),
    "unit_regression": Task(jax.nn.sigmoid, sigmoid_cross_entropy, _R2_OF_SIGMOID, "r2"),
}


def for_task(task: str) -> Task:
    r"""Last layer, loss and score for a kind of target.

    | task | targets | last layer | loss | score |
    | --- | --- | --- | --- | --- |
    | binary | 0 or 1, one unit | sigmoid | binary cross-entropy | accuracy |
    | multiclass | 0 to K - 1, K units | softmax | cross-entropy | accuracy |
    | multilabel | K times 0 or 1, K units | sigmoid | binary cross-entropy | share of right labels |
    | regression | numbers | none | half squared error | r2 |
    | unit_regression | numbers in [0, 1] | sigmoid | binary cross-entropy | r2 |

    Args:
      task: a name of the first column.

    Returns:
      A `Task`; its loss and metric take the network's outputs before the activation.

    Raises:
      ValueError: there is no such task.

    >>> import jax.numpy as jnp
    >>> task = for_task("binary")
    >>> float(task.activation(jnp.array(0.0))), round(float(task.loss(jnp.array([0.0]), jnp.array(1))), 4)
    (0.5, 0.6931)

    Source: Chollet, Deep learning with Python (2017), table 4.1.
    """
    if task not in _TASKS:
        raise ValueError(f"for_task got {task!r}, but must get one of {', '.join(_TASKS)}")
    return _TASKS[task]
