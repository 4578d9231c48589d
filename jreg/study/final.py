"""Final trainings on all rows, in the program of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg._base.names import listed
from jreg.network import Network
from jreg.recipe import Hyperparameters
from jreg.report.progress import Progress
from jreg.results import SettingResult
from jreg.study.design import Design, Trainings
from jreg.study.observing import observers
from jreg.study.stopping_rows import check_fraction
from jreg.study.study import Study
from jreg.study.training_again import networks_of
from jreg.study.updates import chosen_updates, steps_of
from jreg.training import Status


class Final(NamedTuple):
    """A final training.

    Attributes:
      design: whose program it trains in.
      place: of its fold, of all rows, behind those of the study.
      epochs: how many it trains, or with rows to stop on the most.
      meant: how many updates validation chose; None where it stops on rows of its own.
      rows: how many it trains on.
      stopping: how many it stops on.
    """

    design: Design
    place: int
    epochs: int
    meant: float | None
    rows: int
    stopping: int


def chosen(study: Study, setting: SettingResult | Mapping[str, Any] | None, name: str) -> SettingResult:
    """The setting of a finished study that a final training is of; `name` is the function that was called.

    Raises:
      TypeError: `study` is no study.
      ValueError: there is no such setting, or it wasn't trained to its end.
    """
    if not isinstance(study, Study):
        raise TypeError(f"{name} got a {type(study).__name__}, but needs the study that jreg.cross_validate returns")
    result = study.setting(setting)
    unfinished = (Status.WAITING, Status.RUNNING, Status.PRUNED, Status.FAILED)
    if np.isin(study.status[result.number], unfinished).any():
        raise ValueError(f"the setting {result.hyperparameters} was not trained to its end, so it can't be judged")
    return result


def for_updates(study: Study, result: SettingResult) -> Final:
    """The training on all rows, for as many updates as validation chose."""
    spec, path = study.spec, _path(study, result)
    meant = chosen_updates(study.design, study.results, path, spec.rows)
    epochs = max(1, round(meant / steps_of(study.design, result.number, spec.rows)))
    return Final(_with_room(study.design, epochs), len(spec.folds), epochs, meant, spec.rows, 0)


def stopped(study: Study, result: SettingResult, fraction: float) -> Final:
    """The training that stops on a share of the rows, by the study's rule."""
    design, spec = study.design, study.spec
    check_fraction(fraction)
    static = design.static_of(result.hyperparameters)
    monitored, rule = design.plans[static].monitored, design.plans[static].stopping
    if rule is None or monitored is None or monitored.split not in ("stopping", "validation"):
        what = "has no early stopping" if rule is None else f"stops by {rule.monitor!r}, which needs no rows"
        raise ValueError(f"validation_fraction is {fraction:g}, but the study {what}: leave it out")
    if spec.validation_fraction is None:
        # A program that measures no validation rows.
        rule = dataclasses.replace(rule, monitor=monitored._replace(split="stopping").label)
        alone = dataclasses.replace(
            spec, folds=(), columns=(), block=0, stopping=rule, validation_fraction=float(fraction)
        )
        design = dataclasses.replace(design, spec=alone, plans={}, keep=(), tried={})
        design = design.planned(static, [Hyperparameters(result.hyperparameters)])
    elif spec.validation_fraction != fraction:
        design = dataclasses.replace(design, spec=dataclasses.replace(spec, validation_fraction=float(fraction)))
    # Behind the fold of all rows.
    place, epochs = len(design.spec.folds) + 1, len(_path(study, result)) * spec.epochs
    design = _with_room(design, epochs)
    rows, stops = (int(count[place]) for count in (design.folds.train_count, design.folds.stopping_count))
    return Final(design, place, epochs, None, rows, stops)


def networks(
    study: Study,
    result: SettingResult,
    final: Final,
    seeds: Sequence[int],
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]],
) -> list[Network]:
    """The networks of final trainings, with their histories, in the order of the seeds.

    Raises:
      ValueError: a training diverges.
    """
    design, count = final.design, len(seeds)
    places = np.full((count, 1), result.number), np.full(count, final.place)
    wanted = Trainings(*places, np.array(seeds), final.epochs, final.epochs)
    steps = steps_of(design, result.number, final.rows)
    with observers(progress, transient=True) as watching:
        for observe in watching:
            observe(Progress.of_stage(_said(final, steps, study.spec.stopping is not None, count)))
        found = {int(left.seed[0]): (left, n) for left, n in networks_of(design, wanted, study.layouts, study.results)}
    if diverged := [seed for seed in seeds if found[seed][0].status[0] == Status.DIVERGED]:
        which = f"trainings of {result.hyperparameters} with the seeds {listed(diverged)}"
        if count == 1:
            which = f"training of {result.hyperparameters} on all rows"
        raise ValueError(
            f"the final {which} diverged, though none of its validation trainings did: take a setting with a smaller "
            "learning rate, refit(study, setting)"
        )
    left_out = ("validation",) if final.stopping else ("validation", "stopping")
    names = [
        (number, column.label) for number, column in enumerate(design.spec.columns) if column.split not in left_out
    ]
    made = []
    for seed in seeds:
        left, network = found[seed]
        curves = left.history[0, : left.epochs[0]]
        updates = {"meant": final.meant, "made": (int(left.best_epoch[0]) + 1) * steps}
        made.append(
            Network.of(
                design.recipe,
                result.hyperparameters,
                study.spec.space.traced,
                network,
                study.data,
                epochs=int(left.epochs[0]),
                history={label: curves[:, place] for place, label in names if place < curves.shape[1]},
                more={"data": study.spec.data, "study": study.spec.digest, "seed": seed, "updates": updates},
            )
        )
    return made


def _said(final: Final, steps: int, chosen: bool, seeds: int) -> str:
    """What the final training is, for the progress line."""
    passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
    if seeds > 1:
        passes += f", {seeds} seeds"
    if final.stopping:
        return f"refitting on {final.rows} rows for at most {passes}, stopping on {final.stopping} others"
    updates = f" ({final.epochs * steps} updates; validation chose {final.meant:.1f})" if chosen else ""
    return f"refitting on all {final.rows} rows for {passes}{updates}"


def _path(study: Study, result: SettingResult) -> list[int]:
    """The settings that are trained one from another up to this one; it alone where there is no warm path."""
    if study.spec.warm is None:
        return [result.number]
    path = next(line for line in study.spec.space.paths(study.spec.warm) if result.number in line)
    return list(path[: path.index(result.number) + 1])


def _with_room(design: Design, epochs: int) -> Design:
    """The design with room for more epochs, as the final training after a warm path needs."""
    if epochs <= design.spec.epochs:
        return design
    plans = {static: dataclasses.replace(plan, epochs=epochs) for static, plan in design.plans.items()}
    return dataclasses.replace(design, plans=plans)
