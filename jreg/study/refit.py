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
from jreg.study import final as finals
from jreg.study.design import Design
from jreg.study.looks import look
from jreg.study.study import Study


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
      is one independent trial: with one label for each row, and neither weights nor groups of rows.

    Raises:
      TypeError: `study` is no study, such as results that were loaded.
      ValueError: the study has no such setting, some training of the setting was not trained to its end, the final
        training diverges, or there are rows to stop on and no early stopping that looks at such rows.

    Warns:
      RuntimeWarning: the test set of this study has been looked at before.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.8 and algorithm 7.2.
    """
    result = finals.chosen(study, setting, "refit")
    if validation_fraction is None:
        final = finals.for_updates(study, result)
    else:
        final = finals.stopped(study, result, validation_fraction)
    [network] = finals.networks(study, result, final, study.spec.seeds[:1], progress)
    data = study.data
    if data.x_test is None or data.y_test is None:
        return network
    test = network.evaluate(data.x_test, data.y_test, data.weights_test)
    interval = interval_of(study.design, result.hyperparameters, test)
    return dataclasses.replace(network, test=test, interval=interval, more={**network.more, "test": look(study)})


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
