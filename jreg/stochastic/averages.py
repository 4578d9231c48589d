"""Averages of a network over its noise: exactly over all masks, or over a few passes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.arrays import wide_dtype
from jreg._base.types import Array, Key, PyTree, Scalar

_MOST = 20


def exact_average(function: Callable[[Array], Array], size: int, rate: Scalar, geometric: bool = False) -> Array:
    r"""The mean of a function of a dropout mask over all 2^n masks.

    .. math:: \sum_{m \in \{0, 1\}^n} q^{|m|} (1 - q)^{n - |m|} f(m), \qquad q = 1 - \text{rate}

    The mean is arithmetic, or geometric over probabilities p(y | m) and normalized,
    :math:`\prod_m p(y \mid m)^{P(m)} / Z`. All masks are computed at once, so n should stay below a dozen or so. The
    derivative with respect to the rate is exact as well.

    Args:
      function: of a mask ``(size,)`` of bools, True for a unit that is kept; returns an array of floating dtype, and
        for a geometric mean probabilities along the last axis. It applies the mask as it likes:
        ``jnp.where(mask, h, 0)`` is classic dropout.
      size: n, the number of units, at most 20; static.
      rate: probability of False, in [0, 1); may be traced; at 0 the result is ``function`` of the mask without zeros.
      geometric: whether the mean is the normalized geometric one.

    Returns:
      An array of the shape and dtype that `function` returns.

    Raises:
      TypeError: `size` is no whole number, or `function` returns no floating dtype.
      ValueError: a known `rate` lies outside [0, 1), or `size` is below 1 or above 20.

    >>> import jax.numpy as jnp
    >>> w, x = jnp.array([2.0, -1.0]), jnp.array([3.0, 4.0])
    >>> average = exact_average(lambda mask: w @ jnp.where(mask, x, 0), size=2, rate=0.5)
    >>> float(average), float(0.5 * (w @ x))
    (1.0, 1.0)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.12; Baldi and
    Sadowski, The dropout learning algorithm, Artificial Intelligence 210 (2014).
    """
    checks.rate(rate, "exact_average's rate")
    n = checks.count(size, "exact_average's size")
    if n > _MOST:
        raise ValueError(f"exact_average's size is {n}, but must be at most {_MOST}: use monte_carlo")
    masks = (np.arange(2**n)[:, None] >> np.arange(n)[None, :]) % 2 == 1
    outputs = jax.vmap(function)(jnp.asarray(masks))
    checks.floating(outputs, "what exact_average's function returns")
    drop = jnp.asarray(rate, wide_dtype(outputs))
    weights = jnp.prod(jnp.where(masks, 1 - drop, drop), axis=1).reshape(-1, *(1,) * (outputs.ndim - 1))
    values = outputs.astype(drop.dtype)
    if geometric:
        values = jnp.log(values)
        # A mask of probability 0 counts for nothing, even where it rules an outcome out.
        values = jnp.where((weights > 0) | jnp.isfinite(values), values, 0)
    mean = jnp.sum(weights * values, axis=0)
    return (jax.nn.softmax(mean) if geometric else mean).astype(outputs.dtype)


def monte_carlo(key: Key, function: Callable[[Key], PyTree], k: int, batch: int | None = None) -> PyTree:
    r"""The mean of a random function over k passes.

    .. math:: \frac{1}{k} \sum_{i=1}^{k} f(\text{key}_i)

    For a network with dropout this is the Monte-Carlo estimate of what weight scaling approximates; average
    probabilities rather than logits. Half precision is summed in float32.

    Args:
      key: a JAX random key, from which each pass gets its own.
      function: of a key; returns an array of floating dtype or a tree of them.
      k: the number of passes; static.
      batch: how many of them are computed at once, to save memory; None: all; static.

    Returns:
      What `function` returns, averaged, with its shapes and dtypes.

    Raises:
      TypeError: `k` or `batch` is no whole number, or `function` returns another dtype than a floating one.
      ValueError: `k` or `batch` is below 1.

    >>> import jax, jax.numpy as jnp
    >>> y = monte_carlo(jax.random.key(0), lambda key: jax.random.normal(key, (3,)), k=4000)
    >>> bool((abs(y) < 0.1).all())
    True

    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 7.5; Gal and Ghahramani, Dropout as a Bayesian
    approximation, ICML (2016).
    """
    keys = jax.random.split(key, checks.count(k, "monte_carlo's k"))
    if batch is None:
        outputs = jax.vmap(function)(keys)
    else:
        outputs = jax.lax.map(function, keys, batch_size=checks.count(batch, "monte_carlo's batch"))
    return jax.tree.map(_mean, outputs)


def _mean(leaf: Array) -> Array:
    checks.floating(leaf, "what monte_carlo's function returns")
    return jnp.mean(leaf, axis=0, dtype=wide_dtype(leaf)).astype(leaf.dtype)
