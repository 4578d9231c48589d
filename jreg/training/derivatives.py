"""In which direction a training can be differentiated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jreg._base.types import PyTree


def forward_only(tree: PyTree) -> PyTree:
    """The same arrays, which raise a sentence about `fit` when they are differentiated backwards."""

    def one(leaf: Any) -> Any:
        return _forward_only.bind(leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, tree)


def _refuse(*_: Any) -> Any:
    raise ValueError(
        "fit trains in a loop whose length isn't known, which can't be differentiated backwards: take jax.jvp or "
        "jax.jacfwd, which cost about one more training for each hyperparameter, in the place of jax.grad"
    )


# A rule for transposing alone can't be given to a function: jax.custom_vjp would forbid jax.jvp.
_forward_only = Primitive("forward_only")
_forward_only.def_impl(lambda x: x)
_forward_only.def_abstract_eval(lambda x: x)
ad.deflinear2(_forward_only, _refuse)
batching.defvectorized(_forward_only)
mlir.register_lowering(_forward_only, lambda _, x: [x])
