"""Final networks of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base.names import listed
from jreg.network import Ensemble, Network
from jreg.report.progress import Progress
from jreg.results import SettingResult
from jreg.study.design import Trainings, seeds_of
from jreg.study.observing import observers
from jreg.study.refit import _alone, _epochs
from jreg.study.study import Study
from jreg.study.training_again import networks_of
from jreg.training import Status

_UNFINISHED = (Status.WAITING, Status.RUNNING, Status.PRUNED, Status.FAILED)


def refit_ensemble(
    study: Study,
    seeds: int | Iterable[int] = 5,
    setting: SettingResult | Mapping[str, Any] | None = None,
    *,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Ensemble:
    """Trains a network on all training and validation rows with each of several seeds, known as a deep ensemble.

    Each is the network that `jreg.refit` trains with that seed. All train in the study's own program, as many at once
    as it has slots, so that nothing is compiled for them. The test set isn't looked at.

    Args:
      study: a finished study.
      seeds: how many, 0, 1 and so on, or which.
      setting: one of its settings; default: the best.
      progress: as in `jreg.refit`.

    Returns:
      A `jreg.Ensemble` of networks with their histories, in the order of the seeds.

    Raises:
      TypeError: `study` is no study, such as results that were loaded.
      ValueError: the study has no such setting, some training of the setting was not trained to its end, a seed comes
        twice, or a final training diverges.

    Source: Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep
    ensembles, NeurIPS (2017).
    """
    if not isinstance(study, Study):
        raise TypeError(f"refit_ensemble got a {type(study).__name__}, but needs what jreg.cross_validate returns")
    result, numbers = study.setting(setting), seeds_of(seeds)
    if np.isin(study.status[result.number], _UNFINISHED).any():
        raise ValueError(f"the setting {result.hyperparameters} was not trained to its end, so it can't be judged")
    epochs = _epochs(study, result)
    if epochs < 1:
        raise ValueError(f"the setting {result.hyperparameters} never had a finite score, so there is nothing to refit")
    design = study.design if study.spec.warm is None else _alone(study.design, epochs)
    spec, count = design.spec, len(numbers)
    places = np.full((count, 1), result.number), np.full(count, len(spec.folds))
    wanted = Trainings(*places, np.array(numbers), epochs, epochs)
    with observers(progress, transient=True) as watching:
        for observe in watching:
            passes = f"{epochs} epoch" + "s" * (epochs > 1)
            observe(Progress.of_stage(f"refitting on all {spec.rows} rows for {passes}, {count} seeds"))
        found = {int(left.seed[0]): (left, n) for left, n in networks_of(design, wanted, study.layouts, study.results)}
    diverged = [seed for seed in numbers if found[seed][0].status[0] == Status.DIVERGED]
    if diverged:
        raise ValueError(
            f"the final trainings of {result.hyperparameters} with the seeds {listed(diverged)} diverged, though none "
            "of its validation trainings did: take a setting with a smaller learning rate, or other seeds"
        )
    shown = [(place, column.label) for place, column in enumerate(spec.columns) if column.split != "validation"]
    made = []
    for seed in numbers:
        left, network = found[seed]
        curves = left.history[0, : left.epochs[0]]
        made.append(
            Network.of(
                design.recipe,
                result.hyperparameters,
                spec.space.traced,
                network,
                design.data,
                epochs=epochs,
                history={label: curves[:, place] for place, label in shown if place < curves.shape[1]},
                more={"data": spec.data, "study": spec.digest, "seed": seed},
            )
        )
    return Ensemble(made)
