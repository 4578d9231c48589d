"""Metrics from plain functions: of one example, of all outputs, of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg._base.types import Array, PyTree
from jreg.metrics.metric import Metric, ParamsMetric, described, scalar


class _Mean(NamedTuple):
    total: Array
    weight: Array


class _Collected(NamedTuple):
    outputs: PyTree
    targets: PyTree
    weights: Array
    position: Array


def average(
    f: Callable[[Any, Any], Array], *, maximize: bool, finish: Callable[[Array], Array] | None = None
) -> Metric:
    r"""A metric that is the weighted mean of a value per example.

    .. math:: g\left(\frac{\sum_i w_i f(\hat y_i, y_i)}{\sum_i w_i}\right)

    Args:
      f: ``(outputs, targets) -> values`` of shape ``(n,)``, or ``(n, ...)``, which is averaged over its further axes.
      maximize: whether higher is better.
      finish: g, applied to the mean, such as `jnp.sqrt`; default: the mean itself.

    Returns:
      A `jreg.metrics.Metric` with f's name and docstring. Its state is two numbers; its value is NaN without any
      weight.

    Raises:
      TypeError: `maximize` is no bool.
      ValueError: at a call, f's values have no axis of examples, or one for all pairs of them.

    >>> import jax.numpy as jnp
    >>> rmse = average(lambda outputs, targets: jnp.square(outputs - targets), maximize=False, finish=jnp.sqrt)
    >>> float(rmse(jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0]), jnp.array([0.0, 1.0])))
    4.0
    """

    def init(outputs: PyTree, targets: PyTree, rows: int) -> _Mean:
        del outputs, targets, rows  # the state has the same size for all
        return _Mean(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))

    def values(outputs: PyTree, targets: PyTree) -> Array:
        found, rows = jnp.asarray(f(outputs, targets)), jax.tree.leaves((outputs, targets))[0].shape[0]
        if found.shape[:1] != (rows,):
            raise ValueError(
                f"the function of jreg.metrics.average returned an array of shape {found.shape} for {rows} examples, "
                "but must return a value per example: jreg.metrics.collecting takes a function that returns one number "
                "for all"
            )
        shapes = sorted(getattr(tree, "shape", ()) for tree in (outputs, targets))
        if shapes == [(rows,), (rows, 1)] and found.shape == (rows, rows) and rows > 1:
            raise ValueError(
                "the function of jreg.metrics.average pairs every output with every target, as shapes (n, 1) and (n,) "
                "broadcast: take jnp.squeeze of the longer one, axis=-1"
            )
        return jnp.mean(found.astype(jnp.float32), axis=tuple(range(1, found.ndim)))

    def finished(total: Array, weight: Array) -> Array:
        some = weight > 0
        mean = jnp.where(some, total / jnp.where(some, weight, 1), jnp.nan)
        return mean if finish is None else scalar(finish(mean), "average")

    def update(state: _Mean, outputs: PyTree, targets: PyTree, weights: Array) -> _Mean:
        weights = weights.astype(jnp.float32)
        total = jnp.sum(weights * jnp.where(weights > 0, values(outputs, targets), 0))
        return _Mean(state.total + total, state.weight + jnp.sum(weights))

    def compute(state: _Mean) -> Array:
        return finished(*state)

    made = Metric(init, update, compute, maximize=maximize, values=values, finish=finished)
    return described(made, f)


def collecting(f: Callable[[Any, Any, Array], Any], *, maximize: bool) -> Metric:
    """A metric that needs all outputs at once, such as the area under a ROC curve.

    Its state holds the outputs and targets of all rows. A score that is a mean over examples is cheaper by `average`.

    Args:
      f: ``(outputs, targets, weights) -> number``, traceable. It receives `rows` rows; those of padding and those that
        no update has filled are zeros of weight 0.
      maximize: whether higher is better.

    Returns:
      A `jreg.metrics.Metric` with f's name and docstring. Its value is NaN if the updates had more rows than `init`
      was given.

    Raises:
      TypeError: `maximize` is no bool.
      ValueError: at a call, a single block has more rows than `init` was given, or f returns more than one number.

    >>> import jax.numpy as jnp
    >>> def largest_error(outputs, targets, weights):
    ...     return jnp.max(weights * jnp.abs(outputs - targets))
    >>> metric = collecting(largest_error, maximize=False)
    >>> float(metric(jnp.array([1.0, 2.0, 9.0]), jnp.array([1.5, 2.0, 0.0]), jnp.array([1.0, 1.0, 0.0])))
    0.5
    """

    def init(outputs: PyTree, targets: PyTree, rows: int) -> _Collected:
        outputs, targets = jax.tree.map(lambda a: jnp.zeros((rows, *a.shape[1:]), a.dtype), (outputs, targets))
        return _Collected(outputs, targets, jnp.zeros(rows, jnp.float32), jnp.zeros((), jnp.int32))

    def update(state: _Collected, outputs: PyTree, targets: PyTree, weights: Array) -> _Collected:
        rows, n = state.weights.shape[0], weights.shape[0]
        if n > rows:
            raise ValueError(f"a block has {n} rows, but init of the metric was given only {rows} for all of them")
        meant = weights > 0

        def write(buffer: Array, block: Array) -> Array:
            # Zeros instead of NaN, which weight 0 would not remove from a sum.
            block = jnp.where(meant.reshape(n, *[1] * (block.ndim - 1)), block, jnp.zeros((), block.dtype))
            return jax.lax.dynamic_update_slice_in_dim(buffer, block.astype(buffer.dtype), state.position, axis=0)

        kept = jax.tree.map(write, tuple(state[:3]), (outputs, targets, weights))
        return _Collected(*kept, state.position + jnp.int32(n))

    def compute(state: _Collected) -> Array:
        value = scalar(f(state.outputs, state.targets, state.weights), "collecting")
        # A block beyond the end would have been written over earlier rows.
        return jnp.where(state.position > state.weights.shape[0], jnp.nan, value)

    return described(Metric(init, update, compute, maximize=maximize), f)


def of_params(f: Callable[[PyTree], Any], *, maximize: bool) -> ParamsMetric:
    """A metric of a network's parameters: a norm, the share of zeros, a norm per layer.

    Args:
      f: ``params -> scalar``, or ``params -> {name: scalar}`` for several numbers.
      maximize: whether higher is better.

    Returns:
      A `jreg.metrics.ParamsMetric` with f's name and docstring, to be called on parameters.

    Raises:
      TypeError: `maximize` is no bool.
      ValueError: at a call, a value is more than one number.

    >>> import jax.numpy as jnp
    >>> zeros = of_params(lambda params: {name: jnp.mean(w == 0) for name, w in params.items()}, maximize=True)
    >>> {name: float(value) for name, value in zeros({"kernel": jnp.array([0.0, 1.0]), "bias": jnp.ones(1)}).items()}
    {'kernel': 0.5, 'bias': 0.0}
    """
    return described(ParamsMetric(f, maximize=maximize), f)
