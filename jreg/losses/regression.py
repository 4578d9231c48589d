"""Losses of numbers and of vectors, built on optax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range, wide
from jreg._base.types import Array, Scalar
from jreg.losses._shapes import squeeze, vectors


def squared_error(outputs: Array, targets: Array) -> Array:
    r"""Half the squared error of a linear output unit.

    .. math:: L = \tfrac12 (\hat y - y)^2

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      targets: ``(...)`` floating.

    Returns:
      ``(...)``, in squared units of the target and float32 at least.

    >>> import jax.numpy as jnp
    >>> float(squared_error(jnp.array([0.3]), jnp.array(5.0)).round(3))
    11.045000076293945

    Source: optax (``l2_loss``); Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2.1.
    """
    outputs = wide(squeeze(outputs, targets))
    return optax.losses.l2_loss(outputs, targets.astype(outputs.dtype))


def absolute_error(outputs: Array, targets: Array) -> Array:
    r"""Absolute error of a linear output unit, also called L1 loss; it asks for the median.

    .. math:: L = |\hat y - y|

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      targets: ``(...)`` floating.

    Returns:
      ``(...)``, in units of the target and float32 at least; its gradient at 0 is 0.

    Raises:
      ValueError: the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> absolute_error(jnp.array([1.0, 4.0]), jnp.array([2.0, 2.0])).tolist()
    [1.0, 2.0]

    Source: Bishop, Pattern recognition and machine learning (2006), section 1.5.5.
    """
    outputs = wide(squeeze(outputs, targets))
    # JAX gives abs the derivative 1 at 0.
    error = outputs - targets.astype(outputs.dtype)
    return jnp.where(error == 0, 0, jnp.abs(error))


def huber(outputs: Array, targets: Array, delta: Scalar) -> Array:
    r"""Half the squared error near 0 and a multiple of the absolute one beyond `delta`.

    .. math:: L = \tfrac12 e^2 \text{ if } |e| \le \delta, \text{ else } \delta (|e| - \tfrac12 \delta),
       \qquad e = \hat y - y

    Args:
      outputs: ``(..., 1)`` or ``(...)``.
      targets: ``(...)`` floating.
      delta: where the loss becomes linear, above 0; may be traced; infinity is `squared_error`.

    Returns:
      ``(...)``, in squared units of the target and float32 at least.

    Raises:
      ValueError: the shapes don't fit, or a known `delta` is not above 0.

    >>> import jax.numpy as jnp
    >>> huber(jnp.array([1.0, 4.0]), jnp.array([2.0, 1.0]), delta=2.0).tolist()
    [0.5, 4.0]

    Source: Huber, Robust estimation of a location parameter (1964).
    """
    checks.radius(delta, "huber's delta")
    outputs = wide(squeeze(outputs, targets))
    size = jnp.abs(outputs - targets.astype(outputs.dtype))
    # In optax's huber_loss, which is the same formula, the derivative is delta - (delta - e), and lost for a large one.
    near = jnp.minimum(size, in_range(delta, outputs.dtype))
    return near * (size - near / 2)


def cosine_proximity(outputs: Array, targets: Array) -> Array:
    r"""One minus the cosine of the angle between two vectors.

    .. math:: L = 1 - \frac{\hat y \cdot y}{\lVert \hat y \rVert_2 \lVert y \rVert_2}

    Args:
      outputs: ``(..., d)``.
      targets: ``(..., d)`` floating; not of length 0.

    Returns:
      ``(...)`` in [0, 2], in float32 at least; 1 for outputs of length 0.

    Raises:
      ValueError: the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> cosine_proximity(jnp.array([3.0, 0.0]), jnp.array([0.0, 2.0])).tolist()
    1.0

    Source: optax (``cosine_distance``); Keras' ``CosineSimilarity``, which is this minus 1.
    """
    outputs = wide(vectors(outputs, targets, "cosine_proximity"))
    return optax.losses.cosine_distance(outputs, targets.astype(outputs.dtype), epsilon=1e-6)


def kl_divergence(logits: Array, targets: Array) -> Array:
    r"""Kullback-Leibler divergence of a softmax layer from a distribution.

    .. math:: L = \sum_k y_k \log \frac{y_k}{p_k}, \qquad p = \operatorname{softmax}(z)

    Args:
      logits: ``(..., K)``, the last layer before the softmax.
      targets: ``(..., K)`` probabilities, zeros among them or not.

    Returns:
      ``(...)``, in nats, of the logits' dtype, float32 at least.

    Raises:
      ValueError: the shapes don't fit.

    >>> import jax.numpy as jnp
    >>> round(float(kl_divergence(jnp.zeros(2), jnp.array([1.0, 0.0]))), 4)  # log 2
    0.6931

    Source: optax (``kl_divergence``); Kullback and Leibler, On information and sufficiency (1951).
    """
    logits, targets = wide(vectors(logits, targets, "kl_divergence")), jnp.asarray(targets)
    shifted = logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    # A class that is ruled out by an infinite logit counts nothing where its probability is 0.
    shifted = jnp.where(targets == 0, 0, shifted)
    return optax.losses.kl_divergence(shifted, targets.astype(logits.dtype))
