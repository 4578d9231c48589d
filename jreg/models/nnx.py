"""Flax NNX modules as a recipe's model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jreg._base.types import Array, Key, Model, PyTree
from jreg.models.flags import flags
from jreg.models.foreign import check_makes


def from_nnx(make: Callable[..., Any]) -> Model:
    r"""Makes a model of a function that builds a Flax NNX module.

    The parameters are a nested dict by the module's attributes (``"layers/0/kernel"``), so that `where` and all lifts
    find them as they do Linen's. Everything else that changes, such as `BatchNorm`'s averages, is the model's state.
    In each step the module is rebuilt around them, with random streams from the training's key, so every
    `nnx.Dropout` has a mask of its own; what building would draw is never computed.

    Args:
      make: ``rngs -> module``, or a module's class that needs `rngs` alone. The module's ``__call__`` takes `x` and,
        if it has them, `mask`, `rngs` and what says whether it trains, as in `as_model`. Its parts are switched by
        `nnx.Module.train` and `eval`. Numbers that `make` reads from the hyperparameters may be traced; `nnx.Dropout`
        refuses a traced rate, for which a module calls ``jreg.stochastic.dropout(self.rngs.dropout(), x, rate)`` in
        training.

    Returns:
      A `Model`.

    Raises:
      TypeError: `make` is a module itself or doesn't return an NNX module, or the module has no ``__call__``.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> model = from_nnx(lambda rngs: nnx.Linear(4, 2, rngs=rngs))
    >>> params, state = model.init(jax.random.key(0), jnp.ones((5, 4)))
    >>> jax.tree.map(jnp.shape, params)
    {'bias': (2,), 'kernel': (4, 2)}

    Source: Flax's page on NNX and functional transformations (``nnx.split``, ``nnx.update``).
    """
    # NNX takes as long to import as Linen, and most studies need one of them.
    from flax import nnx

    check_makes(make, "flax.nnx")
    by_name = takes_rngs(make)
    ours = nnx.Any(nnx.RngState, nnx.Intermediate)

    def built(rngs: Any) -> Any:
        module = make(rngs=rngs) if by_name else make(rngs)
        if not (isinstance(module, nnx.Module) and callable(module)):
            raise TypeError(f"from_nnx's make returns a {type(module).__name__}, but must return a callable nnx.Module")
        return module

    def parts(module: Any) -> tuple[PyTree, PyTree]:
        _, params, _, rest = nnx.split(module, nnx.Param, ours, ...)
        return _named(nnx.to_pure_dict(params)), _named(nnx.to_pure_dict(rest))

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        del x
        params, state = parts(built(nnx.Rngs(key)))
        return params, {"nnx": state} if state else {}

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        rngs = nnx.Rngs(jax.random.key(0) if key is None else key)
        module = built(rngs)
        for kind, values in ((nnx.Param, params), (nnx.Not(nnx.Any(nnx.Param, ours)), state.get("nnx", {}))):
            whole = nnx.state(module, kind)
            nnx.replace_by_pure_dict(whole, _renamed(nnx.to_pure_dict(whole), values))
            nnx.update(module, whole)
        _ = module.train() if train else module.eval()
        accepted = inspect.signature(type(module).__call__).parameters
        outputs = module(x, **flags(train, accepted, mask=mask, rngs=rngs))
        if not (train and state):
            return outputs, state
        return outputs, {"nnx": parts(module)[1]}

    return Model(start, run)


def takes_rngs(make: Callable[..., Any]) -> bool:
    """Whether a function, a class or a partial call of one can be called with ``rngs=`` and nothing else."""
    inner = make.func if isinstance(make, functools.partial) else make
    given = (make.args, make.keywords) if isinstance(make, functools.partial) else ((), {})
    # The metaclass of NNX hides what a class takes.
    first = (None,) if isinstance(inner, type) else ()
    try:
        inspect.signature(inner.__init__ if first else inner).bind(*first, *given[0], **given[1], rngs=None)
    except (TypeError, ValueError):
        return False
    return True


def _named(tree: Any) -> Any:
    """The tree with text for keys: NNX numbers a list's modules, and a checkpoint's keys are text."""
    return {str(key): _named(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree


def _renamed(like: Any, tree: Any) -> Any:
    """The tree with the keys of `like`."""
    return {key: _renamed(value, tree[str(key)]) for key, value in like.items()} if isinstance(like, Mapping) else tree
