"""Recipes made of hyperparameters: which of these are read, and in which setting something was wrong."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jreg._base.names import listed, qualified_name, shown
from jreg.recipe.recipe import Recipe, Steps
from jreg.search.space import Setting, Space


class Hyperparameters(Mapping[str, Any]):
    """What a recipe is called with: a mapping that knows which of its names have been read."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)
        self.read: set[str] = set()
        self.missing = False

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self.missing = True
            known = listed(self._values)
            raise KeyError(f"the recipe reads hyperparameter {name!r}, which is not in the space: it has {known}")
        self.read.add(name)
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_values", ()):
            raise AttributeError(f"the recipe reads hyperparameter {name!r} as an attribute: write hp[{name!r}]")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def peek(self) -> dict[str, Any]:
        """The same values, whose comparison doesn't count as reading."""
        return dict(self._values)

    def __contains__(self, name: object) -> bool:
        # Mapping would look the name up, which here is reading it.
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def takes_steps(recipe: Callable[..., Recipe]) -> bool:
    """Whether a recipe has a second argument, which then receives the `Steps`.

    >>> takes_steps(lambda hp: None), takes_steps(lambda hp, steps: None), takes_steps(lambda hp, width=3: None)
    (False, True, False)
    """
    try:
        parameters = list(inspect.signature(recipe).parameters.values())
    except (TypeError, ValueError):  # some callables don't tell
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 and positional[1].default is inspect.Parameter.empty


def build(recipe: Callable[..., Recipe], values: Mapping[str, Any], steps: Steps | None = None) -> Recipe:
    """Calls the recipe; `steps` may be left out where nothing trains.

    Raises:
      KeyError: it reads a hyperparameter that is not in `values`.
      TypeError: `recipe` is no function, or doesn't return a `Recipe`.
    """
    hp = values if isinstance(values, Hyperparameters) else Hyperparameters(values)
    if not callable(recipe) or isinstance(recipe, type) or hasattr(recipe, "apply"):
        found = shown(recipe) if isinstance(recipe, type) else f"a {type(recipe).__name__}"
        raise TypeError(
            f"the recipe is {found}, but must be a function of the hyperparameters: def recipe(hp): return "
            "jreg.Recipe(model, loss, optimizer)"
        )
    given = (hp, steps or Steps(1, 1)) if takes_steps(recipe) else (hp,)
    _check_takes(recipe, given)
    try:
        made = recipe(*given)
    except (ValueError, TypeError):
        raise
    except Exception as error:
        # A KeyError may be the one above, whose sentence needs nothing added.
        if isinstance(error, KeyError) and hp.missing:
            raise
        raise ValueError(f"the recipe raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Recipe):
        remedy = "does its last line say return?" if made is None else "jreg.Recipe(model, loss, optimizer) makes one"
        raise TypeError(f"the recipe returns a {type(made).__name__}, but must return a jreg.Recipe: {remedy}")
    return made


def _check_takes(recipe: Callable[..., Recipe], given: tuple[Any, ...]) -> None:
    try:
        signature = inspect.signature(recipe)
    except (TypeError, ValueError):  # some callables don't tell
        return
    taken = [name for name in list(signature.parameters)[: len(given)] if name in given[0]]
    if taken:
        raise TypeError(
            f"the recipe takes {signature}, but is called with all hyperparameters together: write def recipe(hp), and "
            f"hp[{taken[0]!r}] in it"
        )
    try:
        signature.bind(*given)
    except TypeError:
        raise TypeError(
            f"the recipe takes {signature}, but is called with the hyperparameters alone: write def recipe(hp), or "
            "def recipe(hp, steps) where it needs the number of steps"
        ) from None


def check_read(space: Space, samples: Iterable[Hyperparameters]) -> None:
    """Raises ValueError where no sample of the settings had one of the space's hyperparameters read."""
    read = set().union(*(hp.read for hp in samples))
    unread = [name for name in space.axes if name not in read]
    if unread:
        raise ValueError(f"the recipe never reads hyperparameter {unread[0]!r}: use hp[{unread[0]!r}] or leave it out")


@contextlib.contextmanager
def naming(setting: Mapping[str, Any]) -> Generator[None]:
    """Adds the setting to the sentence of a ValueError."""
    try:
        yield
    except ValueError as error:
        if not setting:
            raise
        raise ValueError(f"{error} (in the setting {describe(setting)})") from error


def extremes(space: Space, group: Sequence[Setting]) -> list[Setting]:
    """The first setting of a group, and it again with each traced hyperparameter at its ends among the group's."""
    first = group[0]
    ends = [(name, end(setting[name] for setting in group)) for name in space.traced for end in (min, max)]
    return [first, *({**first, name: value} for name, value in ends if value != first[name])]


def describe(setting: Mapping[str, Any]) -> str:
    """A setting in a line of text.

    >>> describe({"l2": 1e-4, "activation": "relu"})
    'l2=0.0001 activation=relu'
    """
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={qualified_name(value) or value}"
        for name, value in setting.items()
    )
