"""What a study answers by its results alone: scores, choices, comparisons, tables, pictures, files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jreg import report, store
from jreg.report.notebook import study_html
from jreg.results import Check, Comparison, Results, SettingResult, Spec, check, compare, indistinguishable

# One of a study's settings: what it found about it, its hyperparameters, or None for the best.
Which = SettingResult | Mapping[str, Any] | None


class Answers:
    """The verbs of a study that ask its results, and neither its recipe nor its data."""

    if TYPE_CHECKING:

        @property
        def results(self) -> Results:
            """What was found."""
            raise NotImplementedError

    def _repr_html_(self) -> str:
        return study_html(self.results)

    @property
    def spec(self) -> Spec:
        """What was asked, as plain values."""
        return self.results.spec

    @property
    def scores(self) -> np.ndarray:
        """``(settings, folds, seeds)``, see `jreg.results.Results.scores`."""
        return self.results.scores

    @property
    def status(self) -> np.ndarray:
        """``(settings, folds, seeds)`` of `jreg.training.Status`."""
        return self.results.status

    @property
    def epochs_run(self) -> np.ndarray:
        """``(settings, folds, seeds)``, how many epochs each training ran."""
        return self.results.epochs

    @property
    def best_epochs(self) -> np.ndarray:
        """``(settings, folds, seeds)``, the zero-based epoch whose score is reported."""
        return self.results.best_epochs

    @property
    def history(self) -> np.ndarray:
        """``(settings, folds, seeds, epochs, columns)`` float32, NaN where not run."""
        return self.results.history

    def curve(self, label: str) -> np.ndarray:
        """A column of the history by its label, ``(settings, folds, seeds, epochs)``."""
        return self.results.curve(label)

    @property
    def settings(self) -> Sequence[SettingResult]:
        """What was found about each setting, in the space's order."""
        return self.results.settings

    @property
    def finished(self) -> bool:
        """Whether some setting has all its scores, so that there is a best."""
        return self.results.finished

    @property
    def best(self) -> SettingResult:
        """The setting with the best mean score; ValueError when none has all its scores."""
        return self.results.best

    @property
    def one_standard_error(self) -> SettingResult:
        """The most regularized setting within one standard error of the best."""
        return self.results.one_standard_error

    @property
    def ranking(self) -> Sequence[SettingResult]:
        """The settings from the best mean score to the worst."""
        return self.results.ranking

    def setting(self, which: Which = None) -> SettingResult:
        """One of the settings; default: the best.

        Raises:
          ValueError: the study has no such setting.
        """
        if which is None:
            return self.best
        if isinstance(which, SettingResult):
            return which
        if not isinstance(which, Mapping):
            raise TypeError(
                f"the setting is {which!r}, but must be one of the study's settings, such as study.best, or its "
                "hyperparameters by name"
            )
        for result in self.settings:
            if result.hyperparameters == dict(which):
                return result
        raise ValueError(f"the study has no setting {dict(which)}")

    def indistinguishable(self, alpha: float = 0.05) -> Sequence[SettingResult]:
        """The best setting and those that can't be told from it, see `jreg.results.indistinguishable`."""
        return indistinguishable(self.results, alpha)

    def compare(self, a: Which, b: Which = None, *, rope: float = 0.0, confidence: float = 0.95) -> Comparison:
        """How much two settings differ, by default from the best, and how sure that is, see `jreg.results.compare`."""
        return compare(self.results, self.setting(a), self.setting(b), rope=rope, confidence=confidence)

    def checks(self, silence: Iterable[str] = ()) -> list[Check]:
        """What to look at before trusting the study, but for the codes in `silence`, see `jreg.results.check`."""
        return check(self.results, silence)

    def table(self, most: int | None = None, width: int = 60) -> str:
        """The ranking as text, one line per setting, and the baseline; `most` shortens it, no line exceeds `width`."""
        return report.table(self.results, most, width)

    def plot(self) -> Any:
        """A matplotlib figure of the scores: lines, a heatmap, points or ranked dots, as the space asks for."""
        return report.scores(self.results)

    def plot_differences(self) -> Any:
        """A matplotlib figure of the differences to the best setting within folds, see `jreg.report.differences`."""
        return report.differences(self.results)

    def plot_curves(self) -> Any:
        """A matplotlib figure of the learning curves of the best, the one-standard-error and the worst setting."""
        return report.curves(self.results)

    def to_pandas(self) -> Any:
        """One row per training as a pandas DataFrame (pandas is not a dependency of jreg)."""
        return self.results.to_pandas()

    def to_xarray(self) -> Any:
        """Arrays with named axes as an xarray Dataset (xarray is not a dependency of jreg)."""
        return self.results.to_xarray()

    def save(self, folder: str | Path) -> Path:
        """Writes the results into a folder: a database that `jreg.load_results` reads, and tables."""
        return store.write(folder, self.results)
