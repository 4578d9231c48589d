"""A study that is asked for once more: what has to be as it was, and what may have been added."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jreg._base.names import cut, listed, qualified_name
from jreg.engine import Layout
from jreg.results import Spec, canonical
from jreg.results.nested import NESTED
from jreg.results.spec import COMPUTED_BY, rows_key
from jreg.search.racing import Race
from jreg.store import SHARD, Folder, Nowhere
from jreg.study import fingerprints
from jreg.study.design import Design
from jreg.study.halfway import text_of
from jreg.study.policy import Policy
from jreg.training import Plan, keep

# What a store notes of the process that asks for its trials, of a search that others share.
OWNER = "owner"
_OPTIONS = (
    "epochs",
    "batch_size",
    "stopping",
    "validation_fraction",
    "warm",
    "score",
    "keep",
    "error_score",
    "task",
    "rows",
)


def asked(design: Design, store: Nowhere, policy: Mapping[str, Any], default_keep: bool) -> Design:
    """The design as it is to be run with this store, which may have the study already, or a smaller one.

    Args:
      design: what is asked now.
      store: that is entered.
      policy: what decides which trainings run, as plain values.
      default_keep: whether nobody has said what is to be kept.

    Raises:
      ValueError: the store has another study, or a setting has a value that no other process could name.
    """
    if not store.keeps:
        return design
    canonical(design.spec.space.axes)
    own = {"policy": dict(policy), "fingerprint": fingerprints.of_data(design.data)}
    design = dataclasses.replace(design, spec=dataclasses.replace(design.spec, **own))
    stored = store.stored()
    if stored is None:
        return design
    if default_keep:
        design = _kept(design, stored.keep)
    plans = {static: dataclasses.replace(plan, block=stored.block) for static, plan in design.plans.items()}
    design = dataclasses.replace(design, plans=plans, spec=dataclasses.replace(design.spec, block=stored.block))
    if changes := [*_changes(design, stored, store), *_lost(design.spec, stored)]:
        raise ValueError(
            f"{_place(store)} has a study of which {', and '.join(changes)}: ask for what it was to go on with it, "
            "or take another folder (on the command line --restart)"
        )
    return dataclasses.replace(design, spec=_merged(design.spec, stored))


def note(design: Design, policy: Policy, store: Nowhere) -> None:
    """Has the store keep which share of the study it has, and what tells whether the recipe is another one."""
    shard = getattr(policy, "shard", None)
    if isinstance(store, Folder) and store.known(SHARD) != (known := None if shard is None else list(shard)):
        store.note(SHARD, known)
    if isinstance(store, Folder) and (owner := getattr(policy, "owner", None)) and store.known(OWNER) != owner:
        store.note(OWNER, owner)
    if isinstance(store, Folder) and store.known("steps") is None:
        # While the first trainings run; their results are written after it.
        store.note("steps", functools.partial(fingerprints.of_steps, design))
        store.note("recipe", {"source": fingerprints.source_of(design.recipe)})


def layouts(design: Design, store: Nowhere) -> dict[Plan, Layout]:
    """The layouts with which the study's programs trained: what is added trains in batches of the same size."""
    known = store.layouts() if isinstance(store, Folder) else {}
    plans = {text_of(static): plan for static, plan in design.plans.items()} if known else {}
    devices = tuple(jax.local_devices())
    found = {}
    for static, (slots, batch, *shared) in known.items():
        if static in plans:
            # On another number of devices each has its own trainings, as in a study that never shared any.
            data = shared[0] if shared and shared[0] > 1 and len(devices) % shared[0] == 0 else 1
            found[plans[static]] = Layout(devices, slots, batch, data)
    return found


def described(race: Race) -> dict[str, Any]:
    """A race as plain values: the functions that decide, and their numbers."""
    parts = (race.pruner, race.rounds)
    numbers = {name: value for part in parts for name, value in getattr(part, "keywords", {}).items()}
    names = [qualified_name(getattr(part, "func", part)) or type(part).__name__ for part in parts]
    return {"kind": "race", "functions": names, "numbers": {n: v for n, v in numbers.items() if not callable(v)}}


def _place(store: Nowhere) -> str:
    return str(store.folder) if isinstance(store, Folder) else "the store"


def keeping_rows(design: Design) -> Design:
    """The design with the score of each validation row kept, for a race that compares rows."""
    wanted = keep.RowScores(design.spec.score, design.data.task)
    return design if wanted in design.keep else design.keeping((*design.keep, wanted))


def _kept(design: Design, names: Sequence[str]) -> Design:
    """The design with the keep functions that were there by default, and what its race needs."""
    functions = [keep.KNOWN[name] for name in names if name in keep.KNOWN]
    return design.keeping((*functions, *(some for some in design.keep if isinstance(some, keep.RowScores))))


def _changes(design: Design, stored: Spec, store: Nowhere) -> list[str]:
    """What is asked otherwise than it was, each in a few words."""
    spec, found = design.spec, []
    for name in _OPTIONS:
        before, now = (_plain(getattr(one, name, None)) for one in (stored, spec))
        if before != now:
            found.append(f"{name} was {cut(str(before))} and is now {cut(str(now))}")
    if dict(stored.policy) != dict(spec.policy) and not _more_trials(stored.policy, spec.policy):
        found.append(f"the policy was {_worded(stored.policy)} and is now {_worded(spec.policy)}")
    if stored.fingerprint != spec.fingerprint:
        found.append(f"the data were others ({stored.data}, now {spec.data})")
    for name in COMPUTED_BY:
        if stored.versions.get(name) != spec.versions.get(name):
            found.append(f"the version of {name} was {stored.versions.get(name)} and is now {spec.versions.get(name)}")
    if not found and isinstance(store, Folder):
        found += _changed_steps(design, store)
    if not found and stored.columns[: len(spec.columns)] != spec.columns:
        found.append("the recipe measured other losses, metrics or penalties")
    return found


def _changed_steps(design: Design, store: Folder) -> list[str]:
    """Whether the recipe trains otherwise, and where its source differs."""
    before = store.known("steps") or {}
    now = fingerprints.of_steps(design) if before else {}
    if all(before.get(static, digest) == digest for static, digest in now.items()):
        return []
    old = str((store.known("recipe") or {}).get("source", "")).splitlines()
    new = fingerprints.source_of(design.recipe).splitlines()
    line = next((pair for pair in zip(old, new, strict=False) if pair[0] != pair[1]), None)
    shown = f" (it said {cut(line[0].strip())!r}, and says {cut(line[1].strip())!r})" if line else ""
    return [f"the recipe trained otherwise{shown}"]


def _worded(policy: Mapping[str, Any]) -> str:
    """What decides which trainings run, in a few words."""
    if not policy:
        return "none"
    numbers = policy.get("numbers", {name: value for name, value in policy.items() if name != "kind"})
    return f"a {policy['kind']} ({cut(', '.join(f'{name}={value}' for name, value in numbers.items()), 100)})"


def _more_trials(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a search is to go on for more trials than it was."""
    same = {**before, "trials": None} == {**now, "trials": None}
    return same and before.get("kind") == "search" and now["trials"] >= before["trials"]


def _lost(spec: Spec, stored: Spec) -> list[str]:
    """What the stored study has and is not asked for any more, or can't be added to it."""
    if spec.policy.get("kind") == "search":
        # Its settings are asked for.
        return []
    found = []
    known = {canonical(setting) for setting in spec.settings}
    before = {canonical(setting): setting for setting in stored.settings}
    if lost := [str(setting) for text, setting in before.items() if text not in known]:
        found.append(f"the space had {cut(listed(lost, 3), 200)}")
    folds, had = ({rows_key(*fold[2:]) for fold in one.folds} for one in (spec, stored))
    # With another share to stop on all folds are others, which that alone says.
    if had - folds and spec.validation_fraction == stored.validation_fraction:
        found.append(f"{len(had - folds)} of {len(had)} folds were others")
    if lost_seeds := set(stored.seeds) - set(spec.seeds):
        found.append(f"the seeds had {listed(sorted(lost_seeds), 5)}")
    if spec.policy.get("kind") in ("race", NESTED) and (
        len(known) > len(before) or folds != had or set(spec.seeds) != set(stored.seeds)
    ):
        found.append(f"the {spec.policy['kind']} had fewer settings, folds or seeds, by which it has decided")
    if spec.warm is not None and len(known) > len(before):
        found.append("the warm path had fewer settings, so that each would start from another network")
    return found


def _merged(spec: Spec, stored: Spec) -> Spec:
    """What is asked now, with the numbers that settings, folds and seeds had, and new ones behind them."""
    own = {canonical(setting): setting for setting in spec.settings}
    if spec.policy.get("kind") == "search":
        settings = spec.settings
    else:
        before = map(canonical, stored.settings)
        settings = tuple(own[text] for text in dict.fromkeys([*before, *own]))
    grown = stored.grown(folds=[fold[2:] for fold in spec.folds], seeds=spec.seeds)
    space = spec.space._replace(settings=settings)
    return dataclasses.replace(spec, space=space, folds=grown.folds, seeds=grown.seeds)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and np.isnan(value):
        return "nan"
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
