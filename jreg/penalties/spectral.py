"""Norms of the singular values of one weight array, taken as the matrix of all axes but the last by the last."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jreg._base.arrays import matrix, product, safe_norm
from jreg._base.reading import layerwise
from jreg._base.singular import derivative
from jreg._base.types import Array, Key
from jreg.penalties._arrays import unit


@layerwise
def nuclear_norm(w: Array) -> Array:
    r"""Sum of the singular values: the convex penalty for a low rank.

    .. math:: \Omega(W) = \sum_i \sigma_i(W), \qquad W = U \Sigma V^\top, \qquad \partial\Omega(W) \ni U V^\top

    Args:
      w: weights with two axes or more, of floating dtype. Half precision is computed in float32.

    Returns:
      A scalar of w's dtype, float32 at least. Its gradient is :math:`U V^\top` without the singular values that are 0
      to rounding, finite everywhere, also at equal singular values, and 0 at 0; second derivatives are finite too.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes.

    A gradient step brings singular values near zero, `jreg.prox.nuclear_norm` onto it.

    >>> import jax.numpy as jnp
    >>> round(float(nuclear_norm(jnp.array([[3.0, 0.0], [0.0, -4.0]]))), 4)
    7.0

    Source: Fazel, Hindi and Boyd, A rank minimization heuristic with application to minimum order system
    approximation (ACC 2001); Watson, Characterization of the subdifferential of some matrix norms, Linear Algebra
    Appl. 170 (1992).
    """
    return _norm(matrix(w, "nuclear_norm"), _present, None)


@layerwise
def spectral_norm(w: Array) -> Array:
    r"""The largest singular value, exactly: how much the affine map can stretch its input.

    .. math:: \Omega(W) = \sigma_1(W) = \max_{z \ne 0} \frac{\lVert W z \rVert}{\lVert z \rVert}, \qquad
       \partial\Omega(W) \ni u_1 v_1^\top

    The paper's penalty is half its square. `spectral_norm_step` is cheaper for large layers.

    Args:
      w: weights with two axes or more, of floating dtype. Half precision is computed in float32.

    Returns:
      A scalar of w's dtype, float32 at least. Where several singular values are largest its gradient is that of one
      of them, and what is infinite in the second derivative counts as 0; the gradient at 0 is 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes.

    >>> import jax.numpy as jnp
    >>> round(float(spectral_norm(jnp.array([[3.0, 0.0], [0.0, -4.0]]))), 4)
    4.0

    Source: Yoshida and Miyato, Spectral norm regularization for improving the generalizability of deep learning
    (2017).
    """
    return _norm(matrix(w, "spectral_norm"), _largest, 1)


_Shares = Callable[[Array, tuple[int, ...]], Array]


def _present(s: Array, shape: tuple[int, ...]) -> Array:
    # NumPy's matrix_rank counts the same singular values.
    return jnp.where(s > jnp.max(s) * max(shape) * jnp.finfo(s.dtype).eps, 1, 0).astype(s.dtype)


def _largest(s: Array, shape: tuple[int, ...]) -> Array:
    del shape
    return jnp.where((jnp.arange(s.size) == 0) & (s != 0), 1, 0).astype(s.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _norm(m: Array, shares: _Shares, count: int | None) -> Array:
    """The first `count` singular values, each times its share, added up; the gradient has shares in their place."""
    return jnp.sum(m * _direction(m, shares, count))


@_norm.defjvp
def _(shares: _Shares, count: int | None, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (m,), (change,) = primals, tangents
    direction = _direction(m, shares, count)
    return jnp.sum(m * jax.lax.stop_gradient(direction)), jnp.sum(change * direction)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _direction(m: Array, shares: _Shares, count: int | None) -> Array:
    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    return product(u[:, :count] * shares(s, m.shape)[None, :count], vt[:count])


@_direction.defjvp
def _(shares: _Shares, count: int | None, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (m,), (change,) = primals, tangents
    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    values = shares(s, m.shape)
    return product(u[:, :count] * values[None, :count], vt[:count]), derivative((u, s, vt), change, values)


def spectral_norm_init(key: Key, w: Array) -> Array:
    r"""The state that `spectral_norm_step` starts from: a random unit vector, one number a unit.

    .. math:: v \sim \text{uniform on the unit sphere}

    Args:
      key: a JAX random key (`jax.random.key`).
      w: weights with two axes or more, of floating dtype.

    Returns:
      An array of shape ``(w.shape[-1],)`` in float32, or in w's dtype if that is wider.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes.

    >>> import jax, jax.numpy as jnp
    >>> spectral_norm_init(jax.random.key(0), jnp.ones((3, 2))).shape
    (2,)

    Source: Miyato et al., Spectral normalization for generative adversarial networks (ICLR 2018), algorithm 1.
    """
    weights = matrix(w, "spectral_norm_init")
    return unit(jax.random.normal(key, weights.shape[1:], weights.dtype))


def spectral_norm_step(w: Array, state: Array) -> tuple[Array, Array]:
    r"""The largest singular value by one step of power iteration, and the state for the next training step.

    .. math:: u = \frac{W v}{\lVert W v \rVert}, \qquad v \leftarrow \frac{W^\top u}{\lVert W^\top u \rVert},
       \qquad \Omega(W) = u^\top W v = \lVert W^\top u \rVert

    Weights change little between training steps, so one step each is enough; several in a row sharpen a single
    value. As in the paper u and v are constants for the gradient, which is :math:`u v^\top`.

    Args:
      w: weights with two axes or more, of floating dtype. Half precision is computed in float32.
      state: v, from `spectral_norm_init` or the step before.

    Returns:
      A scalar of w's dtype, float32 at least, never above the exact `spectral_norm` but for rounding, and the new
      state. At 0 the value and its gradient are 0 and the state stays as it is.

    Raises:
      TypeError: `w` is no array of floating dtype, or the gradient is differentiated: it has no derivative.
      ValueError: `w` is empty or has fewer than two axes, or `state` has another number of units.

    >>> import jax, jax.numpy as jnp
    >>> w = jnp.array([[3.0, 0.0], [0.0, -4.0]])
    >>> state = spectral_norm_init(jax.random.key(0), w)
    >>> for _ in range(30):
    ...     value, state = spectral_norm_step(w, state)
    >>> round(float(value), 4)
    4.0

    Source: Miyato et al., Spectral normalization for generative adversarial networks (ICLR 2018), algorithm 1.
    """
    weights = matrix(w, "spectral_norm_step")
    if jnp.shape(state) != weights.shape[1:]:
        raise ValueError(
            f"spectral_norm_step's state has shape {jnp.shape(state)}, but w of shape {w.shape} needs "
            f"{weights.shape[1:]}: spectral_norm_init makes one"
        )
    return _estimate(weights, jnp.asarray(state, weights.dtype))


@jax.custom_jvp
def _estimate(m: Array, before: Array) -> tuple[Array, Array]:
    u, v = _turned(m, before)
    return jnp.sum(m * u[:, None] * v[None, :]), v


@_estimate.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Any, Any]:
    m, before = primals
    u, v = _turned(m, before)
    value, slope = (jnp.sum(a * u[:, None] * v[None, :]) for a in (m, tangents[0]))
    return (value, v), (slope, jnp.zeros_like(v))


@jax.custom_jvp
def _turned(m: Array, before: Array) -> tuple[Array, Array]:
    u = unit(product(m, before))
    after = product(m.T, u)
    return u, jnp.where(safe_norm(after) > 0, unit(after), before)


@_turned.defjvp
def _(primals: Any, tangents: Any) -> Any:
    del primals, tangents
    raise TypeError(
        "spectral_norm_step takes its vectors as constants and so has no second derivative: use spectral_norm"
    )
