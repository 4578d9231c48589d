"""Haiku's pairs of functions as a recipe's model, without importing Haiku."""

from __future__ import annotations

from typing import Any

from jreg._base.types import Array, Key, Model, PyTree


def from_haiku(transformed: Any, flag: str | None = None) -> Model:
    r"""Makes a model of what `haiku.transform` or `haiku.transform_with_state` returns.

    Args:
      transformed: the pair of pure functions ``init(rng, x)`` and ``apply(params, [state,] rng, x)``.
      flag: the name of the argument that says whether the function trains, such as ``"is_training"``; default: it has
        no such argument.

    Returns:
      A `Model`; its parameters are Haiku's, ``"linear/w"``.

    Raises:
      TypeError: `transformed` is no such pair.

    >>> import collections, jax, jax.numpy as jnp
    >>> Transformed = collections.namedtuple("Transformed", "init, apply")  # Haiku's looks like this
    >>> pair = Transformed(lambda rng, x: {"linear": {"w": jnp.ones((3, 2))}}, lambda w, rng, x: x @ w["linear"]["w"])
    >>> model = from_haiku(pair)
    >>> params, state = model.init(jax.random.key(0), jnp.ones((5, 3)))
    >>> model.apply(params, state, jnp.ones((5, 3)), train=False, key=None, mask=None)[0].shape
    (5, 2)

    Source: Haiku's documentation of `haiku.transform`.
    """
    kind = type(transformed).__name__
    if kind not in ("Transformed", "TransformedWithState"):
        raise TypeError(
            f"from_haiku got a {kind}, but needs what haiku.transform or haiku.transform_with_state returns"
        )
    stateful = kind == "TransformedWithState"

    def told(train: bool) -> dict[str, bool]:
        return {} if flag is None else {flag: train}

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        made = transformed.init(key, x, **told(True))
        params, state = made if stateful else (made, {})
        return params, {"haiku": state} if state else {}

    def run(params: PyTree, state: PyTree, x: Array, *, train: bool, key: Key | None, mask: Array | None):
        del mask
        if not stateful:
            return transformed.apply(params, key, x, **told(train)), state
        outputs, updated = transformed.apply(params, state.get("haiku", {}), key, x, **told(train))
        return outputs, {"haiku": updated} if train and state else state

    return Model(start, run)
