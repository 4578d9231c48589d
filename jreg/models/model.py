"""What may stand as a recipe's model, brought to the one form `Model` that training uses."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jreg._base.tree import kernels, map_weights, path_of
from jreg._base.types import Array, Key, Model, PyTree, Where
from jreg.models.flags import flags
from jreg.models.foreign import library_of, no_model
from jreg.models.nnx import from_nnx, takes_rngs

# Flax's name for what a module sows.
_ACTIVATIONS = "intermediates"
# What is folded into the key of a step for other purposes than the noise of activations, which takes it as it is.
_FALLBACK, _WEIGHTS = 1, 2


def as_model(model: Any) -> Model:
    """Brings a network to the form `Model`.

    Args:
      model: a `Model`; a Flax Linen module whose ``__call__`` takes `x` and, if it has them, `train`,
        `training`, `is_training` or `is_train`, their opposites `deterministic`, `inference`, `use_running_average`,
        `eval` or `evaluate`, and `mask`; or anything with pure ``init(key, x) -> variables`` and
        ``apply(variables, x, train, rngs)`` as attributes or as a pair. Variables in Flax's form, a dict with
        ``"params"`` and more beside it, mean that apply returns ``(outputs, updated)``; any other variables are
        all parameters, and apply returns the outputs, or ``(outputs, {"intermediates": activations})`` for
        `jreg.on_activations`. Or a class of Flax NNX, or a partial call of one, that needs `rngs` alone, which goes
        through `from_nnx`; other networks of NNX, Equinox and Haiku are given by `from_nnx`, `from_equinox` and
        `from_haiku`.

    Returns:
      A `Model`.

    Raises:
      TypeError: `model` is none of these; the sentence says what to write.

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
    library = library_of(model)
    if library == "flax.nnx" and takes_rngs(model):
        return from_nnx(model)
    # Haiku's and optax's pairs have the form of a pair, but their functions take other arguments.
    if library in ("haiku", "optax"):
        raise TypeError(no_model(model))
    if isinstance(model, tuple) and len(model) == 2 and all(map(callable, model)):
        return _from_pair(*model)
    if (
        not isinstance(model, type)
        and callable(getattr(model, "init", None))
        and callable(getattr(model, "apply", None))
    ):
        return _from_pair(model.init, model.apply)
    raise TypeError(no_model(model))


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

    def capture(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        del mask
        found = apply({"params": params, **state} if state else params, x, train, _streams(key))
        outputs, updated = found if isinstance(found, tuple) else (found, state)
        kept = {name: tree for name, tree in updated.items() if name != _ACTIVATIONS}
        return outputs, {**state, **kept}, _by_path(updated.get(_ACTIVATIONS, {}))

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        return capture(params, state, x, train=train, key=key, mask=mask)[:2]

    return Model(start, run, capture)


def _by_path(tree: PyTree) -> dict[str, Array]:
    """Activations by path; Flax's names of a module's only call and of its only result are left out."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {re.sub(r"(/__call__)?/0$", "", path_of(keys)): leaf for keys, leaf in leaves if hasattr(leaf, "shape")}


def _streams(key: Key | None) -> dict[str, Key]:
    # Linen falls back to the stream "params" for names that are not given, such as "noise".
    return {} if key is None else {"dropout": key, "params": jax.random.fold_in(key, _FALLBACK)}


def _from_linen(module: Any) -> Model:
    accepted = set(inspect.signature(type(module).__call__).parameters)

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        return _split(module.init({"params": key}, x, **flags(False, accepted, mask=None)))

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        variables = {"params": params, **state}
        if not train:
            return module.apply(variables, x, **flags(False, accepted, mask=mask)), state
        told = flags(True, accepted, mask=mask)
        outputs, updated = module.apply(variables, x, rngs=_streams(key), mutable=list(state), **told)
        return outputs, {**state, **updated}

    def capture(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        outputs, updated = module.apply(
            {"params": params, **state},
            x,
            rngs=_streams(key),
            mutable=[*(state if train else ()), _ACTIVATIONS],
            capture_intermediates=True,
            **flags(train, accepted, mask=mask),
        )
        activations = updated.pop(_ACTIVATIONS, {})
        return outputs, {**state, **updated}, _by_path(activations)

    return Model(start, run, capture)


def with_weights(model: Any, change: Callable[..., Array], where: Where = kernels, axis: Any = None) -> Model:
    r"""A network that computes with changed weights: noise on weights, or a reparametrization.

    .. math:: \hat y = f(x; g(w)), \qquad \frac{\partial L}{\partial w} \text{ through } g

    Args:
      model: what a recipe's model may be.
      change: ``(key, w) -> w``, noise such as ``functools.partial(jreg.stochastic.drop_connect, rate=0.5)``, which
        is drawn once per step for each weight array in training, while evaluation takes the weights as they are; or
        ``w -> w``, such as `jreg.projections.symmetric`, which always holds. The first parameter of noise is
        called `key`.
      where: which parameters, as in `jreg.on_params`; default: the weights of affine maps.
      axis: which axes of the weights are what, where names, shapes and modules don't tell, as in `jreg.on_params`.

    Returns:
      A `Model` with the parameters of `model`.

    Raises:
      ValueError: `where` matches no parameter, or `change` depends on which axes are what and this can't be known
        (when the network is applied).

    >>> import jax, jax.numpy as jnp
    >>> linear = (lambda key, x: jnp.ones((x.shape[-1], 1)), lambda w, x, train, rngs: x @ w)
    >>> halved = with_weights(linear, lambda w: w / 2)
    >>> params, state = halved.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> halved.apply(params, state, jnp.ones((1, 3)), train=False, key=None, mask=None)[0].tolist()
    [[1.5]]

    Source: Wan et al., Regularization of neural networks using DropConnect, ICML 2013; Jim, Giles and Horne, An
    analysis of noise in recurrent neural networks, IEEE Trans. Neural Networks 7 (1996), for noise on weights.
    """
    inner = as_model(model)
    noisy = next(iter(inspect.signature(change).parameters), "") == "key"

    def changed(params: PyTree, train: bool, key: Key | None) -> PyTree:
        if not noisy:
            return map_weights(change, where, axis, params)
        if not train or key is None:
            return params
        count = len(jax.tree.leaves(params))
        keys = jax.tree.unflatten(
            jax.tree.structure(params), list(jax.random.split(jax.random.fold_in(key, _WEIGHTS), count))
        )
        return map_weights(lambda w, key, _: change(key, w), where, axis, params, keys, params)

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        return inner.apply(changed(params, train, key), state, x, train=train, key=key, mask=mask)

    def capture(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        assert inner.capture is not None
        return inner.capture(changed(params, train, key), state, x, train=train, key=key, mask=mask)

    return Model(inner.init, run, capture if inner.capture else None)
