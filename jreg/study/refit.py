"""The final network: trained on all data that is not test data, then tested once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jreg import metrics, statistics, training
from jreg.network import Network
from jreg.recipe import build
from jreg.report.progress import Progress
from jreg.results import SettingResult
from jreg.study.design import Design, Trainings
from jreg.study.observing import observers
from jreg.study.study import Study
from jreg.study.training_again import networks_of
from jreg.training import Status


def refit(
    study: Study,
    setting: SettingResult | Mapping[str, Any] | None = None,
    *,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Network:
    """Trains one network on all training and validation rows and tests it once.

    There are no validation rows left to stop on, so it trains for the mean of the best setting's best epochs over
    folds and seeds, rounded; without early stopping for the study's epochs. It trains in the study's own program, so
    that nothing is compiled for it. After a study along a warm path it trains, from fresh weights, for as long as all
    trainings of the path up to that setting together, which takes a program of its own.

    Args:
      study: a finished study.
      setting: one of its settings, such as ``study.one_standard_error``; default: the best.
      progress: as in `jreg.cross_validate`; it says that this is a final training, whose `stage` is not empty.

    Returns:
      A `jreg.Network` with its history and test scores, and the 95% interval of `metrics.accuracy` where each test row
      is one independent trial: with one label for each row, and neither weights nor groups of rows.

    Raises:
      TypeError: `study` is no study, such as results that were loaded.
      ValueError: the study has no such setting, some training of the setting was not trained to its end, or the final
        training diverges.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.8 and algorithm 7.2.
    """
    if not isinstance(study, Study):
        raise TypeError(f"refit got a {type(study).__name__}, but needs the study that jreg.cross_validate returns")
    result = study.setting(setting)
    unfinished = (Status.WAITING, Status.RUNNING, Status.PRUNED, Status.FAILED)
    if np.isin(study.status[result.number], unfinished).any():
        raise ValueError(f"the setting {result.hyperparameters} was not trained to its end, so it can't be judged")
    epochs = _epochs(study, result)
    if epochs < 1:
        raise ValueError(f"the setting {result.hyperparameters} never had a finite score, so there is nothing to refit")
    design = study.design if study.spec.warm is None else _alone(study.design, epochs)
    place = np.array([len(design.spec.folds)])
    wanted = Trainings(np.array([[result.number]]), place, np.array([design.spec.seeds[0]]), epochs, epochs)
    passes = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    with observers(progress, transient=True) as watching:
        for observe in watching:
            observe(Progress.of_stage(f"refitting on all {design.spec.rows} rows for {passes}"))
        [(found, network)] = networks_of(design, wanted, study.layouts, study.results)
    if found.status[0] == Status.DIVERGED:
        raise ValueError(
            f"the final training of {result.hyperparameters} on all rows diverged, though none of its validation "
            "trainings did: take a setting with a smaller learning rate, refit(study, setting)"
        )
    curves = found.history[0, : found.epochs[0]]
    names = [(number, column) for number, column in enumerate(design.spec.columns) if column.split != "validation"]
    history = {c.label: curves[:, number] for number, c in names if number < curves.shape[1]}
    data, spec = design.data, design.spec
    more = {"data": spec.data, "study": study.spec.digest}
    made = Network.of(
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
        return made
    test = made.evaluate(data.x_test, data.y_test, data.weights_test)
    return dataclasses.replace(made, test=test, interval=interval_of(design, result.hyperparameters, test))


def interval_of(design: Design, setting: Mapping[str, Any], test: Mapping[str, float]) -> tuple[float, float] | None:
    """The interval of the test accuracy, where each test row is one independent trial that succeeds or doesn't.

    Several labels of a row, tokens or pixels are no independent trials, and rows of one group aren't either. A weighted
    accuracy is no share of successes.
    """
    data, y = design.data, design.data.y_test
    steps = training.sample_steps(data, design.folds, design.spec.epochs, design.spec.batch_size)
    known = build(design.recipe, setting, steps).metrics_for(data.task)
    if data.task != "classification" or not isinstance(y, np.ndarray) or y.ndim != 1:
        return None
    alike = data.groups is None and data.groups_test is None and data.weights_test is None
    if not alike or known.get("accuracy") is not metrics.accuracy or not np.isfinite(test["accuracy"]):
        return None
    return statistics.binomial_interval(round(test["accuracy"] * len(y)), len(y))


def _epochs(study: Study, result: SettingResult) -> int:
    """For how many epochs the final network trains."""
    path = [result.number]
    if study.spec.warm is not None:
        path = next(line for line in study.spec.space.paths(study.spec.warm) if result.number in line)
        path = path[: path.index(result.number) + 1]
    shape = (len(path), *study.results.shape[1:])
    each = study.best_epochs[path] + 1 if study.spec.stopping else np.full(shape, study.spec.epochs)
    return round(float(each.mean(axis=(1, 2)).sum()))


def _alone(design: Design, epochs: int) -> Design:
    """The design with room for more epochs, as the final training after a warm path needs."""
    plans = {
        static: dataclasses.replace(plan, epochs=max(plan.epochs, epochs)) for static, plan in design.plans.items()
    }
    return dataclasses.replace(design, plans=plans)
