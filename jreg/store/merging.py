"""Joining the stores of one study's shards."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreg._base.names import cut, listed, shown
from jreg.results import Results, Spec, Timing, Trained
from jreg.results.spec import COMPUTED_BY, rows_key
from jreg.results.values import plain
from jreg.store.database import Folder
from jreg.store.reading import NAME, load_note, load_results
from jreg.training import Status

# What a store notes of the share of the study that it has, and what all shards have noted alike.
SHARD = "shard"
NOTES = ("steps", "recipe", "command")


class Disagreement(NamedTuple):
    """A training of which two stores have different results.

    Attributes:
      setting, fold, seed: which one: its place in the space, the number of its fold, its seed.
      kept: the store whose result stays.
      other: the other one.
    """

    setting: int
    fold: int
    seed: int
    kept: Path
    other: Path


class Merged(NamedTuple):
    """What `merge` found.

    Attributes:
      results: of all stores, read from the one that was written.
      disagreements: trainings that two stores have with different results.
    """

    results: Results
    disagreements: tuple[Disagreement, ...]

    @property
    def missing(self) -> int:
        """How many trainings no store has."""
        nested = self.results.spec.numbered("outer")
        return self.results.nested.missing if nested else len(self.results.missing())


def merge(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Merged:
    """Joins stores of one study, such as those of its shards, into one that `jreg.resume` goes on with.

    Stores may overlap: of trainings that two have, the result of the one that is named first stays, and where they
    differ that is reported. What `out` has of the study already, also of one that had fewer settings, folds or seeds,
    counts as named before all others. The stores are only read, so that a shard may be training meanwhile.

    Args:
      folders: of the stores.
      out: the folder to write, made if need be.

    Returns:
      `Merged`: the results, and what stores disagree about; its `missing` counts the trainings that no store has.

    Raises:
      FileNotFoundError: a folder has no study.
      ValueError: there is no folder, two stores are of different studies, or one is damaged or is `out`.

    >>> import tempfile, optax
    >>> import jreg
    >>> recipe = lambda hp: jreg.Recipe(jreg.nn.MLP((3,)), jreg.losses.softmax_cross_entropy, optax.adam(hp["rate"]))
    >>> def share(folder, shard):
    ...     asked = {"cv": 3, "epochs": 2, "store": f"{folder}/{shard[0]}", "shard": shard, "progress": False}
    ...     return jreg.cross_validate(recipe, jreg.load_dataset("wine"), jreg.grid(rate=[0.1, 0.2]), **asked)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     alone = [len(share(folder, shard).results) for shard in ("0/2", "1/2")]
    ...     merged = jreg.merge([f"{folder}/0", f"{folder}/1"], f"{folder}/all")
    >>> alone, len(merged.results), merged.missing
    ([3, 3], 6, 0)
    """
    if isinstance(folders, str | os.PathLike):
        raise TypeError(f"folders is {shown(folders)}, but must be a list of the folders to join")
    places, target = [Path(folder) for folder in folders], Path(out)
    if not places:
        raise ValueError("there is no folder to join: name those of the shards")
    if same := [place for place in places if place.resolve() == target.resolve()]:
        raise ValueError(f"{same[0]} is to be joined and written: write into another folder")
    sources = [(place, load_results(place)) for place in places]
    first, spec = places[0], sources[0][1].spec
    for place, source in sources:
        check_alike(spec, first, source.spec, place)
    disagreements: list[Disagreement] = []
    had = [(target, load_results(target))] if (target / NAME).is_file() else []
    with Folder(target) as store:
        if (stored := store.stored()) is not None:
            check_alike(spec, first, stored, target, grows=True)
        results = store.open(spec)
        for name in NOTES:
            if store.known(name) is None and (value := load_note(first, name)) is not None:
                store.note(name, value)
        store.note(SHARD, None)
        for place, source in sources:
            before = len(results)
            for some in source.blocks():
                fresh, differ = news(results, some)
                disagreements += [_disagreement(key, place, had) for key in differ]
                # What it kept is read from the store where it is wanted.
                results.add(dataclasses.replace(fresh, kept={}))
                store.append(results, [fresh] if len(fresh) else [])
            had.append((place, source))
            results.layouts = source.layouts | results.layouts
            results.baseline = results.baseline or source.baseline
            if len(results) > before:
                results.timing = _sum(results.timing, source.timing)
        store.close(results)
        if store.trouble is not None:
            raise store.trouble
    return Merged(load_results(target), tuple(disagreements))


def check_alike(spec: Spec, place: Path, other: Spec, there: Path, grows: bool = False) -> None:
    """Raises ValueError where two stores ask for different things; the other may ask for less where it `grows`."""
    sizes = [(len(some.settings), len(some.folds), len(some.seeds)) for some in (spec, other)]
    size = tuple(map(min, *sizes)) if grows and all(n >= m for n, m in zip(*sizes, strict=True)) else None
    one, two = (_asked(some, size) for some in (spec, other))
    others = [name for name in one if one[name] != two[name]]
    found = [f"{name} is {cut(str(one[name]), 60)} and {cut(str(two[name]), 60)}" for name in others]
    # How many rows an evaluation takes at once follows from the folds.
    for name, get in (
        ("settings", _settings),
        ("folds", _folds),
        ("blocks of an evaluation", lambda some, _: some.block),
    ):
        if not found and get(spec, size) != get(other, size):
            found.append(f"the {name} differ")
    if found:
        raise ValueError(
            f"{place} and {there} are no stores of one study: {listed(found, 3)}; join those whose study is the same"
        )


# How many settings, folds and seeds of two studies are compared; None for all.
_Size = tuple[int, ...] | None


def _asked(spec: Spec, size: _Size) -> dict[str, Any]:
    head = spec.head()
    versions = {f"the version of {name}": head["versions"].get(name) for name in COMPUTED_BY}
    seeds = {"seeds": head["seeds"][: None if size is None else size[2]]}
    return (
        {name: value for name, value in head.items() if name not in ("versions", "space", "block")} | versions | seeds
    )


def _settings(spec: Spec, size: _Size) -> Any:
    if size is None:
        return spec.head()["space"], spec.settings
    # The axes have grown with the settings, and of a study that is being trained values may be functions.
    return [plain([list(setting), list(setting.values())]) for setting in spec.settings[: size[0]]]


def _folds(spec: Spec, size: _Size) -> Any:
    return [(fold.number, fold.role, rows_key(*fold[2:])) for fold in spec.folds[: None if size is None else size[1]]]


def news(results: Results, some: Trained) -> tuple[Trained, list[tuple[int, int, int]]]:
    """Of some trainings those that are new, and the (setting, fold, seed) of known ones with another result."""
    some = some.take(np.asarray(some.status) != Status.WAITING)
    known = results.statuses(some.setting, some.fold, some.seed) != Status.WAITING
    again = some.take(known)
    keys = list(zip(again.setting.tolist(), again.fold.tolist(), again.seed.tolist(), strict=True))
    before = results.trained(keys) if keys else again
    differ = [key for n, key in enumerate(keys) if _result(before, n) != _result(again, n)]
    return some.take(~known), differ


def _result(trained: Trained, n: int) -> tuple[Any, ...]:
    """How a training ended, with the bits of its history."""
    epochs = int(trained.epochs[n])
    history = np.ascontiguousarray(trained.history[n, :epochs], np.float32)
    return int(trained.status[n]), epochs, int(trained.best_epoch[n]), history.tobytes()


def _disagreement(key: tuple[int, int, int], other: Path, had: Sequence[tuple[Path, Results]]) -> Disagreement:
    """Of a known training: the first store that has it is the one whose result stays."""
    kept = next(place for place, source in had if _has(source, key))
    return Disagreement(*key, kept, other)


def _has(results: Results, key: tuple[int, int, int]) -> bool:
    found = results.get(*key)
    return found is not None and found.status != Status.WAITING


def _sum(one: Timing, two: Timing) -> Timing:
    """The time of both; when something was done has no order among processes."""
    names = ("compile_seconds", "run_seconds", "device_seconds", "useful", "executed")
    sums = {name: getattr(one, name) + getattr(two, name) for name in names}
    known = one if one.devices else two
    return Timing(**sums, layout=known.layout, devices=known.devices)
