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
