"""Nested cross-validation: an honest estimate of the whole procedure, the choice of a setting included."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg import report, store
from jreg._base import checks
from jreg._base.names import qualified_name, shown
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.executors import Ray
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.results import Estimate, Nested, Results, SettingResult, Spec
from jreg.results.nested import NESTED
from jreg.search.space import Setting, Space, as_space
from jreg.study import going_on, pods, reporting, scoring
from jreg.study import out_of_fold as outside
from jreg.study.design import Design
from jreg.study.executing import check_executor, executing
from jreg.study.given import seeds_of
from jreg.study.nested_folds import nested_folds
from jreg.study.observing import observers
from jreg.study.out_of_fold import OutOfFold
from jreg.study.policies import Nesting
from jreg.study.run import run
from jreg.training import EarlyStopping, Keep, Plan, doors

# What says which setting an outer fold takes.
Choose = str | Callable[[Results], SettingResult | Mapping[str, Any]]
_RULES: dict[str, Callable[[Results], SettingResult]] = {
    "best": lambda results: results.best,
    "one_standard_error": lambda results: results.one_standard_error,
}


def nested_cross_validate(
    recipe: Callable[..., Recipe],
    data: Dataset,
    space: Space | Iterable[Mapping[str, Any]],
    *,
    outer: Any = 5,
    inner: Any = 4,
    seeds: int | Iterable[int] = 1,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    validation_fraction: float | None = None,
    choose: Choose = "best",
    score: str | None = None,
    keep: Sequence[Keep] | None = None,
    error_score: float | str = np.nan,
    store: str | Path | None = None,
    layout: Layout | None = None,
    executor: Ray | None = None,
    timeout: float | None = None,
    shard: str | tuple[int, int] | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> NestedStudy:
    r"""Estimates without bias how well the whole procedure does: settings tried, one chosen, a network trained.

    .. math:: \text{estimate} = \frac1K \sum_{k=1}^K s_k(\hat\lambda_k), \qquad
       \hat\lambda_k = \operatorname{choose}(\text{scores of all settings on the inner folds of outer fold } k)

    The best mean score of a cross-validation is too good, because the rows that score have also chosen. Here each outer
    fold's training rows are split into inner folds, which choose a setting; with it a network is trained on all of
    these rows and scored on the outer fold's validation rows, which had no part in anything. Outer trainings stop on
    nothing: they make as many updates as the best epochs of the inner ones did on average, in whole epochs.

    Inner and outer trainings of all folds, settings and seeds are trained by one compiled program for each static part,
    and an outer fold's begin as soon as its inner ones have ended. Every setting is trained to its end: there are no
    races and no warm paths inside.

    The estimate is of a procedure and not of a network. The network comes from the same procedure on all rows:
    `cross_validate` with as many folds as there are inner ones, and `refit` with the same choice.

    Args:
      recipe, data, space, seeds, epochs, batch_size, stopping, score: as in `cross_validate`.
      keep, error_score, layout, executor, timeout, progress: as there.
      validation_fraction: as in `cross_validate`, of the inner folds' training rows; outer trainings stop on nothing.
      outer: a number of folds, a scikit-learn splitter, or pairs of (training rows, validation rows).
      inner: a number of folds or a scikit-learn splitter, for the training rows of each outer fold; or for each outer
        fold a list of pairs, in numbers of the data's rows.
      choose: ``"best"``, the best inner mean; ``"one_standard_error"``; or a function of an outer fold's inner
        `jreg.Results` that returns one of their settings, such as ``lambda results: results.ranking[1]``.
      shard: as in `cross_validate`; each has whole outer folds.
      store: as in `cross_validate`, but nothing can be added to a nested study.

    Returns:
      A `NestedStudy`.

    Raises:
      FloatingPointError: a training diverges, and `error_score` is ``"raise"``.
      KeyError: the recipe reads a hyperparameter that is not in the space.
      TypeError: an argument, or what the recipe or `choose` returns, has the wrong type.
      ValueError: a value is out of range, an outer fold's training rows can't be split, `choose` returns no setting of
        the space, or `store` has another study.

    >>> import optax
    >>> from jreg import Recipe, grid, load_dataset, losses, nn
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.adam(hp["learning_rate"]))
    >>> space, wine = grid(learning_rate=[1e-4, 1e-1]), load_dataset("wine")
    >>> study = nested_cross_validate(recipe, wine, space, outer=3, inner=2, epochs=5, progress=False)
    >>> study.scores.shape, len(study.choices)
    ((3, 1), 3)

    Source: Stone, Cross-validatory choice and assessment of statistical predictions (1974); Varma and Simon, Bias in
    error estimation when using cross-validation for model selection, BMC Bioinformatics 7 (2006).
    """
    doors.check_data(data)
    if not isinstance(layout, Layout | None):
        raise TypeError(
            f"layout is {shown(layout)}, but must be a jreg.Layout, such as jreg.Layout(jax.local_devices(), 4)"
        )
    checks.seconds(timeout, "timeout")
    check_executor(executor, layout, shard)
    rule, name = _rule(choose)
    begun, (place, own) = time.monotonic(), pods.share_of(shard, store, executor)
    folds, counts = nested_folds(outer, inner, data)
    numbers, space = seeds_of(seeds), as_space(space)
    count = (len(space.settings) * sum(counts) + len(counts)) * len(numbers)
    how = {"kind": NESTED, "numbers": {"choose": name, "inner": counts}}
    asked: dict[str, Any] = {"seeds": numbers, "epochs": epochs, "batch_size": batch_size, "stopping": stopping}
    asked |= {"validation_fraction": validation_fraction, "score": score, "keep": keep, "error_score": error_score}
    asked |= {"trainings": count}
    with place as kept, observers(progress) as watching:
        design = Design.of(recipe, data, space, folds=folds, policy=how, **asked)
        design = going_on.asked(design, kept, how, default_keep=keep is None)
        known = going_on.layouts(design, kept)
        with executing(executor, design, layout, known, trainings=count, measures=own is None) as trains:
            found = run(design, Nesting(rule, own), trains, kept, watching, timeout)
    pods.join(place, own, found[1], begun)
    return NestedStudy(*found, trains.layouts)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NestedStudy:
    """What `jreg.nested_cross_validate` returns: a design and its results, whose `nested` has what is asked here.

    Attributes:
      design: what was asked, with the recipe and the data.
      results: what was found; arrays such as `results.scores` are of the inner trainings.
      layouts: the devices and slots with which each program began.
    """

    design: Design
    results: Results
    layouts: dict[Plan, Layout]

    def __repr__(self) -> str:
        settings, folds, seeds = self.results.shape
        asked = (
            f"{len(self.nested.choices)} outer folds, inside them {settings} settings x {folds} folds x {seeds} seeds"
        )
        said = f", {self.nested.missing} trainings missing"
        if self.finished:
            said = f", estimate of {self.spec.score.label} {report.number(self.estimate.mean)}"
            said += f", naive {report.number(self.naive.mean)}"
        return f"NestedStudy({self.spec.data}: {asked}{said})"

    def _repr_html_(self) -> str:
        return self.results._repr_html_()

    @property
    def spec(self) -> Spec:
        """What was asked, as plain values."""
        return self.results.spec

    @property
    def nested(self) -> Nested:
        """What the results say, see `jreg.results.Nested`."""
        return self.results.nested

    @property
    def finished(self) -> bool:
        """Whether all trainings have ended, and each outer fold has chosen."""
        return self.nested.finished

    @property
    def scores(self) -> np.ndarray:
        """``(outer folds, seeds)``, of the chosen settings on rows that had no part in choosing them."""
        return self.nested.scores

    @property
    def estimate(self) -> Estimate:
        """The honest one: mean and standard error of the outer scores."""
        return self.nested.estimate

    @property
    def naive(self) -> Estimate:
        """The one that people report: the mean inner scores of the chosen settings, see `jreg.results.Nested.naive`."""
        return self.nested.naive

    @property
    def optimism(self) -> Estimate:
        """By how much the naive one flatters, fold by fold."""
        return self.nested.optimism

    @property
    def choices(self) -> list[SettingResult | None]:
        """By outer fold the setting that was chosen, as its inner folds judged it."""
        return self.nested.choices

    @property
    def stability(self) -> list[tuple[Setting, int]]:
        """The settings that were chosen and by how many outer folds, the most frequent first."""
        return self.nested.stability

    def inner(self, outer: int) -> Results:
        """The inner study of an outer fold, by its place: results that choose, rank and show as any do."""
        return self.nested.inner(outer)

    def table(self, width: int = 60) -> str:
        """The two estimates, and by outer fold the choice and its inner and outer score; no line exceeds `width`."""
        return report.nested(self.results, width)

    def out_of_fold(self) -> OutOfFold:
        """Predictions of the outer trainings for their validation rows, from outputs that were kept.

        Raises:
          ValueError: the study is not finished, or kept no outputs.
        """
        return outside.of_outer(self.design, self.results)

    def score(
        self, metric: str | Callable[..., Any], *, response: str = "predict", by_fold: bool = False, **options: Any
    ) -> Any:
        """Any metric of scikit-learn's on `out_of_fold`, honest for the whole procedure; see `jreg.Study.score`."""
        return scoring.scores(self.out_of_fold(), metric, response, by_fold, options)

    def to_pandas(self) -> Any:
        """One row per training, with its fold's role, as a pandas DataFrame (pandas is not a dependency of jreg)."""
        return self.results.to_pandas()

    def report(self, path: str | Path) -> Path:
        """Writes the estimates and the choices as one HTML page, in a folder as report.html; see `jreg.report.page`."""
        return report.write_page(self.results, path, reporting.of_design(self.design, self.results))

    def save(self, folder: str | Path) -> Path:
        """Writes the results into a folder: a database that `jreg.load_results` reads, and tables."""
        return store.write(folder, self.results)


def _rule(choose: Choose) -> tuple[Callable[[Results], int], str]:
    """A function that returns a setting's number, and the name by which a store knows the rule."""
    rule = _RULES.get(choose) if isinstance(choose, str) else choose
    if not callable(rule):
        raise ValueError(
            f"choose is {shown(choose)}, but must be 'best', 'one_standard_error' or a function of jreg.Results that "
            "returns one of their settings"
        )

    def number(results: Results) -> int:
        setting = rule(results)
        if isinstance(setting, SettingResult):
            return setting.number
        if not isinstance(setting, Mapping):
            raise TypeError(f"choose returned {shown(setting)}, but must return one of the results' settings")
        if dict(setting) not in results.spec.settings:
            raise ValueError(f"choose returned {dict(setting)}, which is no setting of the study")
        return results.spec.settings.index(dict(setting))

    return number, choose if isinstance(choose, str) else qualified_name(choose) or type(choose).__name__
