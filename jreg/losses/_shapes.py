"""Outputs brought to the shape of the targets."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base.types import Array


def squeeze(outputs: Array, targets: Array) -> Array:
    """Outputs without a last axis of one unit; raises ValueError where they don't fit the targets."""
    if jnp.ndim(outputs) == jnp.ndim(targets) + 1 and outputs.shape[-1] == 1:
        outputs = jnp.squeeze(outputs, -1)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: the last layer "
            "needs one unit for each number to predict"
        )
    return outputs


def check_labels(labels: Array, logits: Array, name: str) -> None:
    """Raises unless labels are a class number for each row of logits.

    Raises:
      ValueError: the shapes don't fit, as those of one-hot labels in integers.
      TypeError: labels are floating.
    """
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
