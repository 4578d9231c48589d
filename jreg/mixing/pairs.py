"""Mixing an example with a random other one of the batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array, Key, Scalar
from jreg.mixing._batch import beta, between, fit, partners


def mixup(key: Key, x: Array, y: Array, weights: Array, alpha: Scalar) -> tuple[Array, Array]:
    r"""Replaces every example and its label by a point on the way to a random other one.

    .. math::
       \tilde x_i = \lambda_i x_i + (1 - \lambda_i) x_{\pi(i)}, \quad
       \tilde y_i = \lambda_i y_i + (1 - \lambda_i) y_{\pi(i)}, \qquad
       \lambda_i = \max(b_i, 1 - b_i), \; b_i \sim \operatorname{Beta}(\alpha, \alpha)

    pi is a random permutation of the batch's data. With the maximum an example stays the larger part of itself;
    since (i, j) is as likely as (j, i), mixed examples are distributed as without it.

    Args:
      key: a JAX random key.
      x: ``(batch, ...)`` floating.
      y: ``(batch, classes)`` floating, one-hot or soft.
      weights: ``(batch,)``, 1 for data and 0 for padding.
      alpha: at least 0, the larger the more is mixed: 0.1 to 0.4 is usual, 1 is uniform; may be traced; at 0 the
        result is (x, y).

    Returns:
      x and y, of their shapes and dtypes; the labels of a row keep their sum.

    Raises:
      ValueError: shapes don't fit or a known `alpha` is negative or not finite.
      TypeError: `x` or `y` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> x, y = jnp.eye(3), jax.nn.one_hot(jnp.array([0, 1, 2]), 3)
    >>> x, y = mixup(jax.random.key(0), x, y, jnp.ones(3), alpha=0.4)
    >>> y.sum(axis=1).tolist()
    [1.0, 1.0, 1.0]

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, mixup: beyond empirical risk minimization (2018).
    """
    fit(x, y, weights, "mixup")
    checks.strength(alpha, "mixing.mixup's alpha")
    for_share, for_partner = jax.random.split(key)
    drawn = beta(for_share, alpha, len(y))
    share, partner = jnp.maximum(drawn, 1 - drawn), partners(for_partner, weights)
    return between(x, x[partner], share), between(y, y[partner], share)


def cutmix(key: Key, x: Array, y: Array, weights: Array, alpha: Scalar) -> tuple[Array, Array]:
    r"""Pastes a random rectangle of another image into every image, and mixes the labels by their areas.

    .. math::
       \tilde x_i = \begin{cases} x_{\pi(i)} & \text{inside a box of } \sqrt{1 - \lambda_i} \text{ of each side} \\
       x_i & \text{outside} \end{cases}, \qquad \lambda_i \sim \operatorname{Beta}(\alpha, \alpha)

    The box lies around a random pixel and ends at the edges, so that the labels' weights are those of the pixels
    that were really taken.

    Args:
      key: a JAX random key.
      x: ``(batch, height, width)`` or ``(batch, height, width, channels)``, floating.
      y: ``(batch, classes)`` floating, one-hot or soft.
      weights: ``(batch,)``, 1 for data and 0 for padding.
      alpha: at least 0; 1, the authors' value, is uniform; may be traced; at 0 the result is (x, y).

    Returns:
      x and y, of their shapes and dtypes; the labels of a row keep their sum.

    Raises:
      ValueError: shapes don't fit or a known `alpha` is negative or not finite.
      TypeError: `x` or `y` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> x, y = jnp.arange(2.0)[:, None, None] * jnp.ones((2, 4, 4)), jnp.eye(2)
    >>> x, y = cutmix(jax.random.key(0), x, y, jnp.ones(2), alpha=1.0)
    >>> bool(jnp.allclose(x.mean(axis=(1, 2)), y[:, 1]))
    True

    Source: Yun, Han, Oh, Chun, Choe and Yoo, CutMix: regularization strategy to train strong classifiers (2019).
    """
    fit(x, y, weights, "cutmix")
    if x.ndim not in (3, 4):
        raise ValueError(
            f"mixing.cutmix got x of shape {x.shape}, but needs images, (batch, height, width[, channels])"
        )
    checks.strength(alpha, "mixing.cutmix's alpha")
    for_share, for_partner, for_place = jax.random.split(key, 3)
    taken = 1 - beta(for_share, alpha, len(y))
    # A root's derivative at 0 is infinite.
    part = jnp.where(taken > 0, jnp.sqrt(jnp.where(taken > 0, taken, 1)), 0)
    middles, inside = jax.random.uniform(for_place, (2, len(y)), jnp.float32), []
    for middle, size in zip(middles, x.shape[1:3], strict=True):
        places = jnp.arange(size, dtype=jnp.float32)[None, :]
        around, half = jnp.floor(middle * size)[:, None], jnp.floor(part * size)[:, None] / 2
        inside.append((around - half <= places) & (places < around + half))
    box = inside[0][:, :, None] & inside[1][:, None, :]
    partner = partners(for_partner, weights)
    pasted = jnp.where(box.reshape(*box.shape, *[1] * (x.ndim - 3)), x[partner], x)
    return pasted, between(y, y[partner], 1 - jnp.mean(box.astype(jnp.float32), axis=(1, 2)))


def sample_pairing(key: Key, x: Array, y: Array, weights: Array, rate: Scalar) -> tuple[Array, Array]:
    r"""Averages an example with a random other one with probability `rate`, and keeps its label.

    .. math:: \tilde x_i = \tfrac12 (x_i + x_{\pi(i)}) \text{ with probability rate}, \qquad \tilde y_i = y_i

    Args:
      key: a JAX random key.
      x: ``(batch, ...)`` floating.
      y: ``(batch, classes)`` floating, one-hot or soft.
      weights: ``(batch,)``, 1 for data and 0 for padding.
      rate: in [0, 1]; may be traced; at 0 the result is (x, y). The authors switch it on and off between epochs.

    Returns:
      x of its shape and dtype, and y as it is.

    Raises:
      ValueError: shapes don't fit or a known `rate` lies outside [0, 1].
      TypeError: `x` or `y` isn't floating.

    >>> import jax, jax.numpy as jnp
    >>> x, y = sample_pairing(jax.random.key(0), jnp.eye(3), jnp.eye(3), jnp.ones(3), rate=1.0)
    >>> bool((jnp.diagonal(x) >= 0.5).all())
    True

    Source: Inoue, Data augmentation by pairing samples for images classification (2018).
    """
    fit(x, y, weights, "sample_pairing")
    checks.share(rate, "mixing.sample_pairing's rate")
    for_rate, for_partner = jax.random.split(key)
    paired = jax.random.bernoulli(for_rate, jnp.asarray(rate, jnp.float32), (len(y),))
    share = jnp.where(paired, jnp.float32(0.5), jnp.float32(1))
    return between(x, x[partners(for_partner, weights)], share), y
