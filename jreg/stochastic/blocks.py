"""Masks of zeros in contiguous blocks."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jreg._base import checks, random
from jreg._base.bits import kept
from jreg._base.types import Array, Key, Scalar
from jreg.stochastic._arrays import batch_of, inner_axes


def drop_block(key: Key, x: Array, rate: Scalar, block_size: int) -> Array:
    r"""Sets square blocks of each feature map to zero and rescales the rest by the share that is left: DropBlock.

    .. math:: y = x \, m \, \frac{|m|}{\sum m}, \qquad
       \gamma = \frac{\text{rate}}{b^d} \prod_{i=1}^{d} \frac{n_i}{n_i - b + 1}

    With probability gamma a block of side b begins at a position of a channel, among those where it lies wholly
    inside; m is 0 in blocks. Channels have blocks of their own. Blocks may overlap, so a little less than `rate` is
    zero. The share is that of the example; Ghiasi et al. take the batch's, which would let padding matter. Evaluation
    uses x as it is.

    Args:
      key: a JAX random key.
      x: activations ``(batch, n_1, ..., n_d, channels)`` of floating dtype.
      rate: share to be zero, in [0, 1); may be traced; at 0 the result is x. Gamma is realized as a multiple of 2^-16.
      block_size: b, the side of a block, static; 1 drops single elements, the maps' whole size drops channels.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating, or `block_size` is no whole number.
      ValueError: a known `rate` lies outside [0, 1), `x` has fewer than three axes, or a block is below 1 or larger
        than the feature maps.

    >>> import jax, jax.numpy as jnp
    >>> y = drop_block(jax.random.key(2), jnp.ones((1, 4, 4, 1)), rate=0.3, block_size=2)
    >>> print((y[0, :, :, 0] > 0).astype(int))
    [[1 1 1 1]
     [1 0 0 1]
     [1 0 0 1]
     [1 1 1 1]]

    Source: Ghiasi, Lin and Le, DropBlock: a regularization method for convolutional networks, NeurIPS (2018).
    """
    checks.rate(rate, "drop_block's rate")
    batch_of(x, 3, "drop_block's x")
    block = checks.count(block_size, "drop_block's block_size")
    batch, *spatial, channels = x.shape
    if block > min(spatial):
        raise ValueError(f"drop_block's block_size is {block}, but must be at most {min(spatial)}, as the maps of x")
    room = [n - block + 1 for n in spatial]
    gamma = jnp.asarray(rate, jnp.float32) * (math.prod(spatial) / math.prod(room) / block ** len(spatial))
    begins = ~kept(key, x, gamma, (batch, *room, channels))[0]
    padding = [(0, 0), *[(block - 1, block - 1)] * len(spatial), (0, 0)]
    window = (1, *[block] * len(spatial), 1)
    mask = ~jax.lax.reduce_window(begins, False, jax.lax.bitwise_or, window, (1,) * x.ndim, padding)
    # Counted in whole numbers, so that the factor is exactly 1 where nothing is dropped.
    left = jnp.sum(mask, axis=tuple(range(1, x.ndim)), keepdims=True, dtype=jnp.int32)
    factor = math.prod(x.shape[1:]) / jnp.maximum(left, 1).astype(jnp.float32)
    return jnp.where(mask, x * factor.astype(x.dtype), 0)


def feature_cutout(key: Key, x: Array, rate: Scalar, axis: int | tuple[int, ...] = -1) -> Array:
    r"""Sets a contiguous run of each example's features to zero, at a random place: cutout of features.

    .. math:: y_{ni} = x_{ni} \, [\, i < s_n \text{ or } i \ge s_n + k \,], \qquad
       k = \operatorname{round}(\text{rate} \cdot f), \quad s_n \sim \mathcal{U}\{0, \dots, f - k\}

    Nothing is rescaled, in training or at evaluation. The run lies wholly inside, so its length is always the same;
    with several axes the block is the product of the runs, such as the square of an image in all its channels
    (DeVries and Taylor let it stick out). Random single features are zeroed by `classic_dropout`.

    Args:
      key: a JAX random key.
      x: inputs or activations ``(batch, ...)`` of floating dtype.
      rate: length of the run as a share of the axis, in [0, 1), rounded to whole features; may be traced; at 0 the
        result is x.
      axis: the axis of the f features, or several, each with a run of its own.

    Returns:
      An array of x's shape and dtype.

    Raises:
      TypeError: `x` is not floating.
      ValueError: a known `rate` lies outside [0, 1), `x` has fewer than two axes, or `axis` does not exist or is
        the examples'.

    >>> import jax, jax.numpy as jnp
    >>> y = feature_cutout(jax.random.key(0), jnp.ones((3, 8)), rate=0.5)
    >>> y.sum(axis=1).tolist()
    [4.0, 4.0, 4.0]

    Source: DeVries and Taylor, Improved regularization of convolutional neural networks with cutout (2017); Park et
    al., SpecAugment, Interspeech (2019), for runs of features.
    """
    checks.rate(rate, "feature_cutout's rate")
    batch_of(x, 2, "feature_cutout's x")
    along = inner_axes(x, axis, "feature_cutout")
    inside = jnp.ones((1,) * x.ndim, bool)
    drawn = jax.random.uniform(random.unrolled(key), (len(along), len(x), *(1,) * (x.ndim - 1)), jnp.float32)
    for a, place in zip(along, drawn, strict=True):
        size = x.shape[a]
        length = jnp.round(jnp.asarray(rate, jnp.float32) * size)
        first = jnp.floor(place * (size - length + 1))
        index = jnp.arange(size, dtype=jnp.float32).reshape([size if b == a else 1 for b in range(x.ndim)])
        inside &= (index >= first) & (index < first + length)
    return jnp.where(inside, 0, x)
