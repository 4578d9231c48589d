"""Final networks of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jreg.network import Ensemble
from jreg.report.progress import Progress
from jreg.results import SettingResult
from jreg.study import final as finals
from jreg.study.given import seeds_of
from jreg.study.study import Study


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
    result = finals.chosen(study, setting, "refit_ensemble")
    return Ensemble(finals.networks(study, result, finals.for_updates(study, result), seeds_of(seeds), progress))
