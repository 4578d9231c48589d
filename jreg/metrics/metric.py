"""What a metric is: a state that takes blocks of examples, and a direction."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jreg._base.names import shown
from jreg._base.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of a network's outputs that takes them block by block.

    The functions are pure and traceable, and the state keeps its shapes and dtypes, so that a metric works under
    `jax.jit`, `jax.vmap` and inside loops. Outputs and targets are arrays, or pytrees of them, with a leading axis of
    examples. Weights are ``(n,)`` of float32, 0 for padding; padded rows may hold anything, NaN too.

    Attributes:
      init: ``(outputs, targets, rows) -> state`` before the first block. It reads only shapes and dtypes, so that
        `jax.ShapeDtypeStruct` will do; `rows` is an upper bound of the rows of all updates, padding included.
      update: ``(state, outputs, targets, weights) -> state`` with one more block of examples.
      compute: ``state -> float32 scalar``.
      maximize: whether higher is better.
      values: ``(outputs, targets) -> (n,)``, what the metric is a weighted mean of; None for other metrics. A training
        adds the means of several metrics up together.
      finish: ``(sum of weighted values, sum of weights) -> float32 scalar``, where there are `values`.

    Raises:
      TypeError: `maximize` is no bool.

    >>> import jax.numpy as jnp
    >>> from jreg import metrics
    >>> outputs, targets = jnp.array([1.0, 2.0, 3.0, 0.0]), jnp.array([1.0, 2.0, 5.0, 0.0])
    >>> state = metrics.mse.init(outputs[:2], targets[:2], rows=4)
    >>> state = metrics.mse.update(state, outputs[:2], targets[:2], jnp.ones(2))
    >>> state = metrics.mse.update(state, outputs[2:], targets[2:], jnp.array([1.0, 0.0]))  # the last row is padding
    >>> float(metrics.mse.compute(state)) == float(metrics.mse(outputs[:3], targets[:3]))
    True
    """

    init: Callable[[PyTree, PyTree, int], PyTree]
    update: Callable[[PyTree, PyTree, PyTree, Array], PyTree]
    compute: Callable[[PyTree], Array]
    maximize: bool = dataclasses.field(kw_only=True)
    values: Callable[[PyTree, PyTree], Array] | None = dataclasses.field(kw_only=True, default=None)
    finish: Callable[[Array, Array], Array] | None = dataclasses.field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        _direction(self.maximize, "a Metric")

    def __call__(self, outputs: PyTree, targets: PyTree, weights: Array | None = None) -> Array:
        """The score of all examples at once, a float32 scalar; `weights` are 1 by default."""
        outputs, targets = jax.tree.map(jnp.asarray, (outputs, targets))
        leaves = jax.tree.leaves((outputs, targets))
        if not all(map(jnp.ndim, leaves)):
            raise ValueError(
                "a metric takes outputs and targets as arrays, or trees of arrays, with a first axis of examples, but "
                "got single numbers: jnp.asarray makes an array of a list"
            )
        rows = leaves[0].shape[0]
        weights = jnp.ones(rows, jnp.float32) if weights is None else jnp.asarray(weights, jnp.float32)
        if weights.shape != (rows,):
            raise ValueError(
                f"weights have shape {weights.shape}, but must have {(rows,)}: one number per example, 0 for padding"
            )
        return self.compute(self.update(self.init(outputs, targets, rows), outputs, targets, weights))


@dataclasses.dataclass(frozen=True)
class ParamsMetric:
    """Numbers of a network's parameters, such as their norm; `jreg.metrics.of_params` makes one.

    Attributes:
      function: ``params -> scalar``, or ``params -> {name: scalar}`` for several numbers.
      maximize: whether higher is better, for all of its numbers.

    Raises:
      TypeError: `maximize` is no bool.
    """

    function: Callable[[PyTree], Any]
    maximize: bool = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        _direction(self.maximize, "a ParamsMetric")

    def __call__(self, params: PyTree) -> Array | dict[str, Array]:
        """A float32 scalar, or a dict of them by name."""
        values = self.function(params)
        if not isinstance(values, dict):
            return scalar(values, "of_params")
        return {name: scalar(value, "of_params") for name, value in values.items()}


def as_metric(name: str, value: Any) -> Metric | ParamsMetric:
    """The value itself if it is a metric.

    Args:
      name: the metric's name in the recipe, for the message.
      value: what the recipe gives under that name.

    Returns:
      `value`.

    Raises:
      TypeError: `value` is a plain function, which has no direction, or anything else that is no metric.

    >>> from jreg import metrics
    >>> metrics.as_metric("accuracy", metrics.accuracy) is metrics.accuracy
    True
    """
    if isinstance(value, Metric | ParamsMetric):
        return value
    if type(value).__module__.startswith("sklearn.") or f"{getattr(value, '__module__', '')}".startswith("sklearn."):
        raise TypeError(
            f"the metric {name!r} is {shown(value)}, which can't run inside the compiled program: take one of "
            "jreg.metrics, or score the study when it is done, study.score(sklearn.metrics.f1_score)"
        )
    if callable(value) and not isinstance(value, type):
        raise TypeError(
            f"the metric {name!r} is {shown(value)}, a plain function, which does not say whether higher is better: "
            "give jreg.metrics.average(f, maximize=...) for a value per example, "
            "jreg.metrics.collecting(f, maximize=...) for a function of all outputs, or "
            "jreg.metrics.of_params(f, maximize=...) for a number of the parameters"
        )
    raise TypeError(f"the metric {name!r} is {shown(value)}, but must be a metric such as jreg.metrics.accuracy")


_Either = TypeVar("_Either", Metric, ParamsMetric)


def described(metric: _Either, function: Callable[..., Any]) -> _Either:
    """The metric with the name and docstring of `function`, as `functools.wraps` gives them to a function."""
    if not hasattr(function, "__name__"):  # functools.partial and other callables, whose docstring is their class's
        return metric
    names = ("__module__", "__name__", "__qualname__", "__doc__")
    # A frozen dataclass refuses to set attributes. doctest and inspect.getsource follow __wrapped__.
    vars(metric).update({name: getattr(function, name, None) for name in names}, __wrapped__=function)
    vars(metric)["__signature__"] = inspect.signature(metric.__call__)
    return metric


def scalar(value: Any, name: str) -> Array:
    """`value` in float32; raises ValueError when it is more than one number."""
    if jnp.shape(value):
        raise ValueError(
            f"the function of jreg.metrics.{name} returned an array of shape {jnp.shape(value)}, but must return one "
            "number: reduce it, with jnp.mean for example"
        )
    return jnp.asarray(value, jnp.float32)


def _direction(maximize: Any, what: str) -> None:
    if not isinstance(maximize, bool):
        raise TypeError(
            f"maximize of {what} is {maximize!r}, but must be True where higher is better or False where lower is"
        )
