"""Equinox modules as a recipe's model, without importing Equinox."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jreg._base.tree import path_of
from jreg._base.types import Array, Key, Model, Path, PyTree
from jreg.models.foreign import check_makes


def trained(path: Path, leaf: Any) -> bool:
    """The default choice of an Equinox module's parameters: all floating arrays except a number called ``p``.

    Equinox keeps the rate of its Dropout as `p`, beside the weights; a rate that is swept is an array, as they are.

    >>> import jax.numpy as jnp
    >>> trained("linear/weight", jnp.ones((2, 3))), trained("dropout/p", jnp.float32(0.5))
    (True, False)
    """
    return not (path.split("/")[-1] == "p" and jnp.ndim(leaf) == 0)


def from_equinox(make: Callable[[Key], Any], where: Callable[[Path, Any], bool] = trained) -> Model:
    r"""Makes a model of a function that builds an Equinox module for one example.

    The parameters are a nested dict by the module's attributes (``"layers/0/weight"``). Everything else is rebuilt by
    `make` in each step, so numbers that it reads from the hyperparameters may be traced, the rate of
    `equinox.nn.Dropout` among them. The module is mapped over the examples of a batch, each with a key of its own if
    ``__call__`` takes `key`. Its ``inference`` flags are set at evaluation.

    Kernels are ``(outputs, inputs)`` in Equinox. Lifts read this from the biases among the parameters; where there
    are none, or all layers are square, they ask for an `axis`, such as ``axis={"*weight": 1}``.

    Args:
      make: ``key -> module``; the module takes one example, and `key` if it has that argument.
      where: which floating arrays are parameters, a function of (path, leaf); default: `trained`. Other arrays are
        the same for all trainings: those that `make` gives for key 0.

    Returns:
      A `Model`.

    Raises:
      TypeError: `make` is a module itself, or makes one that is not callable or keeps `equinox.nn.State`, such as
        Equinox's `BatchNorm`: it needs the whole batch.

    >>> import dataclasses, jax, jax.numpy as jnp
    >>> @jax.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Line:  # an Equinox module is a pytree of this kind
    ...     weight: jax.Array
    ...     def __call__(self, x):
    ...         return self.weight @ x
    >>> model = from_equinox(lambda key: Line(jax.random.normal(key, (2, 3))))
    >>> params, state = model.init(jax.random.key(0), jnp.ones((5, 3)))
    >>> model.apply(params, state, jnp.ones((5, 3)), train=False, key=None, mask=None)[0].shape
    (5, 2)

    Source: Kidger and Garcia, Equinox: neural networks in JAX via callable PyTrees and filtered transformations
    (2021).
    """
    check_makes(make, "equinox")

    def built(key: Key) -> Any:
        module = make(key)
        if not callable(module):
            raise TypeError(f"from_equinox's make returns a {type(module).__name__}, but must return a callable module")
        nodes = jax.tree.leaves(module, is_leaf=_keeps_state)
        if any(map(_keeps_state, nodes)):
            raise TypeError(
                f"from_equinox's make returns a {type(module).__name__} with equinox.nn.State (BatchNorm?), which is "
                "not supported: take a normalization of single examples such as equinox.nn.LayerNorm"
            )
        return module

    def is_parameter(path: Path, leaf: Any) -> bool:
        return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact) and where(path, leaf)

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        del x
        leaves = [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(built(key))]
        params: dict[str, Any] = {}
        for path, leaf in leaves:
            if is_parameter(path, leaf):
                *nodes, name = path.split("/")
                place = params
                for node in nodes:
                    place = place.setdefault(node, {})
                place[name] = leaf
        return params, {}

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        del mask

        def replaced(keys: tuple[Any, ...], leaf: Any) -> Any:
            path = path_of(keys)
            if isinstance(leaf, bool) and path.split("/")[-1] == "inference":
                return not train
            if not is_parameter(path, leaf):
                return leaf
            found = params
            for node in path.split("/"):
                found = found[node]
            return found

        module = jax.tree_util.tree_map_with_path(replaced, built(jax.random.key(0)))
        if "key" not in inspect.signature(type(module).__call__).parameters:
            return jax.vmap(module)(x), state
        if key is None:
            return jax.vmap(lambda example: module(example, key=None))(x), state
        return jax.vmap(lambda example, key: module(example, key=key))(x, jax.random.split(key, x.shape[0])), state

    return Model(start, run)


def _keeps_state(node: Any) -> bool:
    return type(node).__name__ == "StateIndex"
