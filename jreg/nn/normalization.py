"""Normalization of activations that Flax lacks; its own are `flax.linen`'s (see the page on networks).

A `mask` is Flax's: it broadcasts against x, and what it marks False (rows of padding) doesn't count in statistics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen

from jreg._base import checks
from jreg._base.arrays import wide, wide_dtype
from jreg._base.types import Array, Scalar


class BatchRenorm(linen.Module):
    r"""Batch renormalization: batch statistics corrected towards the running ones, within limits.

    .. math::
       y = \gamma \left(\frac{x - \mu_B}{\sigma_B} r + d\right) + \beta, \qquad
       r = \operatorname{clip}\left(\frac{\sigma_B}{\sigma}, \frac1{r_{max}}, r_{max}\right), \quad
       d = \operatorname{clip}\left(\frac{\mu_B - \mu}{\sigma}, -d_{max}, d_{max}\right)

    The derivative doesn't pass through r and d. With limits 1 and 0 this is batch normalization, and where no limit
    is met training computes what evaluation does. Statistics are over all axes but the last; evaluation, and a batch
    that is all padding, take the running ones.

    Args:
      r_max: limit of the ratio, at least 1, or a schedule of the training step such as
        ``optax.linear_schedule(1.0, 3.0, 35_000, 5_000)``, the paper's; may be traced.
      d_max: limit of the shift, at least 0, or a schedule, the paper's is
        ``optax.linear_schedule(0.0, 5.0, 20_000, 5_000)``; may be traced.
      momentum: share of the running statistics that a step keeps, in [0, 1]; may be traced.
      epsilon: added to variances.

    Raises:
      ValueError: a known `r_max` is below 1, or a known `d_max` below 0.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = BatchRenorm(), jnp.arange(8.0).reshape(4, 2)
    >>> variables = layer.init(jax.random.key(0), x)
    >>> y, updated = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    >>> y.shape, int(updated["batch_stats"]["count"])
    ((4, 2), 1)

    Source: Ioffe, Batch renormalization: towards reducing minibatch dependence in batch-normalized models, NeurIPS
    (2017), algorithm 1.
    """

    r_max: Scalar | Callable[[Array], Scalar] = 3.0
    d_max: Scalar | Callable[[Array], Scalar] = 5.0
    momentum: Scalar = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        ratio = checks.concrete(self.r_max)
        if ratio is not None and not ratio >= 1:
            raise ValueError(f"BatchRenorm's r_max is {ratio:g}, but must be at least 1, which is batch normalization")
        checks.strength(self.d_max, "BatchRenorm's d_max")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """`x` normalized; training updates the collection ``"batch_stats"``."""
        units = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, units)
        deviation = self.variable("batch_stats", "deviation", jnp.ones, units)
        count = self.variable("batch_stats", "count", jnp.zeros, (), jnp.int32)
        if not train:
            return _scaled(self, (wide(x) - _row(mean.value, x)) / _row(deviation.value, x), x)
        axes = tuple(range(x.ndim - 1))
        mean_here, variance, rows = moments(x, axes, mask)
        deviation_here = jnp.sqrt(variance + self.epsilon)
        r_max, d_max = (
            jnp.asarray(limit(count.value) if callable(limit) else limit, mean_here.dtype)
            for limit in (self.r_max, self.d_max)
        )
        ratio = jnp.clip(deviation_here / _row(deviation.value, x), 1 / r_max, r_max)
        shift = jnp.clip((mean_here - _row(mean.value, x)) / _row(deviation.value, x), -d_max, d_max)
        ratio, shift = jax.lax.stop_gradient((ratio, shift))
        if not self.is_initializing():
            count.value = count.value + 1
            for running, here in ((mean, mean_here), (deviation, deviation_here)):
                running.value = _kept(running.value, here.reshape(-1), self.momentum, rows > 0)
        return _scaled(self, (wide(x) - mean_here) / deviation_here * ratio + shift, x)


class GhostBatchNorm(linen.Module):
    r"""Ghost batch normalization: each part of a large batch is normalized by its own statistics.

    .. math:: y_i = \gamma \frac{x_i - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}} + \beta, \qquad
       \mu \leftarrow m \mu + (1 - m) \mu_g \text{ for one part } g \text{ after the other}

    Large batches then have the noise of small ones. Rows are taken in order, `size` at a time; the last part has what
    is left over, and moves the running statistics by its rows, a part of :math:`n_g` rows by
    :math:`m^{n_g / \text{size}}`; padding doesn't count. Statistics are over all axes but the last.

    Args:
      size: rows of a part, at least 1.
      momentum: m, the share of the running statistics that one part keeps, in [0, 1]; may be traced.
      epsilon: added to variances.

    Raises:
      ValueError: `size` is below 1.
      TypeError: `size` is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = GhostBatchNorm(size=2), jnp.array([[0.0], [2.0], [10.0], [30.0]])
    >>> variables = layer.init(jax.random.key(0), x)
    >>> layer.apply(variables, x, train=True, mutable=["batch_stats"])[0].round(2).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]

    Source: Hoffer, Hubara and Soudry, Train longer, generalize better, NeurIPS (2017), algorithm 1.
    """

    size: int = 32
    momentum: Scalar = 0.99
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        checks.count(self.size, "GhostBatchNorm's size")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """`x` normalized; training updates the collection ``"batch_stats"``."""
        units = x.shape[-1:]
        # With names of their own, because a training weighs Flax's averages by the rows of a batch.
        mean = self.variable("batch_stats", "ghost_mean", jnp.zeros, units)
        variance = self.variable("batch_stats", "ghost_var", jnp.ones, units)
        if not train:
            scale = jax.lax.rsqrt(_row(variance.value, x) + self.epsilon)
            return _scaled(self, (wide(x) - _row(mean.value, x)) * scale, x)
        rows = x.shape[0]
        parts = -(-rows // self.size)
        if x.ndim == 2 and rows % self.size == 1 % self.size and not self.is_initializing():
            warnings.warn(
                f"GhostBatchNorm takes {rows} rows {self.size} at a time, so that a part has one row, of which "
                "normalization makes zeros: take another size",
                UserWarning,
                stacklevel=2,
            )
        there = jnp.ones(x.shape, bool) if mask is None else jnp.broadcast_to(mask, x.shape).astype(bool)
        grouped, there = (
            jnp.pad(a, ((0, parts * self.size - rows), *[(0, 0)] * (x.ndim - 1))).reshape(
                parts, self.size, *x.shape[1:]
            )
            for a in (wide(x), there)
        )
        axes = tuple(range(1, x.ndim))
        means, variances, counts = moments(grouped, axes, there)
        y = (grouped - means) * jax.lax.rsqrt(variances + self.epsilon)
        if not self.is_initializing():
            # An image counts once for each of its places.
            full = self.size * (x.size // (rows * x.shape[-1]))
            shares = counts.reshape(parts, -1) / jnp.asarray(full, counts.dtype)
            for running, each in ((mean, means), (variance, variances)):
                for part, value in enumerate(each.reshape(parts, -1)):
                    m, share = jnp.asarray(self.momentum, running.value.dtype), shares[part].astype(running.value.dtype)
                    running.value = _kept(running.value, value, jnp.where(share < 1, m**share, m), share > 0)
        return _scaled(self, y.reshape(-1, *x.shape[1:])[:rows], x)


class ResponseNorm(linen.Module):
    r"""Filter response normalization with its thresholded linear unit: each example's channels by themselves.

    .. math:: y = \max\left(\gamma \frac{x}{\sqrt{\nu^2 + |\epsilon|}} + \beta, \tau\right), \qquad
       \nu^2 = \operatorname{mean}_{\text{space}}(x^2)

    There are no batch statistics, so padding and small batches don't matter. The threshold replaces the
    activation: give a network ``activation="identity"`` with it. Without spatial axes a mean is over one number, and
    the quotient almost its sign; the paper then learns epsilon.

    Args:
      epsilon: a constant, above 0; with `learn_epsilon` the least one.
      learn_epsilon: whether each channel learns what is added to `epsilon`, from 1e-4 on.
      threshold: whether there is the threshold tau; otherwise an activation may follow.

    Raises:
      ValueError: `epsilon` is not above 0.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = ResponseNorm(), jnp.array([[[2.0], [-2.0]]])
    >>> variables = layer.init(jax.random.key(0), x)
    >>> layer.apply(variables, x).round(3).ravel().tolist()
    [1.0, 0.0]

    Source: Singh and Krishnan, Filter response normalization layer, CVPR (2020).
    """

    epsilon: float = 1e-6
    learn_epsilon: bool = False
    threshold: bool = True

    def __post_init__(self) -> None:
        checks.radius(self.epsilon, "ResponseNorm's epsilon")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """`x` normalized, ``(batch, ..., channels)``."""
        units = x.shape[-1:]
        power = jnp.mean(jnp.square(wide(x)), axis=tuple(range(1, x.ndim - 1)), keepdims=True)
        epsilon = jnp.full(units, self.epsilon, jnp.float32)
        if self.learn_epsilon:
            epsilon = epsilon + jnp.abs(self.param("epsilon", linen.initializers.constant(1e-4), units))
        y = _scaled(self, wide(x) * jax.lax.rsqrt(power + _row(epsilon, x)), x)
        if not self.threshold:
            return y
        return jnp.maximum(y, _row(self.param("threshold", linen.initializers.zeros, units), x).astype(x.dtype))


def moments(x: Array, axes: tuple[int, ...], mask: Array | None) -> tuple[Array, Array, Array]:
    """Mean, variance and number of what `mask` marks, in float32 with axes kept; 0, 0 and 0 where that is nothing."""
    x = wide(x)
    weights = jnp.ones(x.shape, x.dtype) if mask is None else jnp.broadcast_to(mask, x.shape).astype(x.dtype)
    count = jnp.sum(weights, axis=axes, keepdims=True)
    mean = jnp.sum(jnp.where(weights > 0, x, 0), axis=axes, keepdims=True) / jnp.maximum(count, 1)
    squares = jnp.where(weights > 0, jnp.square(x - mean), 0)
    return mean, jnp.sum(squares, axis=axes, keepdims=True) / jnp.maximum(count, 1), count


def _row(values: Array, x: Array) -> Array:
    return values.astype(wide_dtype(x)).reshape((1,) * (x.ndim - 1) + values.shape)


def _kept(running: Array, here: Array, momentum: Scalar, there: Array) -> Array:
    m = jnp.asarray(momentum, running.dtype)
    return jnp.where(there.reshape(-1), m * running + (1 - m) * here.astype(running.dtype), running)


def _scaled(module: linen.Module, y: Array, x: Array) -> Array:
    # Flax's names, so that what chooses parameters by path finds these, too.
    scale = module.param("scale", linen.initializers.ones, x.shape[-1:])
    bias = module.param("bias", linen.initializers.zeros, x.shape[-1:])
    return (y * _row(scale, x) + _row(bias, x)).astype(x.dtype)
