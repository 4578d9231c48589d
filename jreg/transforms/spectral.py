"""The spectral norm penalty with a power iteration that continues from step to step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range, product, safe_norm, wide_dtype
from jreg._base.reading import assumed, within
from jreg._base.sharding import whole
from jreg._base.tree import kernels, readings, selected
from jreg._base.types import Array, PyTree, Scalar, Where
from jreg.transforms._params import Number, at, begun, counted, given, is_part, mapped_by_axes


class SpectralState(NamedTuple):
    """What `spectral_penalty` keeps.

    Attributes:
      v: the estimates of the first right singular vectors, a tree like the parameters, with an
        empty array for those not chosen.
      count: the updates made so far, int32; () when the strength is no schedule.
    """

    v: PyTree
    count: Array | tuple[()]


def spectral_penalty(
    strength: Number, where: Where | None = None, axis: Any = None
) -> optax.GradientTransformationExtraArgs:
    r"""Adds the gradient of half the squared largest singular value of each kernel; put it first in the chain.

    .. math:: g \leftarrow g + \lambda\, \sigma u v^\top, \qquad
       u \propto W v, \quad v \propto W^\top u, \quad \sigma = u^\top W v

    The gradient of :math:`\tfrac\lambda2 \sigma(W)^2`. One power iteration per step finds the singular vectors, since
    weights move little between steps; at first the estimate of the norm is too small. This is the cheap form, for
    its vectors are kept in the state; a penalty of `jreg.penalties` has none and restarts at every step.

    A kernel is taken as the matrix of its inputs by its outputs, a stack of layers as one for each. The iteration
    starts from fixed random vectors, the same in every training. Half precision is computed in float32.

    Args:
      strength: lambda, at least 0: a number, which may be traced, or an optax schedule, which is called with the counts
        0, 1, 2, ...
      where: which parameters, as in `jreg.on_params`, all with two axes or more; default: the weights of affine maps.
      axis: which axes of the weights are what, where names, shapes and modules don't tell, as in `jreg.on_params`.

    Returns:
      A transform that needs ``params`` and has a `SpectralState`.

    Raises:
      ValueError: a known `strength` is negative, `where` matches nothing or an array with fewer than two axes, or
        ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(spectral_penalty(0.5), optax.sgd(1.0))
    >>> params = {"kernel": jnp.array([[2.0, 0.0], [0.0, 1.0]])}
    >>> state = chain.init(params)
    >>> for _ in range(30):  # here the weights stand still, and the vectors become exact
    ...     updates, state = chain.update({"kernel": jnp.zeros((2, 2))}, state, params)
    >>> print(abs(updates["kernel"].round(3)))
    [[1. 0.]
     [0. 0.]]

    Source: Yoshida and Miyato, Spectral norm regularization for improving the generalizability of deep learning
    (2017), algorithm 1.
    """
    checks.strength(strength, "spectral_penalty's strength")

    def init(params: optax.Params) -> SpectralState:
        flags = selected(params, kernels if where is None else where, may_be_none=is_part(params))
        known = readings(params, flags, axis)
        leaves, treedef = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(0), len(leaves))
        starts = [
            within(reading, _start, key, leaf) if flag else jnp.zeros(0)
            for key, leaf, flag, reading in zip(keys, leaves, flags, known, strict=True)
        ]
        return SpectralState(treedef.unflatten(starts), begun(strength))

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        weights = given(params, "spectral_penalty")
        present = at(strength, state.count)
        v = mapped_by_axes(_turned, where, state.v, weights, axis=axis)
        pulled = mapped_by_axes(lambda u, v, w: _pulled(u, v, w, present), where, updates, v, weights, axis=axis)
        return pulled, SpectralState(v, counted(state.count))

    return optax.GradientTransformationExtraArgs(init, update)


def _start(key: Array, w: Array) -> Array:
    if w.ndim < 2:
        raise ValueError(
            f"spectral_penalty got an array of shape {w.shape}, but needs one with two axes or more: choose by where"
        )
    shape = _matrix(w).shape
    start = jax.random.normal(key, (*shape[:-2], shape[-1]), wide_dtype(w))
    return start / safe_norm(start, -1)


def _matrix(w: Array) -> Array:
    """A kernel as a matrix ``(in, out)``; in another order of axes or a stack as matrices ``(layers, in, out)``."""
    reading, w = assumed(w), whole(w)
    if reading is None or reading.plain:
        return w.reshape(-1, w.shape[-1])
    layers = reading.layers(w)
    return layers.reshape(len(layers), -1, layers.shape[-1])


def _turned(v: Array, w: Array) -> Array:
    matrix = _matrix(w).astype(v.dtype)
    return jax.vmap(_step)(v, matrix) if v.ndim > 1 else _step(v, matrix)


def _step(v: Array, matrix: Array) -> Array:
    back = product(product(matrix, v), matrix)
    length = safe_norm(back)
    # A matrix of zeros has no direction, and a vector of zeros would stay zero for good.
    return jnp.where(length > 0, back / jnp.where(length > 0, length, 1), v)


def _pulled(u: Array, v: Array, w: Array, strength: Scalar) -> Array:
    def slope(v: Array, matrix: Array) -> Array:
        # The image is sigma times the left singular vector.
        return in_range(strength, v.dtype) * product(matrix, v)[:, None] * v[None, :]

    matrix, reading = _matrix(w).astype(v.dtype), assumed(w)
    if v.ndim > 1 and reading is not None:
        pull = reading.restored(jax.vmap(slope)(v, matrix))
    else:
        pull = slope(v, matrix).reshape(w.shape)
    return u + pull.astype(u.dtype)
