"""The settings of a study that share their static part: one plan, one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jreg import training
from jreg.data import Dataset
from jreg.engine import measure
from jreg.engine.layout import Layout
from jreg.engine.program import Member
from jreg.recipe import Hyperparameters, Recipe, build, naming
from jreg.report.progress import Progress
from jreg.splits import Folds
from jreg.study.tally import Tally
from jreg.training import Plan, Rows
from jreg.training.stopping import EarlyStopping


def plan_group(
    recipe: Callable[[Any], Recipe],
    settings: Sequence[Hyperparameters],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
    before: tuple[str, ...] = (),
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of settings with this static part and the columns of their history, checked on `settings`.

    `before` are the columns of the groups before it, which the history of this one continues.

    Raises:
      ValueError: this group measures other metrics than those.
    """
    samples = []
    for hp in settings:
        with naming(hp):
            samples.append((hp, build(recipe, hp)))
    terms = tuple(name.removeprefix("penalty_") for name in before if name.startswith("penalty_"))
    plan, columns = training.make_plan(recipe, samples, static, data, folds, epochs, batch_size, stopping, terms)
    if columns[: len(before)] != before:
        raise ValueError("the recipe measures other metrics in some settings than in others: give all the same")
    return plan, columns


def ranked_by(score: str | None, columns: Sequence[str]) -> str:
    """The column that ranks the settings.

    Raises:
      ValueError: `score` is no column of the validation.
    """
    found = score or next(name for name in columns if name.startswith("val_") and name != "val_loss")
    if found not in columns or not found.startswith("val_"):
        names = ", ".join(name for name in columns if name.startswith("val_"))
        raise ValueError(f"score is {found!r}, but a study can be ranked only by: {names}")
    return found


def train_group(
    plan: Plan,
    layout: Layout | None,
    members: Member,
    data: Dataset,
    folds: Folds,
    tally: Tally,
    show: Callable[[Progress], None],
) -> Layout | None:
    """Trains the members and notes their outcomes in `tally`; returns the layout that they began with."""
    if tally.is_first(plan):
        show(tally.progress(compiling=members.number.size))
    with training.named_tracers(plan, {name: column[0, 0] for name, column in members.hp.items()}, data, folds):
        for chunk in measure.train(plan, layout, members, Rows(data.x, data.y), folds, tally.status.size):
            tally.add(chunk)
            show(tally.progress())
            layout = layout or chunk.layout
    return layout
