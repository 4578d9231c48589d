"""Random and quasi-random spaces: settings drawn from a distribution for each hyperparameter."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jreg._base import checks
from jreg._base.names import listed
from jreg.search.distributions import Choice, Distribution, LogUniform, When, as_distribution
from jreg.search.space import Setting, Space, traced_of, values_of

METHODS = ("random", "sobol", "halton", "latin_hypercube")


def random_space(count: int, seed: int, *, method: str = "random", **axes: Any) -> Space:
    r"""Settings drawn from a distribution for each hyperparameter.

    A point :math:`q_n \in [0, 1)^d` for each setting has a coordinate for each hyperparameter with more than one value:

    .. math:: \text{setting}_n = (F_1^{-1}(q_{n1}), \ldots, F_d^{-1}(q_{nd}))

    Numbers from a range are traced, and all of them train in one program. Where few of many
    hyperparameters matter, random settings try more values of each than a grid; quasi-random ones also leave fewer
    gaps.

    Args:
      count: how many settings, at least 1.
      seed: of the draw, at least 0. More settings from one seed begin with the same ones, but for latin_hypercube.
      method: "random" (independent points), "sobol", "halton" (scrambled sequences) or "latin_hypercube" (each of
        `count` equal intervals of each hyperparameter is hit once). Sobol's balance is best where `count` is a power
        of two; else the first `count` points of the next power of two are taken.
      axes: for each name a distribution of `jreg.search`, one of numbers with a ``ppf`` such as
        scipy.stats' frozen ones, a sequence of values as in `jreg.grid` (a choice), or one value.

    Returns:
      A `Space` with `count` settings, or fewer where some are equal: these would train to the same scores. Each of its
      axes lists the values that occur: numbers from a range ascend, those of a choice keep their order, with a `when`'s
      `otherwise` before them. `Space.along` says which hyperparameters regularize, and in which direction.

    Raises:
      TypeError: `count` or `seed` is no whole number, the values of an axis are mixed or not hashable, or a
        distribution's are no numbers.
      ValueError: a number is out of range, the method is unknown, there is no axis, a distribution has no finite
        median, or a `when` depends on a hyperparameter that is missing, never has the value, or depends on it in turn.

    >>> from jreg.search.distributions import log_uniform
    >>> space = random_space(8, seed=0, method="sobol", l2=log_uniform(1e-5, 1e-1), activation=["relu", "tanh"])
    >>> len(space.settings), space.traced, len(space.groups())
    (8, ('l2',), 2)

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012); Sobol, On the
    distribution of points in a cube, USSR Computational Mathematics 7 (1967); scipy.stats.qmc.
    """
    count = checks.count(count, "random_space's count")
    seed = checks.count(seed, "random_space's seed", least=0)
    if method not in METHODS:
        raise ValueError(f"random_space's method is {method!r}, but must be one of {', '.join(map(repr, METHODS))}")
    if not axes:
        raise ValueError(
            "the space is empty: give at least one hyperparameter, random_space(20, seed=0, l2=log_uniform(1e-5, 1e-1))"
        )
    given = {name: as_distribution(f"hyperparameter {name!r}", axis) for name, axis in axes.items()}
    order = _order(given)
    values = {name: _possible(f"hyperparameter {name!r}", distribution) for name, distribution in given.items()}
    traced = traced_of(values)
    # What has one value takes no coordinate, so that giving it changes nothing for the others.
    drawn = [name for name in given if not _is_single(given[name])]
    rows: dict[tuple[Any, ...], Setting] = {}
    for point in _points(count, seed, method, len(drawn)).tolist():
        q, found = dict(zip(drawn, point, strict=True)), {}
        for name in order:
            value = _draw(given[name], q.get(name, 0.0), found)
            (found[name],) = values_of(f"hyperparameter {name!r}", [float(value) if name in traced else value])
        setting = {name: found[name] for name in given}
        rows.setdefault(tuple(setting.values()), setting)
    listed = {}
    for name, distribution in given.items():
        occurring = {setting[name] for setting in rows.values()}
        ordered = sorted(occurring) if _is_range(distribution) else dict.fromkeys(values[name])
        listed[name] = tuple(value for value in ordered if value in occurring)
    logarithmic = tuple(name for name in given if isinstance(_innermost(given[name]), LogUniform))
    return Space(listed, tuple(rows.values()), traced, logarithmic)


def _conditions(distribution: Distribution) -> Iterator[When]:
    """The conditions under which it is drawn, from the outermost."""
    while isinstance(distribution, When):
        yield distribution
        distribution = distribution.distribution


def _innermost(distribution: Distribution) -> Distribution:
    """What it is drawn from where all conditions hold."""
    return _innermost(distribution.distribution) if isinstance(distribution, When) else distribution


def _is_range(distribution: Distribution) -> bool:
    """Whether it gives numbers from a range, and not one of some values."""
    return not isinstance(_innermost(distribution), Choice)


def _is_single(distribution: Distribution) -> bool:
    """Whether there is nothing to draw."""
    of = _innermost(distribution)
    return isinstance(of, Choice) and len(of.values) == 1


def _atoms(distribution: Distribution) -> tuple[Any, ...]:
    """The values that may occur more than once; a range has none."""
    if isinstance(distribution, When):
        rest = _atoms(distribution.distribution)
        return rest if distribution.otherwise in rest else (distribution.otherwise, *rest)
    return distribution.values if isinstance(distribution, Choice) else ()


def _possible(label: str, distribution: Distribution) -> tuple[Any, ...]:
    """The atoms, and for a range its middle to stand for all of it: floats where the hyperparameter is traced."""
    if not _is_range(distribution):
        return values_of(label, _atoms(distribution))
    # What a library says of parameters out of range, if anything, is its own: scipy's quantiles become NaN.
    try:
        middle = float(distribution.ppf(0.5))
    except (TypeError, ValueError):
        raise TypeError(
            f"{label} has a distribution with the median {distribution.ppf(0.5)!r}, but must have one of numbers: give "
            "other values as a sequence or as a choice"
        ) from None
    if not math.isfinite(middle):
        found = "NaN" if math.isnan(middle) else middle
        raise ValueError(
            f"{label} has the value {found} as the median of its distribution, but must have a finite number: look "
            "whether the distribution's parameters are in range"
        )
    return values_of(label, (*_atoms(distribution), middle))


def _draw(distribution: Distribution, q: float, setting: Setting) -> Any:
    """The value at q, given the hyperparameters it depends on."""
    for condition in _conditions(distribution):
        if setting[condition.on] not in condition.values:
            return condition.otherwise
    return distribution.ppf(q)


def _order(given: Mapping[str, Distribution]) -> list[str]:
    """The names, each after those it depends on."""
    needs = {name: list(_conditions(distribution)) for name, distribution in given.items()}
    wanted = [(name, condition.on, condition.values) for name, found in needs.items() for condition in found]
    for name, on, _ in wanted:
        if on not in given:
            raise ValueError(
                f"hyperparameter {name!r} depends on {on!r}, which is not in the space: it has {listed(given)}"
            )
    try:
        order = graphlib.TopologicalSorter({name: [w.on for w in found] for name, found in needs.items()})
        names = list(order.static_order())
    except graphlib.CycleError as error:
        circle = " on ".join(map(repr, reversed(error.args[1])))
        raise ValueError(f"hyperparameters depend on each other, {circle}: draw one of them without a when") from None
    for name, on, values in wanted:
        there = _atoms(given[on])
        for value in values:
            if value not in there:
                has = f"is one of {', '.join(map(repr, there))}" if there else "comes from a range: give it a choice"
                raise ValueError(f"hyperparameter {name!r} is drawn where {on!r} is {value!r}, but {on!r} {has}")
    return names


def _points(count: int, seed: int, method: str, dimensions: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if method == "random" or not dimensions:
        return rng.random((count, dimensions))
    from scipy.stats import qmc

    if method == "sobol":
        # scipy warns of a count that is no power of two, so the points it asks for are drawn.
        points = qmc.Sobol(dimensions, rng=rng).random_base2((count - 1).bit_length())[:count]
    else:
        engine = qmc.Halton if method == "halton" else qmc.LatinHypercube
        points = engine(dimensions, rng=rng).random(count)
    return np.minimum(points, np.nextafter(1, 0))  # a Latin hypercube's may round to 1
