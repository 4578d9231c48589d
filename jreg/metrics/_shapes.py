"""How outputs are read: as a logit per class, one for two classes, or one for each of several labels."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base.types import Array


def has_classes(outputs: Array, targets: Array) -> bool:
    """Whether the outputs have a last axis of classes; raises ValueError where they do not fit the targets."""
    if outputs.ndim > 1 and outputs.shape[:-1] == targets.shape and outputs.shape[-1] > 1:
        return True
    if outputs.shape not in (targets.shape, (*targets.shape, 1)):
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: they need the same shape, "
            "or one more axis, the last, with a logit per class"
        )
    return False


def has_labels(outputs: Array, targets: Array) -> bool:
    """Whether there are several labels per example, 0 or 1 each, along the last axis."""
    return targets.ndim > 1 and outputs.shape == targets.shape


def one_label(outputs: Array, targets: Array, name: str) -> None:
    """Raises ValueError where there are several labels per example."""
    if not has_classes(outputs, targets) and has_labels(outputs, targets):
        raise ValueError(
            f"{name} takes one label per example, but outputs and targets of shape {targets.shape} are several: take "
            "metrics.accuracy or metrics.f1"
        )


def class_numbers(targets: Array) -> Array:
    """Labels of several classes in int32; raises TypeError where they are not integers."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        raise TypeError(
            f"targets have dtype {targets.dtype}, but labels of several classes must be integers: convert them with "
            ".astype(jnp.int32)"
        )
    return targets.astype(jnp.int32)


def predicted_labels(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """The predicted class numbers or flags in the targets' shape, int32, and where an output is NaN."""
    lost = jnp.isnan(outputs)
    if has_classes(outputs, targets):
        return jnp.argmax(outputs, axis=-1).astype(jnp.int32), jnp.any(lost, axis=-1)
    return (outputs.reshape(targets.shape) > 0).astype(jnp.int32), lost.reshape(targets.shape)


def per_label(weights: Array, targets: Array) -> Array:
    """Weights ``(n,)`` for each label of ``(n, ...)``, float32."""
    shape = (-1, *[1] * (targets.ndim - 1))
    return jnp.broadcast_to(weights.astype(jnp.float32).reshape(shape), targets.shape)
