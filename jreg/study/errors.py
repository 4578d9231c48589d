"""Members that end in an error: a setting that the recipe can't build, and a training that diverges."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jreg._base.names import cut
from jreg.recipe import describe
from jreg.results import Found, Spec
from jreg.study.design import Design
from jreg.training import Status, why_diverged


def appended(design: Design, setting: Mapping[str, Any]) -> tuple[Design, list[Found]]:
    """`Design.appended`, and what it leaves where only this setting makes the recipe raise: failed trainings.

    Raises:
      ValueError, TypeError: the setting is none of this study's.
      Exception: what the recipe raises, with ``error_score="raise"``.
    """
    checked = design.checked(setting)
    try:
        return design.appended(checked), []
    except Exception as error:
        number, spec = len(design.spec.settings), design.spec
        if spec.error_score == "raise":
            error.add_note("with error_score=float('nan') the search goes on without this setting")
            raise
        named = "" if describe(checked) in str(error) else f" ({cut(describe(checked))})"
        warnings.warn(f"setting {number}{named} failed: {cut(str(error))}", RuntimeWarning, stacklevel=4)
    empty = np.empty((0, len(spec.columns)), np.float32)
    names = [(fold.number, seed, fold.role) for fold in spec.numbered() for seed in spec.seeds]
    return design.without_plan(checked), [
        Found(number, fold, seed, role, Status.FAILED, 0, -1, empty, {}) for fold, seed, role in names
    ]


def check(spec: Spec, found: Iterable[Found]) -> None:
    """Raises FloatingPointError for the first training that diverged, where ``error_score="raise"``."""
    bad = (row for row in found if spec.error_score == "raise" and row.status == Status.DIVERGED)
    for row in bad:
        setting, why = cut(describe(spec.settings[row.setting])), why_diverged(row.history, spec.columns, spec.score)
        raise FloatingPointError(
            f"setting {row.setting} ({setting}) diverged on fold {row.fold} with seed {row.seed}: {why}; with "
            "error_score=float('nan') such a training has no score and the others go on"
        )
