"""Members that end in an error: a setting that the recipe can't build, and a training that diverges."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jreg._base.names import cut
from jreg.recipe import describe
from jreg.results import Spec, Trained
from jreg.study.design import Design
from jreg.training import Status, why_diverged


def appended(design: Design, setting: Mapping[str, Any]) -> tuple[Design, Trained | None]:
    """`Design.appended`, and what it leaves where only this setting makes the recipe raise: failed trainings.

    Raises:
      ValueError, TypeError: the setting is none of this study's.
      Exception: what the recipe raises, with ``error_score="raise"``.
    """
    checked = design.checked(setting)
    try:
        return design.appended(checked), None
    except Exception as error:
        number, spec = len(design.spec.settings), design.spec
        if spec.error_score == "raise":
            error.add_note("with error_score=float('nan') the search goes on without this setting")
            raise
        named = "" if describe(checked) in str(error) else f" ({cut(describe(checked))})"
        warnings.warn(f"setting {number}{named} failed: {cut(str(error))}", RuntimeWarning, stacklevel=4)
    fold, seed = (
        axis.reshape(-1) for axis in np.meshgrid([f.number for f in spec.numbered()], spec.seeds, indexing="ij")
    )
    none, empty = np.zeros(len(fold), np.int64), np.empty((len(fold), 0, len(spec.columns)), np.float32)
    status = np.full(len(fold), int(Status.FAILED))
    return design.without_plan(checked), Trained(none + number, fold, seed, status, none, none - 1, empty, {})


def check(spec: Spec, found: Iterable[Trained]) -> None:
    """Raises FloatingPointError for the first training that diverged, where ``error_score="raise"``."""
    if spec.error_score != "raise":
        return
    for some in found:
        for row in np.flatnonzero(some.status == Status.DIVERGED):
            number, history = int(some.setting[row]), some.history[row, : some.epochs[row]]
            setting, why = cut(describe(spec.settings[number])), why_diverged(history, spec.columns, spec.score)
            raise FloatingPointError(
                f"setting {number} ({setting}) diverged on fold {some.fold[row]} with seed {some.seed[row]}: {why}; "
                "with error_score=float('nan') such a training has no score and the others go on"
            )
