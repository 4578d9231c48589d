"""Metrics of predicted classes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.sharding import whole_rows
from jreg._base.types import Array
from jreg.metrics._shapes import class_numbers, has_classes, predicted_labels
from jreg.metrics.lifts import average
from jreg.metrics.metric import Metric


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
    predicted, lost = predicted_labels(outputs, targets)
    # NaN is no prediction, though argmax and comparisons take it for one.
    return jnp.where(lost, jnp.float32(jnp.nan), (predicted == targets.astype(jnp.int32)).astype(jnp.float32))


def top_k_accuracy(k: int) -> Metric:
    r"""A metric: the share of labels that are among the k largest logits.

    .. math:: \frac{\sum_i w_i [y_i \text{ among the } k \text{ largest of } \hat z_i]}{\sum_i w_i}

    Of equal logits the one of the later class counts as the larger one, as in scikit-learn (`accuracy` takes the first
    one). Higher is better.

    Args:
      k: at least 1, below the number of classes.

    Returns:
      A `jreg.metrics.Metric` of outputs ``(n, ..., K)``, integer targets ``(n, ...)`` and weights ``(n,)``; its value
      is in [0, 1], NaN without any weight, and where an output is NaN.

    Raises:
      TypeError: k is no whole number; at a call, the labels are not integers.
      ValueError: k is below 1; at a call, it isn't below the number of classes, or outputs do not fit targets.

    >>> import jax.numpy as jnp
    >>> float(top_k_accuracy(2)(jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), jnp.array([1, 2])))
    0.5

    Source: scikit-learn's ``top_k_accuracy_score``.
    """
    checks.count(k, "top_k_accuracy's k")

    @partial(average, maximize=True)
    def top_k_accuracy(outputs: Array, targets: Array) -> Array:
        if not has_classes(outputs, targets) or k >= outputs.shape[-1]:
            raise ValueError(
                f"top_k_accuracy({k}) got outputs of shape {outputs.shape} for targets of shape {targets.shape}, but "
                f"needs more than {k} classes, a logit each: with one logit for two classes take metrics.accuracy"
            )
        labels = class_numbers(targets)[..., None]
        own = jnp.take_along_axis(outputs, jnp.maximum(labels, 0), axis=-1, mode="fill", fill_value=jnp.nan)
        later = jax.lax.broadcasted_iota(jnp.int32, outputs.shape, outputs.ndim - 1) > labels
        before = jnp.sum((outputs > own) | ((outputs == own) & later), axis=-1)
        lost = jnp.any(jnp.isnan(outputs), axis=-1) | jnp.isnan(own[..., 0]) | (labels[..., 0] < 0)
        return jnp.where(lost, jnp.float32(jnp.nan), (before < k).astype(jnp.float32))

    return top_k_accuracy


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
    if has_classes(outputs, targets):
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
    labels = class_numbers(targets)
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(whole_rows(outputs.astype(jnp.float32)), labels)
    # A negative label would be counted from the last class.
    return jnp.where(labels >= 0, loss, jnp.nan)
