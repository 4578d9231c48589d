"""Losses: ``(outputs, targets) -> one loss for each example``, built on optax.

A recipe's `loss` has this form; the training step takes the mean over the examples of the batch.
"""

from __future__ import annotations

import jax.numpy as jnp
import optax

from jreg import _check
from jreg._types import Array, Scalar


def softmax_cross_entropy(logits: Array, labels: Array, label_smoothing: Scalar = 0.0) -> Array:
    r"""Cross-entropy of a softmax layer against integer labels.

    .. math:: L = -(1 - s) \log p_y - \frac{s}{K} \sum_{k=1}^K \log p_k, \qquad p = \operatorname{softmax}(z)

    Args:
      logits: ``(..., K)``, the last layer before the softmax.
      labels: ``(...)`` integers in [0, K).
      label_smoothing: s in [0, 1); may be traced.

    Returns:
      ``(...)``, in nats, of the logits' dtype.

    Raises:
      ValueError: a known `label_smoothing` lies outside [0, 1).

    >>> import jax.numpy as jnp
    >>> float(softmax_cross_entropy(jnp.zeros(4), jnp.array(2)))  # log 4
    1.3862943649291992

    Source: optax; Szegedy et al., Rethinking the Inception architecture (2016), section 7, for the smoothing.
    """
    _check.rate(label_smoothing, "label_smoothing")
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    if _check.concrete(label_smoothing) == 0:
        return loss
    smoothing = jnp.asarray(label_smoothing, logits.dtype)
    # log p_k = z_k - logsumexp(z), so the mean of -log p_k over the classes differs from the loss on the label
    # by z_y minus the mean of z, which needs no second logsumexp.
    label = jnp.squeeze(jnp.take_along_axis(logits, labels[..., None], axis=-1), -1)
    return loss + smoothing * (label - jnp.mean(logits, axis=-1))


def sigmoid_cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Cross-entropy of one sigmoid unit against labels 0 and 1.

    .. math:: L = -y \log \sigma(z) - (1 - y) \log(1 - \sigma(z))

    Args:
      logits: ``(..., 1)`` or ``(...)``, before the sigmoid.
      labels: ``(...)`` of 0 and 1, integer or floating.

    Returns:
      ``(...)``, in nats, of the logits' dtype.

    >>> import jax.numpy as jnp
    >>> float(sigmoid_cross_entropy(jnp.zeros(1), jnp.array(1)).round(4))  # log 2
    0.6930999755859375

    Source: optax; Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2.2.
    """
    logits = _squeeze(logits, labels)
    return optax.losses.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def squared_error(outputs: Array, targets: Array) -> Array:
    r"""Half the squared error of a linear output unit.

    .. math:: L = \tfrac12 (\hat y - y)^2

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      targets: ``(...)`` floating.

    Returns:
      ``(...)``, in squared units of the target.

    >>> import jax.numpy as jnp
    >>> float(squared_error(jnp.array([0.3]), jnp.array(5.0)).round(3))
    11.045000076293945

    Source: optax (``l2_loss``); Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2.1.
    """
    outputs = _squeeze(outputs, targets)
    return optax.losses.l2_loss(outputs, targets.astype(outputs.dtype))


def _squeeze(outputs: Array, targets: Array) -> Array:
    if jnp.ndim(outputs) == jnp.ndim(targets) + 1 and outputs.shape[-1] == 1:
        outputs = jnp.squeeze(outputs, -1)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs of shape {outputs.shape} do not fit targets of shape {targets.shape}: the last layer "
            "needs one unit for each number to predict"
        )
    return outputs
