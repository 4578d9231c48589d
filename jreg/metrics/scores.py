"""Scores of a whole set of predictions: ``(outputs, targets, weights) -> one number``, higher is better.

`weights` are 1 for examples and 0 for padding, so that sets of different sizes fit one compiled shape.
"""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base.types import Array


def accuracy(outputs: Array, targets: Array, weights: Array) -> Array:
    r"""Share of examples whose predicted class is the label, or of labels that are predicted where there are several.

    .. math:: \frac{\sum_i w_i [\hat y_i = y_i]}{\sum_i w_i}

    Args:
      outputs: ``(n, K)`` logits, the largest wins; or ``(n, 1)`` or ``(n,)``, above 0 means class 1.
      targets: ``(n,)`` integers; or ``(n, K)`` of 0 and 1, each predicted by the sign of its output.
      weights: ``(n,)``.

    Returns:
      A float32 scalar in [0, 1].

    >>> import jax.numpy as jnp
    >>> float(accuracy(jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0]), jnp.ones(2)))
    0.5

    Source: scikit-learn's ``accuracy_score``.
    """
    weights = weights.astype(jnp.float32)
    if targets.ndim == 2:
        weights = jnp.broadcast_to(weights[:, None], targets.shape)
    if outputs.ndim == 2 and outputs.shape[-1] > 1 and targets.ndim == 1:
        predicted = jnp.argmax(outputs, axis=-1)
    else:
        predicted = (outputs.reshape(targets.shape) > 0).astype(jnp.int32)
    right = (predicted == targets.astype(predicted.dtype)).astype(jnp.float32)
    return jnp.sum(weights * right) / jnp.sum(weights)


def r2(outputs: Array, targets: Array, weights: Array) -> Array:
    r"""Share of the targets' variance that the predictions explain.

    .. math:: 1 - \frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i (y_i - \bar y)^2}

    Args:
      outputs: ``(n, 1)`` or ``(n,)``; or ``(n, d)``.
      targets: ``(n,)`` floating; or ``(n, d)``, whose squares are summed over all d (scikit-learn's
        ``variance_weighted``).
      weights: ``(n,)``.

    Returns:
      A float32 scalar, at most 1; NaN where the targets don't vary.

    >>> import jax.numpy as jnp
    >>> float(r2(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 2.0, 3.0]), jnp.ones(3)))
    1.0

    Source: scikit-learn's ``r2_score``.
    """
    outputs, weights = outputs.reshape(targets.shape), weights.astype(jnp.float32)
    count = jnp.sum(weights)
    weights = weights.reshape(-1, *[1] * (targets.ndim - 1))
    meant = weights > 0
    outputs = jnp.where(meant, outputs.astype(jnp.float32), 0)
    targets = jnp.where(meant, targets.astype(jnp.float32), 0)
    mean = jnp.sum(weights * targets, axis=0, keepdims=True) / count
    error = jnp.sum(weights * jnp.square(targets - outputs))
    total = jnp.sum(weights * jnp.square(targets - mean))
    # Rounding leaves constant targets a variance of about (1e-7 mean)^2.
    vary = total > count * jnp.sum(jnp.square(1e-6 * mean))
    return jnp.where(vary, 1 - error / jnp.where(vary, total, 1), jnp.nan)
