"""A study: what was asked, what was found, and the verbs a person uses on both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg import report, store
from jreg.data import Dataset
from jreg.engine import Layout, Local
from jreg.network import Ensemble, Network
from jreg.results import Results, SettingResult, Spec
from jreg.study import out_of_fold as outside
from jreg.study.design import Design
from jreg.study.out_of_fold import OutOfFold
from jreg.study.training_again import networks
from jreg.training import Plan, Status

# One of a study's settings: what it found about it, its hyperparameters, or None for the best.
Which = SettingResult | Mapping[str, Any] | None
# Under which a study's folder notes when the test set was looked at.
LOOKS = "looks"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Study:
    """What `jreg.cross_validate` and `jreg.optimize` return: a design and its results.

    Attributes:
      design: what was asked, with the recipe and the data.
      results: what was found; tables, pictures and choices are functions of it.
      layouts: the devices and slots with which each program began.
      folder: that it is stored in, or None.
      looks: when `jreg.refit` has looked at the test set; the folder may know of more.
    """

    design: Design
    results: Results
    layouts: dict[Plan, Layout]
    folder: Path | None = None
    looks: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, design: Design, results: Results, executor: Local, kept: store.Nowhere | None = None) -> Study:
        """The study that an executor of this process has trained."""
        return cls(design, results, executor.layouts, kept.folder if isinstance(kept, store.Folder) else None)

    def __repr__(self) -> str:
        settings, folds, seeds = self.results.shape
        best = f", best {self.spec.score.label} {report.number(self.best.mean)}" if self.finished else ""
        left = int((self.results.status == Status.WAITING).sum())
        missing = f", {left} trainings missing" if left else ""
        return f"Study({self.spec.data}: {settings} settings x {folds} folds x {seeds} seeds{best}{missing})"

    @property
    def spec(self) -> Spec:
        """What was asked, as plain values."""
        return self.results.spec

    @property
    def data(self) -> Dataset:
        """What it trained on."""
        return self.design.data

    @property
    def layout(self) -> Layout | None:
        """The devices and slots that it began with; None when nothing has trained."""
        return next(iter(self.layouts.values()), None)

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
        place = store.write(folder, self.results)
        if self.looks:
            store.add_note(place, LOOKS, self.looks)
        return place

    def networks(self, setting: Which = None) -> list[Network]:
        """The networks of a setting, one per fold and seed, in that order.

        With ``keep=[jreg.keep.network]`` they are there. Otherwise they are trained again, which on a CPU one by one
        gives the same networks bit by bit, because keys are derived and never stored.

        Raises:
          ValueError: the study has no such setting, or followed a warm path without keeping its networks.
        """
        return networks(self.design, self.results, self.setting(setting).number, self.layouts)

    def ensemble(self, setting: Which = None) -> Ensemble:
        """The networks of a setting's folds and seeds, which predict together."""
        return Ensemble(self.networks(setting))

    def save_networks(self, folder: str | Path, setting: Which = None) -> Path:
        """Writes the networks of a setting's folds and seeds into a folder, as `ensemble` has them, for `jreg.load`.

        Each network's model.json says its fold, its seed and the fingerprint of the study (its spec's).

        Raises:
          ValueError: the study has no such setting, its networks are gone, or the folder can't be written.
        """
        return self.ensemble(setting).save(folder)

    def out_of_fold(self, setting: Which = None) -> OutOfFold:
        """Predictions of a setting for each validation row, by the networks that didn't see it.

        They come from the outputs that were kept (`jreg.keep.outputs`), and without those from networks that are
        trained again.
        """
        return outside.of_setting(self.design, self.results, self.setting(setting).number, self.layouts)

    def score(
        self,
        metric: str | Callable[..., Any],
        setting: Which = None,
        *,
        response: str = "predict",
        by_fold: bool = False,
        **options: Any,
    ) -> Any:
        """Any metric of scikit-learn's on the out-of-fold predictions; nothing is trained where outputs were kept.

        Args:
          metric: a function ``(targets, predictions) -> number`` such as ``sklearn.metrics.f1_score``, or the name of
            a scorer such as ``"roc_auc"``.
          setting: one of the settings; default: the best.
          response: what a function receives: ``"predict"``, class numbers or values, or ``"predict_proba"``.
          by_fold: whether to score each fold's rows apart.
          options: further keywords of a function.

        Returns:
          The score of all rows together, as the mean over seeds; or, by fold, ``(folds, seeds)``.

        Raises:
          ValueError: the loss says nothing of probabilities that are needed, or there is no such scorer.
        """
        return outside.scores(self.out_of_fold(setting), metric, response, by_fold, options)
