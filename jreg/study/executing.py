"""Who trains a study: this process's devices, or the workers of an executor that was given."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

from jreg._base.names import shown
from jreg.engine import Layout, Local
from jreg.executors import Ray
from jreg.executors.dealer import Dealer
from jreg.executors.messages import Shared
from jreg.results.spec import COMPUTED_BY
from jreg.study.design import Design
from jreg.study.shards import Shard
from jreg.training import Plan


def check_executor(executor: Any, layout: Any = None, shard: Any = None) -> None:
    """Raises TypeError or ValueError unless a study can be trained so."""
    if executor is None:
        return
    if not isinstance(executor, Ray):
        raise TypeError(
            f"executor is {shown(executor)}, but must be a jreg.executors.Ray, such as "
            "jreg.executors.Ray(num_workers=2); for one of your own see jreg.study.run"
        )
    if layout is not None:
        raise ValueError(
            "layout names devices of this process, but executor trains on those of its workers: leave one of them out"
        )
    if shard is not None and (own := Shard.named(shard)).of > 1:
        raise ValueError(f"shard is {own}, but executor deals out all trainings by itself: leave one of them out")


@contextlib.contextmanager
def executing(
    executor: Ray | None,
    design: Design,
    layout: Layout | None,
    known: Mapping[Plan, Layout],
    *,
    trainings: int,
    turns: bool = False,
    together: int = 1,
    measures: bool = True,
) -> Generator[Local | Dealer]:
    """Who trains a design; the arguments are those of `jreg.engine.Local`.

    Workers are there when it begins, before anything is written, and are ended behind it.
    """
    if executor is None:
        how: dict[str, Any] = {"trainings": trainings, "turns": turns, "together": together, "measures": measures}
        yield Local(design.data, design.folds, layout, layouts=known, **how)
        return
    shared = Shared(design.data, design.folds, trainings, turns, together)
    with executor.started(shared, trainings, known, COMPUTED_BY) as dealer:
        yield dealer
