"""Noise on activations: plain functions ``(key, x, rate) -> x`` whose rate may be traced.

Their Flax layers are in `jreg.nn`; a layer applies them in training and returns its input at evaluation.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jreg import _check
from jreg._types import Array, Key, Scalar

_LEVELS = 2**16


def _uniform16(key: Key, shape: tuple[int, ...]) -> Array:
    """Independent uniform integers below 2**16, four out of every threefry block of two words."""
    size = math.prod(shape)
    blocks = -(-size // 4)
    if "fry" in str(jax.random.key_impl(key)):
        words = _threefry(jax.random.key_data(key), blocks)
    else:
        words = tuple(jax.random.bits(key, (2, blocks), jnp.uint32))
    return jnp.concatenate([part for word in words for part in (word & 0xFFFF, word >> 16)])[:size].reshape(shape)


def _threefry(key: Array, blocks: int) -> tuple[Array, Array]:
    """The words that `jax.extend.random.threefry_2x32` makes of the counts 0 to 2 * blocks - 1, as two halves.

    jax.random spends a whole block on each number since it became partitionable, and on CPU it runs the rounds as
    a loop that XLA can't fuse; both together are most of what dropout costs there (docs/performance.md).

    Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011).
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    count = jnp.arange(2 * blocks, dtype=jnp.uint32)
    left, right = count[:blocks] + schedule[0], count[blocks:] + schedule[1]
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            left = left + right
            right = left ^ ((right << turn) | (right >> (32 - turn)))
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return left, right


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
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = dropout(jax.random.key(0), jnp.ones(1000), rate=0.5)
    >>> sorted({float(value) for value in y})
    [0.0, 2.0]

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout, JMLR 15 (2014), section 10.
    """
    _check.rate(rate, "dropout's rate")
    keep = jnp.clip(jnp.round((1 - jnp.asarray(rate, jnp.float32)) * _LEVELS), 1, _LEVELS)
    kept = _uniform16(key, jnp.shape(x)) < keep.astype(jnp.uint32)
    return jnp.where(kept, x * (_LEVELS / keep).astype(x.dtype), 0)
