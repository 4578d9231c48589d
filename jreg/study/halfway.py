"""Trainings under way: from the executor to a checkpoint, and from there into another process's executor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jreg.engine import Executor
from jreg.results import canonical
from jreg.store import Halfway
from jreg.study.design import Design, Static, Trainings
from jreg.study.ledger import Ledger
from jreg.study.policy import View


def text_of(static: Static) -> str:
    """What is static in a setting, as text."""
    return canonical(dict(static))


def halfway_of(executor: Executor, ledger: Ledger) -> list[Halfway]:
    """The trainings that are under way, by what they are."""
    found = []
    for saved in executor.saved():
        identities = ledger.identities(np.asarray(saved.jobs.id, np.int64))
        settings, (fold, seed) = identities[..., 0], identities[:, 0, 1:].T
        found.append(
            Halfway(text_of(saved.plan.static), settings, fold, seed, np.asarray(saved.stage), saved.state, saved.place)
        )
    return found


def go_on(executor: Executor, ledger: Ledger, view: View, halfway: Sequence[Halfway], wanted: Trainings) -> Trainings:
    """Lets the executor go on with those of the wanted trainings that were under way; returns the others.

    Raises:
      ValueError: a state doesn't fit the program.
    """
    design = view.design
    folds = np.array([fold.number for fold in design.spec.folds], np.int64)[wanted.folds]
    fresh = np.ones(len(folds), bool)
    for some in halfway:
        if some.settings.shape[1:] != wanted.settings.shape[1:]:
            continue
        places, saved = [], []
        for number, path in enumerate(some.settings):
            key = (path, some.fold[number], some.seed[number])
            same = (wanted.settings == key[0]).all(axis=1) & (folds == key[1]) & (wanted.seeds == key[2])
            before = path[: some.stage[number]]
            # What the stages before it have left was not stored where the process ended in between.
            ended = all(view.results.get(int(s), int(key[1]), int(key[2])) is not None for s in before)
            if same.any() and ended and _static_of(design, path[0]) == some.static:
                places.append(int(np.flatnonzero(same)[0]))
                saved.append(number)
        if places:
            fresh[places] = False
            _restore(executor, ledger, design, some, saved, wanted.take(places))
    return wanted.take(fresh)


def _restore(
    executor: Executor, ledger: Ledger, design: Design, some: Halfway, saved: list[int], wanted: Trainings
) -> None:
    # All have one static part, so there is one block of jobs, in their order.
    for plan, jobs in design.jobs(wanted, ledger.enter(design, wanted)):
        state = {name: array[saved] for name, array in some.state.items()}
        executor.restore(plan, jobs, some.stage[saved], state, some.place[saved])


def _static_of(design: Design, setting: int) -> str:
    return text_of(design.static_of(design.spec.settings[setting]))
