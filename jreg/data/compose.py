"""Preprocessors made of others: one after the other, or one per part of the examples."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from jreg._base.names import listed
from jreg._base.types import Array, PyTree
from jreg.data.blocks import mapped
from jreg.data.preprocessor import Preprocessor, described


@described
def chain(*preprocessors: Preprocessor) -> Preprocessor:
    r"""Several preprocessors one after the other, each fitted on what the ones before it make of the training rows.

    .. math:: x \leftarrow f_k(\dots f_2(f_1(x)))

    While it is fitted, each training has a float32 copy of all rows for each part but the last; one alone has none.

    Args:
      preprocessors: at least one.

    Returns:
      A `Preprocessor`; its `invert` is None where one of them has none.

    Raises:
      ValueError: there are none.
      TypeError: one is no `Preprocessor`.

    >>> import jax.numpy as jnp
    >>> from jreg.data import min_max, scale
    >>> fit, apply, _ = chain(scale(10), min_max(-1, 1))
    >>> x = jnp.array([[10], [30]])
    >>> apply(fit(x, jnp.ones(2)), x).tolist()
    [[-1.0], [1.0]]

    Source: scikit-learn's ``Pipeline``.
    """
    if not preprocessors:
        raise ValueError("chain got no preprocessors, but needs at least one")
    for part in preprocessors:
        if not isinstance(part, Preprocessor):
            raise TypeError(f"chain got {part!r}, but must get preprocessors, such as standardize()")

    def fit(x: Array, weights: Array) -> tuple[PyTree, ...]:
        statistics = []
        for part in preprocessors:
            statistics.append(part.fit(x, weights))
            x = mapped(functools.partial(part.apply, statistics[-1]), x)
        return tuple(statistics)

    def apply(statistics: tuple[PyTree, ...], x: Array) -> Array:
        for part, own in zip(preprocessors, statistics, strict=True):
            x = part.apply(own, x)
        return x

    backwards = [part.invert for part in reversed(preprocessors) if part.invert is not None]

    def invert(statistics: tuple[PyTree, ...], x: Array) -> Array:
        for back, own in zip(backwards, reversed(statistics), strict=True):
            x = back(own, x)
        return x

    return Preprocessor(fit, apply, invert if len(backwards) == len(preprocessors) else None)


@described
def by_part(parts: Mapping[str, Preprocessor] | None = None, /, **named: Preprocessor) -> Preprocessor:
    r"""A preprocessor per part of examples that are a dict of arrays; parts without one stay as they are.

    .. math:: x_k \leftarrow f_k(x_k) \text{ for each named part } k

    Each is fitted on its own part, with the same weights of the rows.

    Args:
      parts: preprocessors by the name of their part, for names that aren't Python identifiers.
      named: preprocessors by the name of their part; `parts` and these together are at least one.

    Returns:
      A `Preprocessor` of dicts; its `invert` is None where one of them has none.

    Raises:
      ValueError: there are none, or, from `fit` and `apply`, x lacks a part.
      TypeError: one is no `Preprocessor`, or, from `fit` and `apply`, x is no dict.

    >>> import jax.numpy as jnp
    >>> from jreg.data import min_max
    >>> fit, apply, _ = by_part(age=min_max())
    >>> x = {"age": jnp.array([[20], [60]]), "tokens": jnp.array([[7, 1], [4, 9]])}
    >>> found = apply(fit(x, jnp.ones(2)), x)
    >>> found["age"].tolist(), found["tokens"].tolist()
    ([[0.0], [1.0]], [[7, 1], [4, 9]])

    Source: scikit-learn's ``ColumnTransformer`` with ``remainder="passthrough"``.
    """
    chosen = dict(parts or {}) | named
    if not chosen:
        raise ValueError("by_part got no preprocessors, but needs at least one")
    for name, part in chosen.items():
        if not isinstance(part, Preprocessor):
            raise TypeError(f"by_part got {part!r} for {name!r}, but must get preprocessors, such as standardize()")

    def checked(x: Any) -> dict[str, Any]:
        if not isinstance(x, dict):
            raise TypeError(f"by_part got x as {_form(x)}, but takes a dict with the parts {listed(chosen)}")
        lacking = [name for name in chosen if name not in x]
        if lacking:
            raise ValueError(f"by_part has a preprocessor for {lacking[0]!r}, but x has the parts {listed(x)}")
        return x

    def fit(x: Any, weights: Array) -> dict[str, PyTree]:
        x = checked(x)
        return {name: part.fit(x[name], weights) for name, part in chosen.items()}

    def apply(statistics: dict[str, PyTree], x: Any) -> dict[str, Any]:
        x = checked(x)
        return {**x, **{name: part.apply(statistics[name], x[name]) for name, part in chosen.items()}}

    backwards = {name: part.invert for name, part in chosen.items() if part.invert is not None}

    def invert(statistics: dict[str, PyTree], x: Any) -> dict[str, Any]:
        x = checked(x)
        return {**x, **{name: back(statistics[name], x[name]) for name, back in backwards.items()}}

    return Preprocessor(fit, apply, invert if len(backwards) == len(chosen) else None)


def _form(x: Any) -> str:
    if hasattr(x, "shape"):
        return f"one array of shape {tuple(x.shape)}"
    return f"a {type(x).__name__}"
