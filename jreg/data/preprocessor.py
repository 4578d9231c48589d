"""What preprocessing is, and what a file calls it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax

from jreg._base.tree import path_of
from jreg._base.types import Array, PyTree

Make = TypeVar("Make", bound=Callable[..., Any])


class _Functions(NamedTuple):
    fit: Callable[[Any, Array], PyTree]
    apply: Callable[[PyTree, Any], Any]
    invert: Callable[[PyTree, Any], Any] | None = None


class Preprocessor(_Functions):
    """A fit and an apply.

    Attributes:
      fit: ``(x, weights) -> statistics``, x all rows of the data ``(n, ...)`` and weights ``(n,)`` how much each row
        counts: 0 for all but the training rows, which must not count, and for those 1, or the row's weight in the data.
      apply: ``(statistics, x) -> x`` for any number of rows.
      invert: undoes apply, or None.
      made: the name of the function of `jreg.data` that made it, and its arguments by name; None for your own. Files
        have it, and it is no item of the tuple.
    """

    made: tuple[str, dict[str, Any]] | None = None


def described(make: Make) -> Make:
    """The function, whose preprocessors know its name and their arguments."""
    name, signature = getattr(make, "__name__", ""), inspect.signature(make)

    @functools.wraps(make)
    def making(*args: Any, **kwargs: Any) -> Any:
        found = make(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found.made = (name, dict(bound.arguments))
        return found

    return making  # ty: ignore[invalid-explicit-return]


def for_array(
    name: str,
    fit: Callable[[Any, Array], PyTree],
    apply: Callable[[PyTree, Array], Array],
    invert: Callable[[PyTree, Array], Array] | None = None,
) -> Preprocessor:
    """A preprocessor of one array, which refuses examples of several arrays.

    Raises:
      TypeError: from `fit` and `apply`, when x is a dict, a tuple or a list.
    """

    def one(x: Any) -> Any:
        places = jax.tree_util.tree_leaves_with_path(x)
        if places and places[0][0]:
            names = [path_of(keys) for keys, _ in places]
            raise TypeError(
                f"{name} got x with the parts {', '.join(names)}, but takes one array: choose a preprocessor per part "
                f"of a dict by jreg.data.by_part({names[0] if names[0].isidentifier() else 'name'}={name}(...))"
            )
        return x

    return Preprocessor(
        lambda x, weights: fit(one(x), weights), lambda statistics, x: apply(statistics, one(x)), invert
    )
