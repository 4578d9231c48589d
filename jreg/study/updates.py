"""For how many updates a training runs where no rows are left to stop on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jreg.results import Results
from jreg.study.design import Design


def steps_of(design: Design, setting: int, rows: int) -> int:
    """How many updates an epoch of so many rows makes in trainings of a setting."""
    return -(-rows // design.plans[design.static_of(design.spec.settings[setting])].batch_size)


def chosen_updates(design: Design, results: Results, settings: Sequence[int], rows: int) -> float:
    r"""How many updates validation chose.

    .. math:: \sum_j \frac{1}{KS} \sum_{k,s} e_{jks} u_k

    The best epoch of setting j on fold k with seed s is the :math:`e_{jks}`-th, and an epoch of that fold has
    :math:`u_k` updates. Without early stopping it is those of the study's epochs on all the rows.

    Args:
      design: of the study.
      results: of the folds that say when to stop.
      settings: the setting's number, or those of a warm path up to it.
      rows: how many are trained on.

    Raises:
      ValueError: no training of the settings ever had a finite score.
    """
    if design.spec.stopping is None:
        return float(len(settings) * design.spec.epochs * steps_of(design, settings[-1], rows))
    steps = np.array([steps_of(design, settings[-1], len(fold.train)) for fold in results.spec.numbered()])
    found = float(((results.best_epochs[list(settings)] + 1) * steps[:, None]).mean(axis=(1, 2)).sum())
    if not found:
        setting = design.spec.settings[settings[-1]]
        raise ValueError(f"the setting {setting} never had a finite score, so there is nothing to refit")
    return found


def chosen_epochs(design: Design, results: Results, settings: Sequence[int], rows: int) -> int:
    """The whole epochs of so many rows that come closest to `chosen_updates`, at least one."""
    return max(1, round(chosen_updates(design, results, settings, rows) / steps_of(design, settings[-1], rows)))
