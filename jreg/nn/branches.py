"""Noise on a network's branches as layers."""

from __future__ import annotations

from flax import linen

from jreg import stochastic
from jreg._base import checks
from jreg._base.types import Array, Key, Scalar
from jreg.nn._noise import Noise


class DropPath(Noise):
    r"""Stochastic depth as a layer, at the end of a residual branch: ``h + DropPath(rate)(block(h), train)``.

    .. math:: y_n = \frac{m_n}{q} x_n \text{ in training}, \qquad y = x \text{ at evaluation}

    Args:
      rate: probability that an example skips the branch, in [0, 1); may be traced. `linear_depth_rates` of
        `jreg.stochastic` has the usual ones.

    Raises:
      ValueError: a known `rate` lies outside [0, 1).

    >>> import jax, jax.numpy as jnp
    >>> y = DropPath(0.5).apply({}, jnp.ones((4, 3)), train=True, rngs={"dropout": jax.random.key(0)})
    >>> bool((y == y[:, :1]).all())
    True

    Source: `jreg.stochastic.drop_path`.
    """

    rate: Scalar = 0.0

    def noise(self, key: Key, x: Array) -> Array:
        """Drops examples of `x`."""
        return stochastic.drop_path(key, x, self.rate)


class ShakeShake(linen.Module):
    r"""Shake-Shake as a layer: two branches mixed at random, from the random stream ``"dropout"``.

    .. math:: y_n = \alpha_n a_n + (1 - \alpha_n) b_n \text{ in training}, \qquad
       y = \tfrac12 (a + b) \text{ at evaluation}

    >>> import jax.numpy as jnp
    >>> ShakeShake().apply({}, jnp.array([[1.0]]), jnp.array([[3.0]])).tolist()
    [[2.0]]

    Source: `jreg.stochastic.shake_shake`.
    """

    @linen.compact
    def __call__(self, first: Array, second: Array, train: bool = False) -> Array:
        """Mixes two branches of one shape."""
        return stochastic.shake_shake(self.make_rng("dropout"), first, second) if train else 0.5 * (first + second)


class Zoneout(linen.Module):
    r"""Zoneout as a layer inside of a recurrent cell, from the random stream ``"dropout"``.

    .. math:: y = d \, p + (1 - d) \, x \text{ in training}, \qquad
       y = \text{rate} \cdot p + (1 - \text{rate}) \, x \text{ at evaluation}

    Args:
      rate: probability of the previous value, in [0, 1); may be traced.

    Raises:
      ValueError: a known `rate` lies outside [0, 1); at the call: the states' shapes differ.

    >>> import jax.numpy as jnp
    >>> Zoneout(0.25).apply({}, jnp.array([1.0]), jnp.array([5.0])).tolist()
    [2.0]

    Source: `jreg.stochastic.zoneout` and `jreg.stochastic.zoneout_average`.
    """

    rate: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.rate(self.rate, "Zoneout's rate")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, previous: Array, train: bool = False) -> Array:
        """The state to go on with, from the new one `x` and the `previous` one."""
        if train and checks.concrete(self.rate) != 0:
            return stochastic.zoneout(self.make_rng("dropout"), x, previous, self.rate)
        return stochastic.zoneout_average(x, previous, self.rate)
