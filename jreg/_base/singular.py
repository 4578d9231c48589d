"""Derivatives of what acts on the singular values of a matrix, finite at equal ones and at zeros."""

from __future__ import annotations

import jax.numpy as jnp

from jreg._base.arrays import product
from jreg._base.types import Array


def derivative(
    parts: tuple[Array, Array, Array],
    change: Array,
    values: Array,
    differences: Array | None = None,
    at_zero: Array | float = 0.0,
) -> Array:
    r"""How :math:`U f(\Sigma) V^\top` moves when :math:`U \Sigma V^\top` does.

    The derivatives of singular vectors are infinite at equal singular values; those of the product are divided
    differences of f, :math:`(f_i - f_j) / (s_i - s_j)` and :math:`(f_i + f_j) / (s_i + s_j)`.

    Args:
      parts: u, s and vt of the thin decomposition.
      change: in which direction the matrix moves.
      values: f at each singular value.
      differences: the first kind, with f's derivative on the diagonal; default: those of an f that is constant near
        each singular value, 0 between equal ones.
      at_zero: the second kind where both singular values are 0.

    Source: Lewis and Sendov, Nonsmooth analysis of singular values II, Set-Valued Analysis 13 (2005).
    """
    u, s, vt = parts
    if u.shape[0] < vt.shape[1]:
        return derivative((vt.T, s, u.T), change.T, values, differences, at_zero).T
    total = s[:, None] + s[None, :]
    sums = jnp.where(total > 0, (values[:, None] + values[None, :]) / jnp.where(total > 0, total, 1), at_zero)
    if differences is None:
        gap = s[:, None] - s[None, :]
        apart = gap != 0
        differences = jnp.where(apart, (values[:, None] - values[None, :]) / jnp.where(apart, gap, 1), 0)
    inner = product(u.T, change, vt.T)
    turned = differences * (inner + inner.T) / 2 + sums * (inner - inner.T) / 2
    outside = change - product(u, u.T, change)
    return product(u, turned, vt) + product(outside, vt.T * jnp.diagonal(sums)[None, :], vt)
