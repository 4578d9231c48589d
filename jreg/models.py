"""What may stand as a recipe's model, brought to the one form `Model` that training uses."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jreg._types import Array, Key, Model, PyTree


def as_model(model: Any) -> Model:
    """Brings a network to the form `Model`.

    Args:
      model: a `Model`; a Flax Linen module whose ``__call__`` takes `x` and, if it has them, one of `train`,
        `training` and `deterministic`, and `mask`; or anything with pure ``init(key, x) -> variables`` and
        ``apply(variables, x, train, rngs)`` as attributes or as a pair. Variables in Flax's form, a dict with
        ``"params"`` and more beside it, mean that apply returns ``(outputs, updated)``; any other variables are
        all parameters, and apply returns the outputs.

    Returns:
      A `Model`.

    Raises:
      TypeError: `model` is none of these.

    >>> import jax.numpy as jnp
    >>> linear = as_model((lambda key, x: jnp.zeros(x.shape[-1]), lambda w, x, train, rngs: x @ w))
    >>> params, state = linear.init(None, jnp.ones((2, 3)))
    >>> linear.apply(params, state, jnp.ones((2, 3)), train=False, key=None, mask=None)[0].tolist()
    [0.0, 0.0]

    Source: Flax's philosophy page for the pair of pure functions.
    """
    if isinstance(model, Model):
        return model
    # A Linen module can only exist once flax.linen has been imported; jreg.nn alone imports it.
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(model, linen.Module):
        return _from_linen(model)
    if isinstance(model, tuple) and len(model) == 2 and all(map(callable, model)):
        return _from_pair(*model)
    if (
        not isinstance(model, type)
        and callable(getattr(model, "init", None))
        and callable(getattr(model, "apply", None))
    ):
        return _from_pair(model.init, model.apply)
    found = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    raise TypeError(
        f"a recipe's model is {found}, but must be a Flax Linen module or have pure "
        "init(key, x) and apply(variables, x, train, rngs)"
    )


def _split(variables: PyTree) -> tuple[PyTree, PyTree]:
    if isinstance(variables, Mapping) and "params" in variables:
        return variables["params"], {name: tree for name, tree in variables.items() if name != "params"}
    return variables, {}


def _from_pair(init: Callable[..., Any], apply: Callable[..., Any]) -> Model:
    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        variables = init(key, x)
        params, state = _split(variables)
        # With an empty state apply expects the variables as init made them.
        return (params, state) if state else (variables, {})

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        del mask
        if not state:
            return apply(params, x, train, _streams(key)), state
        return apply({"params": params, **state}, x, train, _streams(key))

    return Model(start, run)


def _streams(key: Key | None) -> dict[str, Key]:
    # Linen falls back to the stream "params" for names that are not given, such as "noise".
    return {} if key is None else {"dropout": key, "params": jax.random.fold_in(key, 1)}


def _from_linen(module: Any) -> Model:
    accepted = set(inspect.signature(type(module).__call__).parameters)

    def options(train: bool, mask: Array | None) -> dict[str, Any]:
        known = {"train": train, "training": train, "deterministic": not train, "mask": mask}
        return {name: value for name, value in known.items() if name in accepted}

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        return _split(module.init({"params": key}, x, **options(False, None)))

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        variables = {"params": params, **state}
        if not train:
            return module.apply(variables, x, **options(False, mask)), state
        outputs, updated = module.apply(variables, x, rngs=_streams(key), mutable=list(state), **options(True, mask))
        return outputs, {**state, **updated}

    return Model(start, run)
