"""Mixing within a class, and labels with the mean of all."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.types import Array, Key, Scalar
from jreg.mixing._batch import between, fit


def smote(key: Key, x: Array, y: Array, weights: Array, reach: Scalar) -> tuple[Array, Array]:
    r"""Replaces every example by a point on the way to a random other one of its class, and keeps the label.

    .. math:: \tilde x_i = x_i + u_i (x_{j(i)} - x_i), \qquad
       u_i \sim \operatorname{Uniform}(0, \text{reach}), \; j(i) \text{ of the class of } i

    This is SMOTE's interpolation with the batch's rows of the class instead of the nearest neighbours, and for
    every row, not for the rare classes alone. A row whose class has no other stays as it is.

    Args:
      key: a JAX random key.
      x: ``(batch, ...)`` floating.
      y: ``(batch, classes)`` floating, one-hot; of soft labels the largest is the class.
      weights: ``(batch,)``, 1 for data and 0 for padding.
      reach: in [0, 1], 1 for all the way, as in SMOTE; may be traced; at 0 the result is (x, y).

    Returns:
      x of its shape and dtype, and y as it is.

    Raises:
      ValueError: shapes don't fit or a known `reach` lies outside [0, 1].
      TypeError: `x` or `y` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> x, y = jnp.array([[0.0], [1.0], [10.0], [11.0]]), jax.nn.one_hot(jnp.array([0, 0, 1, 1]), 2)
    >>> x, y = smote(jax.random.key(0), x, y, jnp.ones(4), reach=1.0)
    >>> bool((x[:2] <= 1).all() and (x[2:] >= 10).all())
    True

    Source: Chawla, Bowyer, Hall and Kegelmeyer, SMOTE: synthetic minority over-sampling technique, J. Artif. Intell.
    Res. 16 (2002).
    """
    fit(x, y, weights, "smote")
    checks.share(reach, "mixing.smote's reach")
    for_share, for_partner = jax.random.split(key)
    drawn = jax.random.uniform(for_share, (len(y),), jnp.float32) * jnp.asarray(reach, jnp.float32)
    # Padding is a class of its own, and stays what it is.
    far = jnp.where(weights > 0, drawn, 0)
    classes = jnp.where(weights > 0, jnp.argmax(y, axis=1), y.shape[1])
    order = jnp.lexsort((jax.random.uniform(for_partner, classes.shape, jnp.float32), classes))
    ordered = classes[order]
    first, end = (jnp.searchsorted(ordered, ordered, side=side) for side in ("left", "right"))
    place = jnp.arange(len(y), dtype=first.dtype)
    # Within a class the order is random, so that the next row (after the last one the first) is random.
    following = jnp.where(place + 1 < end, place + 1, first)
    partner = jnp.zeros_like(order).at[order].set(order[following])
    return between(x, x[partner], 1 - far), y


def label_smoothing(key: Key, x: Array, y: Array, weights: Array, rate: Scalar) -> tuple[Array, Array]:
    r"""Moves a share of every label to all classes equally, for losses that don't do so themselves.

    .. math:: \tilde y_k = (1 - \text{rate}) y_k + \text{rate} / K

    `jreg.losses.softmax_cross_entropy` has the same as an argument; this is for other losses of soft labels.

    Args:
      key: not used.
      x: ``(batch, ...)`` floating.
      y: ``(batch, classes)`` floating, one-hot or soft.
      weights: not used.
      rate: in [0, 1]; may be traced; at 0 the result is (x, y).

    Returns:
      x as it is, and y of its shape and dtype; the labels of a row that sum to 1 still do.

    Raises:
      ValueError: shapes don't fit or a known `rate` lies outside [0, 1].
      TypeError: `x` or `y` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> x, y = label_smoothing(jax.random.key(0), jnp.eye(2), jnp.eye(2), jnp.ones(2), rate=0.2)
    >>> bool(jnp.allclose(y, jnp.array([[0.9, 0.1], [0.1, 0.9]])))
    True

    Source: optax's ``smooth_labels``; Szegedy et al., Rethinking the Inception architecture (2016), section 7.
    """
    del key
    fit(x, y, weights, "label_smoothing")
    checks.share(rate, "mixing.label_smoothing's rate")
    return x, optax.losses.smooth_labels(y, jnp.asarray(rate, y.dtype))
