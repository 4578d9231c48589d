"""Dropout and its relatives: masks of zeros on activations and weights."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import wide_dtype
from jreg._base.bits import kept
from jreg._base.types import Array, Key, Scalar
from jreg.stochastic._arrays import batch_of, inner_axes, shape_along


def dropout(key: Key, x: Array, rate: Scalar) -> Array:
    r"""Sets each element to zero with probability `rate` and divides the others by the keep probability.

    .. math:: y_i = \frac{m_i}{q} x_i, \qquad m_i \sim \operatorname{Bernoulli}(q), \quad q = 1 - \text{rate}

    This is inverted dropout: the expectation of y is x, so evaluation uses x as it is. The keep probability
    is realized as a multiple of 2^-16 and the division is by the realized one, so the expectation is exact.

    Args:
      key: a JAX random key (`jax.random.key`).
      x: activations of any shape and floating dtype.
      rate: probability of zero, in [0, 1); may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = dropout(jax.random.key(0), jnp.ones(1000), rate=0.5)
    >>> sorted({float(value) for value in y})
    [0.0, 2.0]

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout, JMLR 15 (2014), section 10.
    """
    checks.rate(rate, "dropout's rate")
    checks.floating(x, "dropout's x")
    return _masked(key, x, rate, jnp.shape(x))


def _masked(key: Key, x: Array, rate: Scalar, shape: tuple[int, ...]) -> Array:
    mask, probability = kept(key, x, rate, shape)
    return jnp.where(mask, x * (1 / probability).astype(x.dtype), 0)


def classic_dropout(key: Key, x: Array, rate: Scalar) -> Array:
    r"""Sets each element to zero with probability `rate` and leaves the others: dropout as first published.

    .. math:: y_i = m_i x_i, \qquad m_i \sim \operatorname{Bernoulli}(1 - \text{rate})

    Evaluation multiplies by the keep probability instead: `weight_scaled`. On inputs this is the masking noise of
    denoising autoencoders, which need no rule for evaluation.

    Args:
      key: a JAX random key.
      x: activations or inputs of any shape and floating dtype.
      rate: probability of zero, in [0, 1), realized as a multiple of 2^-16; may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = classic_dropout(jax.random.key(0), jnp.full(1000, 3.0), rate=0.5)
    >>> sorted({float(value) for value in y})
    [0.0, 3.0]

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 4; Vincent et al., Stacked denoising autoencoders,
    JMLR 11 (2010), section 3.3, for masking noise.
    """
    checks.rate(rate, "classic_dropout's rate")
    checks.floating(x, "classic_dropout's x")
    return jnp.where(kept(key, x, rate)[0], x, 0)


def weight_scaled(x: Array, rate: Scalar) -> Array:
    r"""Multiplies by the keep probability: what evaluation does after training with `classic_dropout`.

    .. math:: y = (1 - \text{rate}) \, x

    To scale a layer's inputs is to scale its weights. For one affine layer the result is exactly the average over
    all masks, for one softmax layer exactly the normalized geometric mean (`exact_average` computes both).

    Args:
      x: activations of any shape and floating dtype.
      rate: probability of zero in training, in [0, 1); may be traced; at 0 the result is x.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax.numpy as jnp
    >>> weight_scaled(jnp.array([4.0, -2.0]), rate=0.25).tolist()
    [3.0, -1.5]

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 1; Goodfellow, Bengio and Courville, Deep Learning
    (2016), section 7.12.
    """
    checks.rate(rate, "weight_scaled's rate")
    checks.floating(x, "weight_scaled's x")
    keep = 1 - jnp.asarray(rate, wide_dtype(x))
    return x * keep.astype(x.dtype)


def spatial_dropout(key: Key, x: Array, rate: Scalar, axis: int = -1) -> Array:
    r"""Sets whole channels of an example to zero with probability `rate`, and divides the others: spatial dropout.

    .. math:: y_{nsc} = \frac{m_{nc}}{q} x_{nsc}, \qquad m_{nc} \sim \operatorname{Bernoulli}(q)

    Neighbours in a feature map are alike, so that dropping one of them removes little.

    Args:
      key: a JAX random key.
      x: activations ``(batch, ..., channels)`` of floating dtype.
      rate: probability of zero, in [0, 1); may be traced; at 0 the result is x.
      axis: the channels' axis.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), `x` has fewer than two axes, or `axis` does not exist or is
        the examples'.

    >>> import jax, jax.numpy as jnp
    >>> y = spatial_dropout(jax.random.key(0), jnp.ones((2, 4, 4, 8)), rate=0.5)
    >>> bool((y == y[:, :1, :1]).all())
    True

    Source: Tompson, Goroshin, Jain, LeCun and Bregler, Efficient object localization using convolutional networks,
    CVPR (2015), section 3.2.
    """
    checks.rate(rate, "spatial_dropout's rate")
    batch_of(x, 2, "spatial_dropout's x")
    return _masked(key, x, rate, shape_along(x, 0, *inner_axes(x, axis, "spatial_dropout")))


def drop_connect(key: Key, w: Array, rate: Scalar) -> Array:
    r"""Sets each weight to zero with probability `rate` and divides the others by the keep probability: DropConnect.

    .. math:: w_i \leftarrow \frac{m_i}{q} w_i, \qquad m_i \sim \operatorname{Bernoulli}(q), \quad q = 1 - \text{rate}

    Dropout zeroes a unit for one example; here connections vanish, for all examples of a batch at once (Wan et al.
    draw a mask for each example). The division makes evaluation with the weights as they are the usual
    approximation; `monte_carlo` averages outputs over masks, as their inference does.

    Args:
      key: a JAX random key.
      w: weights of any shape and floating dtype.
      rate: probability of zero, in [0, 1); may be traced; at 0 the result is w.

    Returns:
      An array of w's shape and dtype.

    Raises:
      TypeError: `w` is not floating.
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> w = drop_connect(jax.random.key(0), jnp.ones((30, 30)), rate=0.75)
    >>> sorted({float(value) for value in w.ravel()})
    [0.0, 4.0]

    Source: Wan, Zeiler, Zhang, LeCun and Fergus, Regularization of neural networks using DropConnect, ICML (2013).
    """
    checks.rate(rate, "drop_connect's rate")
    checks.floating(w, "drop_connect's w")
    return _masked(key, w, rate, jnp.shape(w))
