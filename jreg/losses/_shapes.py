"""Outputs brought to the shape of the targets."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array


def squeeze(outputs: Array, targets: Array) -> Array:
    """Outputs without a last axis of one unit.

    Raises:
      TypeError: the outputs aren't floating, or one of them is no array.
      ValueError: they don't fit the targets.
    """
    _arrays(outputs, targets)
    if jnp.ndim(outputs) == jnp.ndim(targets) + 1 and outputs.shape[-1] == 1:
        outputs = jnp.squeeze(outputs, -1)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: the last layer "
            "needs one unit for each number to predict"
        )
    return outputs


def vectors(outputs: Array, targets: Array, name: str) -> Array:
    """Outputs, of which the last axis is a vector; raises as `squeeze` does."""
    _arrays(outputs, targets)
    if outputs.shape != targets.shape or not outputs.ndim:
        raise ValueError(
            f"{name} got outputs of shape {outputs.shape} and targets of shape {targets.shape}, but takes vectors of "
            "one length along the last axis of both, (n, d)"
        )
    return outputs


def zero_one(labels: Array, dtype: jnp.dtype) -> Array:
    """Labels 0 and 1 in `dtype`, NaN for other whole numbers, such as -1: a traced number can't raise."""
    found = labels.astype(dtype)
    if jnp.issubdtype(labels.dtype, jnp.floating) or labels.dtype == bool:
        return found
    return jnp.where((labels == 0) | (labels == 1), found, jnp.nan)


def exists(labels: Array, classes: int) -> Array:
    """Whether each label is the number of a class: others would be read from the end, or as the nearest."""
    # A short dtype may not reach the number of classes.
    return (labels >= 0) & (labels.astype(jnp.int32) < classes)


def _arrays(outputs: Array, targets: Array) -> None:
    checks.floating(outputs, "a loss's outputs")
    if getattr(targets, "dtype", None) is None:
        raise TypeError(f"a loss's targets are a {type(targets).__name__}, but must be an array: jnp.asarray makes one")


def check_labels(labels: Array, logits: Array, name: str) -> None:
    """Raises unless labels are a class number for each row of logits.

    Raises:
      ValueError: the shapes don't fit, as those of one-hot labels in integers.
      TypeError: labels are floating.
    """
    _arrays(logits, labels)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        raise TypeError(
            f"{name} got labels of dtype {labels.dtype}, but takes class numbers: .astype(jnp.int32) of whole numbers, "
            ".argmax(-1) of one-hot labels"
        )
    if labels.shape == logits.shape[:-1]:
        return
    if labels.shape == logits.shape:
        raise ValueError(
            f"{name} got outputs and {labels.dtype} labels of one shape, {labels.shape}, but takes one class number "
            "per example, (n,): .argmax(-1) of one-hot labels; for several labels per example there is "
            "losses.sigmoid_cross_entropy"
        )
    raise ValueError(
        f"{name} got outputs of shape {logits.shape} and labels of shape {labels.shape}, but takes one class number "
        f"for each {logits.shape[-1]} outputs"
    )
