"""Losses: ``(outputs, targets) -> one loss per example``, built on optax.

A recipe's `loss` has this form; the training step takes the mean over the examples of the batch.
"""

from jreg.losses.classification import (
    focal,
    hinge,
    multiclass_hinge,
    sigmoid_cross_entropy,
    sigmoid_focal,
    softmax_cross_entropy,
    squared_hinge,
)
from jreg.losses.links import link_of
from jreg.losses.regression import absolute_error, cosine_proximity, huber, kl_divergence, squared_error
from jreg.losses.tasks import Task, for_task

__all__ = [
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "focal",
    "sigmoid_focal",
    "hinge",
    "squared_hinge",
    "multiclass_hinge",
    "squared_error",
    "absolute_error",
    "huber",
    "cosine_proximity",
    "kl_divergence",
    "link_of",
    "for_task",
    "Task",
]
