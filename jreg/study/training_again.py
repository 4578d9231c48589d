"""Trainings in the programs that a study has compiled, for the networks that they end with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from jreg._base.types import PyTree
from jreg.engine import Layout, Local
from jreg.network import Network
from jreg.results import Results, Trained
from jreg.study.design import Design, Trainings
from jreg.study.ledger import Ledger
from jreg.training import Plan


def networks(design: Design, results: Results, number: int, layouts: Mapping[Plan, Layout]) -> list[Network]:
    """The networks of a setting, by fold and seed: kept ones, or else trained again.

    Raises:
      ValueError: the study followed a warm path without keeping its networks.
    """
    spec, kept = design.spec, results.kept(number, "network")
    if len(kept) == np.prod(results.shape[1:]):
        trees = [
            ((row.epochs, row.fold, row.seed), (tree["params"], tree["model_state"], tree["statistics"]))
            for row, tree in kept
        ]
    else:
        if spec.warm is not None:
            raise ValueError("networks of a warm path start from each other: keep them by keep=[jreg.keep.network]")
        wanted = design.everything([(number, fold.number, seed) for fold in spec.numbered() for seed in spec.seeds])
        found = networks_of(design, wanted, layouts)
        trees = [((int(t.epochs[0]), int(t.fold[0]), int(t.seed[0])), network) for t, network in found]
        trees.sort(key=lambda pair: pair[0][1:])
    study = spec.digest
    return [
        Network.of(
            design.recipe,
            spec.settings[number],
            spec.space.traced,
            network,
            design.data,
            epochs=epochs,
            more={"data": spec.data, "study": study, "fold": fold, "seed": seed},
        )
        for (epochs, fold, seed), network in trees
    ]


def networks_of(
    design: Design, wanted: Trainings, layouts: Mapping[Plan, Layout], results: Results | None = None
) -> Iterator[tuple[Trained, tuple[PyTree, PyTree, PyTree]]]:
    """Trains and yields what each training left, alone, and its (parameters, running averages, statistics).

    Never more train at once than there are slots, so that each network can be read from its slot.

    Args:
      design: of the study.
      wanted: trainings of one setting.
      layouts: with which the study's plans have trained; the same ones compile nothing.
      results: whose timing also counts these.
    """
    setting = design.spec.settings[int(wanted.settings[0, 0])]
    layout = layouts.get(design.plans[design.static_of(setting)])
    ledger, count, left = Ledger(), len(wanted.folds), 0
    while left < count:
        executor = Local(design.data, design.folds, layout, trainings=count)
        lanes = 1 if layout is None else layout.lanes
        some = wanted.take(slice(left, left + lanes))
        left += lanes
        for plan, jobs in design.jobs(some, ledger.enter(design, some)):
            executor.submit(plan, jobs)
        while executor.busy:
            chunk = executor.advance()
            if results is not None:
                results.timing.compile_seconds += chunk.compile_seconds
            for outcome in chunk.outcomes:
                found = ledger.ended(outcome)
                for place, number in enumerate(np.asarray(outcome.id).tolist()):
                    yield found.take([place]), executor.network(number)
