"""Metrics of predicted classes."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import optax

from jreg._base.sharding import whole_rows
from jreg._base.types import Array
from jreg.metrics.lifts import average


@partial(average, maximize=True)
def accuracy(outputs: Array, targets: Array) -> Array:
    r"""Share of labels that are predicted.

    .. math:: \frac{\sum_i w_i [\hat y_i = y_i]}{\sum_i w_i}

    Where an example has several labels, the share among them counts for it. Higher is better.

    Args:
      outputs: ``(n, K)`` logits, the largest wins; or ``(n, 1)`` or ``(n,)``, above 0 means class 1. For sequences and
        images of labels ``(n, ..., K)``.
      targets: ``(n,)`` integers; or ``(n, K)`` of 0 and 1, each predicted by the sign of its output. For sequences and
        images ``(n, ...)``.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar in [0, 1]; NaN without any weight, and where an output is NaN.

    Raises:
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> float(accuracy(jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0])))
    0.5

    Source: scikit-learn's ``accuracy_score``.
    """
    lost = jnp.isnan(outputs)
    if _has_classes(outputs, targets):
        predicted, lost = jnp.argmax(outputs, axis=-1).astype(jnp.int32), jnp.any(lost, axis=-1)
    else:
        predicted, lost = (outputs.reshape(targets.shape) > 0).astype(jnp.int32), lost.reshape(targets.shape)
    # NaN is no prediction, though argmax and comparisons take it for one.
    return jnp.where(lost, jnp.float32(jnp.nan), (predicted == targets.astype(jnp.int32)).astype(jnp.float32))


@partial(average, maximize=False)
def log_loss(outputs: Array, targets: Array) -> Array:
    r"""Mean cross-entropy: of the softmax, or of the sigmoid where there is one output per label.

    .. math:: -\frac{\sum_i w_i \log \hat p_{i, y_i}}{\sum_i w_i}

    Lower is better.

    Args:
      outputs: ``(n, K)`` logits; or ``(n, 1)`` or ``(n,)`` for two classes. For sequences and images of labels
        ``(n, ..., K)``.
      targets: ``(n,)`` integers; or ``(n, K)`` of 0 and 1, a sigmoid each. For sequences and images ``(n, ...)``.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 0; NaN without any weight.

    Raises:
      TypeError: labels of several classes are not integers.
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> round(float(log_loss(jnp.zeros((2, 3)), jnp.array([0, 2]))), 4)
    1.0986

    Source: scikit-learn's ``log_loss``.
    """
    if _has_classes(outputs, targets):
        return _cross_entropy(outputs, targets)
    logits = outputs.reshape(targets.shape).astype(jnp.float32)
    return optax.losses.sigmoid_binary_cross_entropy(logits, targets.astype(jnp.float32))


@partial(average, maximize=False, finish=jnp.exp)
def perplexity(outputs: Array, targets: Array) -> Array:
    r"""Exponential of the mean cross-entropy: between how many labels the network hesitates.

    .. math:: \exp\left(-\frac{\sum_i w_i \log \hat p_{i, y_i}}{\sum_i w_i}\right)

    Where an example has several labels, as a text has tokens, its cross-entropy is the mean over them. Lower is better.

    Args:
      outputs: ``(n, ..., K)`` logits.
      targets: ``(n, ...)`` integers.
      weights: ``(n,)``, default 1.

    Returns:
      A float32 scalar of at least 1; NaN without any weight.

    Raises:
      TypeError: the labels are not integers.
      ValueError: the shapes of outputs and targets do not fit.

    >>> import jax.numpy as jnp
    >>> round(float(perplexity(jnp.zeros((2, 5, 7)), jnp.zeros((2, 5), jnp.int32))), 4)
    7.0

    Source: Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks (1977).
    """
    if outputs.shape[:-1] != targets.shape:
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: they need one more axis, "
            "the last, with a logit per class"
        )
    return _cross_entropy(outputs, targets)


def _cross_entropy(outputs: Array, targets: Array) -> Array:
    if jnp.issubdtype(targets.dtype, jnp.floating):
        raise TypeError(
            f"targets have dtype {targets.dtype}, but labels of several classes must be integers: convert them with "
            ".astype(jnp.int32)"
        )
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(
        whole_rows(outputs.astype(jnp.float32)), targets.astype(jnp.int32)
    )
    # A negative label would be counted from the last class.
    return jnp.where(targets.astype(jnp.int32) >= 0, loss, jnp.nan)


def _has_classes(outputs: Array, targets: Array) -> bool:
    """Whether the outputs have a last axis of classes; raises ValueError where they do not fit the targets."""
    if outputs.ndim > 1 and outputs.shape[:-1] == targets.shape and outputs.shape[-1] > 1:
        return True
    if outputs.shape not in (targets.shape, (*targets.shape, 1)):
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: they need the same shape, "
            "or one more axis, the last, with a logit per class"
        )
    return False
