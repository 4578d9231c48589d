"""Spaces of hyperparameter settings, and what of a setting is traced and what is static."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jreg._base import checks
from jreg._base.names import cut, listed, shown

Setting = dict[str, Any]


class Space(NamedTuple):
    """Settings to try.

    Attributes:
      axes: each hyperparameter's values, in the order given.
      settings: the hyperparameters of each setting.
      traced: the names whose values are numbers inside the compiled program; the others are static.
      logarithmic: the names that pictures show on a logarithmic scale; default: those whose values spread widely.
      order: which hyperparameters say how regularized a setting is, see `along`; None: nobody has said.
    """

    axes: dict[str, tuple[Any, ...]]
    settings: tuple[Setting, ...]
    traced: tuple[str, ...]
    logarithmic: tuple[str, ...] | None = None
    order: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        axes = [
            f"{name} in {listed([f'{v:.4g}' if isinstance(v, float) else v for v in values], 4)}"
            for name, values in self.axes.items()
        ]
        return f"Space({len(self.settings)} settings: {'; '.join(axes)})"

    def as_static(self, *names: str) -> Space:
        """The same settings with these hyperparameters static: one program for each of their values.

        >>> grid(warmup=[0.1, 0.2]).as_static("warmup").traced
        ()
        """
        self._check_names(names)
        return self._replace(traced=tuple(name for name in self.traced if name not in names))

    def along(self, *names: str) -> Space:
        """The same settings, with the hyperparameters that say how regularized a setting is.

        The first one decides: the setting with its larger value is the more regularized one. Where it is equal the
        second one decides, and so on; a hyperparameter that isn't named, such as a learning rate, never does. A minus
        before the name means that smaller values regularize more, as of a max-norm. Without names nothing decides.

        Args:
          names: hyperparameters whose values are numbers.

        Raises:
          KeyError: the space has no such hyperparameter.
          TypeError: a name is no text.
          ValueError: one is named twice, or has values that aren't numbers.

        >>> space = grid(max_norm=[3.0, 1.0], l2=[0.1, 0.01], learning_rate=[1e-3, 1e-2]).along("l2", "-max_norm")
        >>> strongest = space.strengths().argmax()
        >>> space.settings[strongest]
        {'max_norm': 1.0, 'l2': 0.1, 'learning_rate': 0.001}
        """
        for name in names:
            if not isinstance(name, str):
                raise TypeError(
                    f"along got {name!r}, but takes names of hyperparameters: space.along('l2', '-max_norm')"
                )
        bare = [_bare(name) for name in names]
        self._check_names(bare)
        for name in bare:
            if bare.count(name) > 1:
                raise ValueError(f"along names {name!r} twice: a hyperparameter has one place in the order of strength")
            other = next((v for v in self.axes[name] if not _is_number(v)), None)
            if other is not None or None in self.axes[name]:
                raise ValueError(
                    f"along names {name!r}, which has the value {other!r}, but only numbers say which of two settings "
                    "is the more regularized one: give numbers, or leave it out"
                )
        return self._replace(order=names)

    @property
    def strength_order(self) -> tuple[str, ...]:
        """The order that holds: the one that `along` gave, or else that of the only traced axis with several values."""
        if self.order is not None:
            return self.order
        swept = tuple(name for name in self.traced if len(self.axes[name]) > 1)
        return swept if len(swept) == 1 else ()

    def strengths(self) -> np.ndarray:
        """How regularized each setting is, ``(settings,)``: its rank by `strength_order`, equal ones alike, from 0 on.

        It goes by the values; in which order an axis lists them says nothing.

        >>> grid(l2=[1.0, 0.1, 0.01]).strengths().tolist()
        [2, 1, 0]
        """
        keys = [(_bare(name), -1.0 if name.startswith("-") else 1.0) for name in self.strength_order]
        if not keys:
            return np.zeros(len(self.settings), np.int64)
        ranks = np.zeros(len(self.settings), np.int64)
        for name, sign in keys:
            values = sign * np.array([setting[name] for setting in self.settings])
            _, finer = np.unique(values, return_inverse=True)
            # Of the pairs of ranks so far and ranks here, which one number tells apart.
            ranks = np.unique(ranks * len(ranks) + finer.reshape(-1), return_inverse=True)[1].reshape(-1)
        return ranks

    def _check_names(self, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in self.axes]
        if unknown:
            raise KeyError(f"the space has no hyperparameter {unknown[0]!r}: it has {listed(self.axes)}")

    def groups(self) -> dict[tuple[tuple[str, Any], ...], list[int]]:
        """The settings' numbers by their static part: one compiled program for each."""
        found: dict[tuple[tuple[str, Any], ...], list[int]] = {}
        for number, setting in enumerate(self.settings):
            static = tuple((name, value) for name, value in setting.items() if name not in self.traced)
            found.setdefault(static, []).append(number)
        return found

    def paths(self, name: str) -> list[list[int]]:
        """The settings' numbers, one list for each combination of the others, from the strongest to the weakest.

        That is from the largest value down, and upwards where `along` names it with a minus.

        Raises:
          KeyError: the space has no such hyperparameter.
          ValueError: it is not traced, or the combinations don't have equally many strengths.

        >>> grid(dropout=[0.0, 0.5], l2=[0.1, 0.2, 0.3]).paths("l2")
        [[2, 1, 0], [5, 4, 3]]
        """
        self._check_names([name])
        if name not in self.traced:
            raise ValueError(f"a warm path goes along a traced strength, but {name!r} is static: give floating numbers")
        found: dict[tuple[Any, ...], list[int]] = {}
        sign = 1 if f"-{name}" in (self.order or ()) else -1
        for number in sorted(range(len(self.settings)), key=lambda number: sign * self.settings[number][name]):
            others = tuple(value for other, value in self.settings[number].items() if other != name)
            found.setdefault(others, []).append(number)
        lines = sorted(found.values(), key=min)
        if len({len(line) for line in lines}) > 1:
            raise ValueError(f"a warm path needs equally many values of {name!r} in each combination of the others")
        return lines


def grid(**axes: Any) -> Space:
    """Every combination of the values of each hyperparameter.

    An axis with a floating number among its numbers is traced: all its values train in one program. Any other
    axis (whole numbers, names, tuples) is static, for what changes shapes or code: the study compiles one
    program for each of its values. `Space.along` says which axes regularize, and in which direction.

    Args:
      axes: a sequence of values for each name, or one value.

    Returns:
      A `Space`; the last axis varies fastest.

    Raises:
      ValueError: there is no axis, an axis is empty, or a value is NaN.
      TypeError: a value of a static axis is not hashable.

    >>> space = grid(l2=[1e-4, 1e-2], width=[64, 128])
    >>> len(space.settings), space.traced
    (4, ('l2',))

    Source: scikit-learn's ``ParameterGrid``.
    """
    if not axes:
        raise ValueError("the space is empty: give at least one hyperparameter with its values, grid(l2=[1e-4, 1e-3])")
    values = {name: values_of(f"hyperparameter {name!r}", axis) for name, axis in axes.items()}
    settings = tuple(dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))
    return Space(values, settings, traced_of(values))


def as_space(space: Space | Iterable[Mapping[str, Any]]) -> Space:
    """A `Space` from one, or from settings listed one by one.

    Raises:
      ValueError: there are no settings, or they don't have the same names.
      TypeError: `space` is neither.
    """
    if isinstance(space, Space):
        return space
    if isinstance(space, Mapping | str) or not isinstance(space, Iterable):
        raise TypeError(
            f"the space is a {type(space).__name__}, but must come from jreg.grid or jreg.random_space, or be a list "
            "of settings"
        )
    space = list(space)
    wrong = next((setting for setting in space if not isinstance(setting, Mapping)), None)
    if wrong is not None:
        raise TypeError(f"a setting is {shown(wrong)}, but must be a mapping of names to values, such as {{'l2': 0.1}}")
    settings = [dict(setting) for setting in space]
    if not settings or not settings[0]:
        raise ValueError("the space is empty: give at least one setting with one hyperparameter")
    for setting in settings:
        if set(setting) != set(settings[0]):
            raise ValueError(
                f"the setting {cut(str(setting))} has other hyperparameters than the first, {cut(str(settings[0]))}"
            )
    columns = {
        name: values_of(f"hyperparameter {name!r}", [setting[name] for setting in settings]) for name in settings[0]
    }
    rows = tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    axes = {name: tuple(dict.fromkeys(column)) for name, column in columns.items()}
    return Space(axes, rows, traced_of(columns))


def _bare(name: str) -> str:
    """A name in an order of strength, without its minus."""
    return name.removeprefix("-")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def traced_of(axes: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """The names of the axes that are traced, out of what `values_of` returned for each."""
    return tuple(name for name, values in axes.items() if isinstance(values[0], float))


def values_of(label: str, axis: Any) -> tuple[Any, ...]:
    """The values of an axis as plain Python ones: all floats where it is traced.

    Args:
      label: what a sentence calls the axis.
      axis: a sequence or an array of values, or one value.

    Raises:
      ValueError: there is no value, or one is NaN.
      TypeError: numbers are mixed with others, or a value is not hashable or a distribution.

    >>> values_of("the strength", [0, 0.5]), values_of("the width", np.arange(2)), values_of("the name", "relu")
    ((0.0, 0.5), (0, 1), ('relu',))
    """
    if isinstance(axis, jax.Array | np.ndarray):
        axis = np.asarray(axis).reshape(-1)
    if isinstance(axis, str) or not isinstance(axis, Iterable):
        axis = (axis,)
    values = tuple(value.item() if isinstance(value, np.generic) else value for value in axis)
    if not values:
        raise ValueError(f"the space is empty: {label} has no values: give at least one")
    for value in values:
        if hasattr(value, "ppf"):
            raise TypeError(f"{label} has the value {value!r}, a distribution: give it alone, to jreg.random_space")
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in values]
    if all(numbers) and any(isinstance(value, float) for value in values):
        values = tuple(float(value) for value in values)
        if any(math.isnan(value) for value in values):
            raise ValueError(f"{label} has the value NaN")
        return values
    for value in values:
        checks.no_number_as_text(value, label)
        if isinstance(value, float):
            raise TypeError(f"{label} mixes numbers with other values: {listed(list(map(repr, values)))}")
        try:
            hash(value)
        except TypeError:
            raise TypeError(f"{label} has the value {value!r}, which is not hashable") from None
    return values
