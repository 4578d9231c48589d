"""The final network: trained on all data that is not test data, then tested once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg import metrics, statistics, training
from jreg.network import Network
from jreg.recipe import Hyperparameters, build
from jreg.report.progress import Progress
from jreg.results import SettingResult
from jreg.study.design import Design, Trainings
from jreg.study.looks import look
from jreg.study.observing import observers
from jreg.study.stopping_rows import check_fraction
from jreg.study.study import Study
from jreg.study.training_again import networks_of
from jreg.training import Status


class _Final(NamedTuple):
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


def refit(
    study: Study,
    setting: SettingResult | Mapping[str, Any] | None = None,
    *,
    validation_fraction: float | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Network:
    r"""Trains one network on all training and validation rows and tests it once.

    There are no validation rows left to stop on, so it makes as many updates as validation chose: the mean over folds k
    and seeds s of those up to the best epoch, in whole epochs, at least one. A fold has fewer rows than the whole, and
    so fewer updates per epoch.

    .. math:: \text{epochs} = \max\Bigl(1, \text{round}\Bigl(\frac1{KS} \sum_{k,s}
        \frac{(\text{best epoch}_{ks} + 1)\, \text{updates per epoch}_k}
        {\text{updates per epoch of all rows}}\Bigr)\Bigr)

    The progress line says how many updates were meant and how many are made, and so does the network's record,
    ``final.more["updates"]``. Without early stopping it trains for the study's epochs. With `validation_fraction` it
    sets rows of its own aside and stops on those, by the study's rule.

    It trains in the study's own program, so that nothing is compiled for it; with `validation_fraction` only where the
    study has that as well, or one of which as many rows are set aside. After a study along a warm path it trains, from
    fresh weights, for as long as all trainings of the path up to that setting together, which takes a program of its
    own.

    Each look at the test set is counted, in ``final.more["test"]`` and in the study's folder.

    Args:
      study: a finished study.
      setting: one of its settings, such as ``study.one_standard_error``; default: the best.
      validation_fraction: the share of the rows to stop on, as in `jreg.cross_validate`; default: none, also where the
        study has one.
      progress: as in `jreg.cross_validate`; it says that this is a final training, whose `stage` is not empty.

    Returns:
      A `jreg.Network` with its history and test scores, and the 95% interval of `metrics.accuracy` where each test row
      is one independent trial: with one label for each row, and no groups of rows.

    Raises:
      TypeError: `study` is no study, such as results that were loaded.
      ValueError: the study has no such setting, some training of the setting was not trained to its end, the final
        training diverges, or there are rows to stop on and no early stopping that looks at such rows.

    Warns:
      RuntimeWarning: the test set of this study has been looked at before.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.8 and algorithm 7.2.
    """
    if not isinstance(study, Study):
        raise TypeError(f"refit got a {type(study).__name__}, but needs the study that jreg.cross_validate returns")
    result = study.setting(setting)
    unfinished = (Status.WAITING, Status.RUNNING, Status.PRUNED, Status.FAILED)
    if np.isin(study.status[result.number], unfinished).any():
        raise ValueError(f"the setting {result.hyperparameters} was not trained to its end, so it can't be judged")
    final = _for_updates(study, result) if validation_fraction is None else _stopped(study, result, validation_fraction)
    design = final.design
    wanted = Trainings(
        np.array([[result.number]]),
        np.array([final.place]),
        np.array(design.spec.seeds[:1]),
        final.epochs,
        final.epochs,
    )
    steps = _steps(design, result, final.rows)
    with observers(progress, transient=True) as watching:
        for observe in watching:
            observe(Progress.of_stage(_said(final, steps, study.spec.stopping is not None)))
        [(found, network)] = networks_of(design, wanted, study.layouts, study.results)
    if found.status[0] == Status.DIVERGED:
        raise ValueError(
            f"the final training of {result.hyperparameters} on all rows diverged, though none of its validation "
            "trainings did: take a setting with a smaller learning rate, refit(study, setting)"
        )
    data, spec, epochs = study.data, study.spec, int(found.epochs[0])
    left_out = ("validation",) if final.stopping else ("validation", "stopping")
    names = [(number, column) for number, column in enumerate(design.spec.columns) if column.split not in left_out]
    history = {c.label: found.history[0, :epochs, n] for n, c in names if n < found.history.shape[2]}
    made = (int(found.best_epoch[0]) + 1) * steps
    more: dict[str, Any] = {"data": spec.data, "study": spec.digest, "updates": {"meant": final.meant, "made": made}}
    network = Network.of(
        design.recipe,
        result.hyperparameters,
        spec.space.traced,
        network,
        data,
        epochs=epochs,
        history=history,
        more=more,
    )
    if data.x_test is None or data.y_test is None:
        return network
    test = network.evaluate(data.x_test, data.y_test)
    more["test"] = look(study)
    interval = interval_of(study.design, result.hyperparameters, test)
    return dataclasses.replace(network, test=test, interval=interval, more=more)


def interval_of(design: Design, setting: Mapping[str, Any], test: Mapping[str, float]) -> tuple[float, float] | None:
    """The interval of the test accuracy, where each test row is one independent trial that succeeds or doesn't.

    Several labels of a row, tokens or pixels are no independent trials, and rows of one group aren't either.
    """
    data, y = design.data, design.data.y_test
    steps = training.sample_steps(data, design.folds, design.spec.epochs, design.spec.batch_size)
    known = build(design.recipe, setting, steps).metrics_for(data.task)
    alone = data.task == "classification" and isinstance(y, np.ndarray) and y.ndim == 1 and data.groups is None
    if not alone or known.get("accuracy") is not metrics.accuracy or not np.isfinite(test["accuracy"]):
        return None
    return statistics.binomial_interval(round(test["accuracy"] * len(y)), len(y))


def _for_updates(study: Study, result: SettingResult) -> _Final:
    """The training on all rows, for as many updates as validation chose."""
    spec, path = study.spec, _path(study, result)
    every = _steps(study.design, result, spec.rows)
    if spec.stopping:
        steps = np.array([_steps(study.design, result, len(fold.train)) for fold in spec.numbered()])
        each = (study.best_epochs[path] + 1) * steps[:, None]
        meant = float(each.mean(axis=(1, 2)).sum())
    else:
        meant = float(len(path) * spec.epochs * every)
    if not meant:
        raise ValueError(f"the setting {result.hyperparameters} never had a finite score, so there is nothing to refit")
    epochs = max(1, round(meant / every))
    return _Final(_with_room(study.design, epochs), len(spec.folds), epochs, meant, spec.rows, 0)


def _stopped(study: Study, result: SettingResult, fraction: float) -> _Final:
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
    place, epochs = len(design.spec.folds) + 1, len(_path(study, result)) * spec.epochs
    design = _with_room(design, epochs)
    rows, stops = (int(count[place]) for count in (design.folds.train_count, design.folds.stopping_count))
    return _Final(design, place, epochs, None, rows, stops)


def _said(final: _Final, steps: int, chosen: bool) -> str:
    """What the final training is, for the progress line."""
    passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
    if final.stopping:
        return f"refitting on {final.rows} rows for at most {passes}, stopping on {final.stopping} others"
    updates = f" ({final.epochs * steps} updates; validation chose {final.meant:.1f})" if chosen else ""
    return f"refitting on all {final.rows} rows for {passes}{updates}"


def _steps(design: Design, result: SettingResult, rows: int) -> int:
    """How many updates an epoch of so many rows makes."""
    return -(-rows // design.plans[design.static_of(result.hyperparameters)].batch_size)


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
