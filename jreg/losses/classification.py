"""Losses of labels, built on optax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range, wide, wide_dtype
from jreg._base.sharding import whole_rows
from jreg._base.types import Array, Scalar
from jreg.losses._shapes import check_labels, exists, squeeze, zero_one


def softmax_cross_entropy(
    logits: Array, labels: Array, label_smoothing: Scalar = 0.0, class_weights: Array | None = None
) -> Array:
    r"""Cross-entropy of a softmax layer against integer labels, or against shares of the classes.

    .. math:: L = -\sum_{k=1}^K c_k \Big((1 - s) y_k + \frac{s}{K}\Big) \log p_k, \qquad
       p = \operatorname{softmax}(z)

    So the loss of a mixed label is the mix of the losses of its labels, with class weights too.

    Args:
      logits: ``(..., K)``, the last layer before the softmax.
      labels: ``(...)`` integers in [0, K), or ``(..., K)`` floating shares that sum to 1, as mixup makes them. For
        another integer, such as -1 for what is to be ignored, the loss is NaN: leave it out by `jnp.where`.
      label_smoothing: s in [0, 1); may be traced.
      class_weights: ``(K,)``, c, what each class counts; default: 1.

    Returns:
      ``(...)``, in nats, of the logits' dtype, float32 at least.

    Raises:
      ValueError: a known `label_smoothing` lies outside [0, 1), `class_weights` is not one number a class, or integer
        labels are one-hot.
      TypeError: floating labels are no shares of the classes.

    >>> import jax.numpy as jnp
    >>> float(softmax_cross_entropy(jnp.zeros(4), jnp.array(2)))  # log 4
    1.3862943649291992

    Source: optax; Szegedy et al., Rethinking the Inception architecture (2016), section 7, for the smoothing.
    """
    checks.rate(label_smoothing, "label_smoothing")
    soft = jnp.shape(labels) == jnp.shape(logits) and jnp.issubdtype(jnp.result_type(labels), jnp.floating)
    if not soft:
        check_labels(labels, logits, "softmax_cross_entropy")
        labels = labels.astype(jnp.int32) if labels.dtype == bool else labels
    checks.floating(logits, "softmax_cross_entropy's logits")
    # A label is looked up among all classes.
    logits = whole_rows(wide(logits))
    if soft:
        labels = labels.astype(logits.dtype)
    if class_weights is not None:
        return _weighted(logits, labels, label_smoothing, class_weights)
    # A class that is ruled out by an infinite logit counts nothing where its share is 0, nor does smoothing by 0.
    if soft:
        loss = optax.losses.safe_softmax_cross_entropy(logits, labels)
        label = jnp.sum(jnp.where(labels == 0, 0, labels * logits), axis=-1)
    else:
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        label = jnp.squeeze(jnp.take_along_axis(logits, labels[..., None], axis=-1), -1)
    if checks.concrete(label_smoothing) != 0:
        # log p_k = z_k - logsumexp(z), so the mean of -log p_k over the classes differs from the loss on the label
        # by z_y minus the mean of z, which needs no second logsumexp.
        smoothing = in_range(label_smoothing, logits.dtype, high=1)
        loss = loss + jnp.where(smoothing == 0, 0, smoothing * (label - jnp.mean(logits, axis=-1)))
    return loss if soft else jnp.where(exists(labels, logits.shape[-1]), loss, jnp.nan)


def sigmoid_cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Cross-entropy of sigmoid units against labels 0 and 1: of one unit, or of one for each of several labels.

    .. math:: L = -y \log \sigma(z) - (1 - y) \log(1 - \sigma(z))

    Args:
      logits: ``(..., 1)`` or ``(...)``, before the sigmoid.
      labels: ``(...)`` of 0 and 1, integer, or floating numbers between them.

    Returns:
      ``(...)``, in nats, of the logits' dtype, float32 at least.

    >>> import jax.numpy as jnp
    >>> float(sigmoid_cross_entropy(jnp.zeros(1), jnp.array(1)).round(4))  # log 2
    0.6930999755859375

    Source: optax; Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2.2.
    """
    logits = wide(squeeze(logits, labels))
    return optax.losses.sigmoid_binary_cross_entropy(logits, zero_one(labels, logits.dtype))


def hinge(outputs: Array, labels: Array) -> Array:
    r"""What a linear output unit lacks to a margin of 1: the loss of a support vector machine.

    .. math:: L = \max(0, 1 - t z), \qquad t = 2 y - 1

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      labels: ``(...)`` of 0 and 1; Keras and optax take -1 and 1, for which the loss is NaN here.

    Returns:
      ``(...)`` of the outputs' dtype, float32 at least.

    Raises:
      ValueError: the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> hinge(jnp.array([0.5, 0.5, 2.0]), jnp.array([1, 0, 1])).tolist()
    [0.5, 1.5, 0.0]

    Source: optax; Cortes and Vapnik, Support-vector networks, Machine Learning 20 (1995).
    """
    outputs = wide(squeeze(outputs, labels))
    known = zero_one(labels, outputs.dtype)
    return optax.losses.hinge_loss(outputs, jnp.where((known >= 0) & (known <= 1), 2 * known - 1, jnp.nan))


def squared_hinge(outputs: Array, labels: Array) -> Array:
    r"""The square of `hinge`, which is differentiable at the margin.

    .. math:: L = \max(0, 1 - t z)^2, \qquad t = 2 y - 1

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      labels: ``(...)`` of 0 and 1; Keras takes -1 and 1, for which the loss is NaN here.

    Returns:
      ``(...)`` of the outputs' dtype, float32 at least.

    Raises:
      ValueError: the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> squared_hinge(jnp.array([0.5, 0.5, 2.0]), jnp.array([1, 0, 1])).tolist()
    [0.25, 2.25, 0.0]

    Source: Tang, Deep learning using linear support vector machines (2013); Keras' ``SquaredHinge``.
    """
    return jnp.square(hinge(outputs, labels))


def multiclass_hinge(outputs: Array, labels: Array) -> Array:
    r"""What the label's output lacks to be 1 above every other one.

    .. math:: L = \max\big(0, \max_{k \ne y} (1 + z_k) - z_y\big)

    Args:
      outputs: ``(..., K)``.
      labels: ``(...)`` integers in [0, K).

    Returns:
      ``(...)`` of the outputs' dtype, float32 at least.

    Raises:
      ValueError: the shapes don't fit.
      TypeError: labels are floating.

    >>> import jax.numpy as jnp
    >>> multiclass_hinge(jnp.array([[2.0, 0.5, 1.5]]), jnp.array([0])).tolist()
    [0.5]

    Source: optax; Crammer and Singer, On the algorithmic implementation of multiclass kernel-based vector machines,
    JMLR 2 (2001).
    """
    check_labels(labels, outputs, "multiclass_hinge")
    # optax computes in JAX's default precision whatever it is given.
    default = outputs.astype(jnp.result_type(float))
    loss = optax.losses.multiclass_hinge_loss(default, labels).astype(wide_dtype(outputs))
    return jnp.where(exists(labels, outputs.shape[-1]), loss, jnp.nan)


def focal(logits: Array, labels: Array, gamma: Scalar, class_weights: Array | None = None) -> Array:
    r"""Cross-entropy of a softmax layer that counts less where the label is already likely.

    .. math:: L = -c_y (1 - p_y)^\gamma \log p_y, \qquad p = \operatorname{softmax}(z)

    Args:
      logits: ``(..., K)``, the last layer before the softmax.
      labels: ``(...)`` integers in [0, K).
      gamma: at least 0; at 0 this is `softmax_cross_entropy`; may be traced.
      class_weights: ``(K,)``, what an example of each class counts, the paper's alpha; None: 1.

    Returns:
      ``(...)``, in nats, of the logits' dtype, float32 at least.

    Raises:
      ValueError: a known `gamma` is negative, `class_weights` is not one number a class, or the shapes don't fit.
      TypeError: labels are floating.

    >>> import jax.numpy as jnp
    >>> round(float(focal(jnp.zeros(2), jnp.array(1), gamma=2.0)), 4)  # log(2) / 4
    0.1733

    Source: Lin et al., Focal loss for dense object detection, ICCV 2017; optax has it for sigmoid units alone.
    """
    checks.strength(gamma, "focal's gamma")
    check_labels(labels, logits, "focal")
    logits = wide(logits)
    loss = softmax_cross_entropy(logits, labels, class_weights=class_weights)
    others = jnp.sum(jax.nn.softmax(logits) * (1 - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)), -1)
    # At 0 the power's derivatives are infinite, and the factor is 1 for gamma = 0 alone.
    power = in_range(gamma, logits.dtype)
    factor = jnp.where(others > 0, others, 1) ** power
    return loss * jnp.where((others > 0) | (power == 0), factor, 0)


def sigmoid_focal(logits: Array, labels: Array, gamma: Scalar) -> Array:
    r"""Cross-entropy of sigmoid units that counts less where the label is already likely.

    .. math:: L = -(1 - p_t)^\gamma \log p_t, \qquad p_t = \sigma(z) \text{ for } y = 1,\; 1 - \sigma(z)
       \text{ for } y = 0

    Args:
      logits: ``(..., 1)`` or ``(...)``, before the sigmoid.
      labels: ``(...)`` of 0 and 1.
      gamma: at least 0; at 0 this is `sigmoid_cross_entropy`; may be traced.

    Returns:
      ``(...)``, in nats, of the logits' dtype, float32 at least.

    Raises:
      ValueError: a known `gamma` is negative, or the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> round(float(sigmoid_focal(jnp.zeros(1), jnp.array(1), gamma=2.0)), 4)  # log(2) / 4
    0.1733

    Source: optax (``sigmoid_focal_loss``); Lin et al., Focal loss for dense object detection, ICCV 2017.
    """
    checks.strength(gamma, "sigmoid_focal's gamma")
    logits = wide(squeeze(logits, labels))
    power = in_range(gamma, logits.dtype)
    return optax.losses.sigmoid_focal_loss(logits, zero_one(labels, logits.dtype), gamma=power)


def _weighted(logits: Array, labels: Array, label_smoothing: Scalar, class_weights: Array) -> Array:
    """The cross-entropy with a weight for each class."""
    classes = logits.shape[-1]
    if jnp.shape(class_weights) != (classes,):
        raise ValueError(
            f"class_weights has shape {jnp.shape(class_weights)}, but must have one number for each of the {classes} "
            "classes"
        )
    known = jnp.ones(logits.shape[:-1], bool)
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        known = exists(labels, classes)
        labels = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    smoothing = in_range(label_smoothing, logits.dtype, high=1)
    weights = jnp.asarray(class_weights, logits.dtype).reshape((1,) * (logits.ndim - 1) + (classes,))
    shares = ((1 - smoothing) * labels + smoothing / classes) * weights
    # A class that is ruled out by an infinite logit counts nothing where its share is 0.
    loss = -jnp.sum(jnp.where(shares == 0, 0, shares * jax.nn.log_softmax(logits)), axis=-1)
    return jnp.where(known, loss, jnp.nan)
