"""A study: what was asked, what was found, and the verbs a person uses on both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg import report, store
from jreg.data import Dataset
from jreg.engine import Layout, Local
from jreg.executors.dealer import Dealer
from jreg.network import Ensemble, Network
from jreg.results import Results
from jreg.study import greedy, intervals, reporting, scoring
from jreg.study import out_of_fold as outside
from jreg.study.answers import Answers, Which
from jreg.study.calibration import Calibration, calibration
from jreg.study.design import Design
from jreg.study.greedy import Greedy
from jreg.study.out_of_fold import OutOfFold
from jreg.study.training_again import networks
from jreg.training import Plan, Status

# Under which a study's folder notes when the test set was looked at.
LOOKS = "looks"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Study(Answers):
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
    def of(cls, design: Design, results: Results, executor: Local | Dealer, kept: store.Nowhere | None = None) -> Study:
        """The study that an executor has trained."""
        return cls(design, results, executor.layouts, kept.folder if isinstance(kept, store.Folder) else None)

    def __repr__(self) -> str:
        settings, folds, seeds = self.results.shape
        best = f", best {self.spec.score.label} {report.number(self.best.mean)}" if self.finished else ""
        left = int((self.results.status == Status.WAITING).sum())
        missing = f", {left} trainings missing" if left else ""
        return f"Study({self.spec.data}: {settings} settings x {folds} folds x {seeds} seeds{best}{missing})"

    @property
    def data(self) -> Dataset:
        """What it trained on."""
        return self.design.data

    @property
    def layout(self) -> Layout | None:
        """The devices and slots that it began with; None when nothing has trained."""
        return next(iter(self.layouts.values()), None)

    def save(self, folder: str | Path) -> Path:
        """Writes the results into a folder: a database that `jreg.load_results` reads, and tables."""
        place = super().save(folder)
        if self.looks:
            store.add_note(place, LOOKS, self.looks)
        return place

    def report(self, path: str | Path, final: Network | None = None, *, shape: Sequence[int] = ()) -> Path:
        """Writes the study as one HTML page that needs no network, see `jreg.report.page`.

        Args:
          path: of the file, or of a folder, in which it becomes report.html.
          final: what `jreg.refit` returned, whose test result and weights are then shown.
          shape: what flat examples are images of, such as (8, 8), so that weights are drawn as such; digits are known.

        Returns:
          The path of the file.

        Raises:
          TypeError: `final` is no network.
          ValueError: `shape` is no image's, or doesn't fit the examples.
          OSError: the file can't be written.
        """
        beside = reporting.of_design(self.design, self.results, final, shape=shape)
        return report.write_page(self.results, path, beside)

    def networks(self, setting: Which = None) -> list[Network]:
        """The networks of a setting, one per fold and seed, in that order.

        With ``keep=[jreg.keep.network]`` they are there. Otherwise they are trained again, which on a CPU one by one
        gives the same networks bit by bit, because keys are derived and never stored.

        Raises:
          ValueError: the study has no such setting, or followed a warm path without keeping its networks.
        """
        return networks(self.design, self.results, self.setting(setting).number, self.layouts)

    def ensemble(self, setting: Which | Greedy = None) -> Ensemble:
        """The networks of a setting's folds and seeds, or of those that `greedy_ensemble` chose, together."""
        if isinstance(setting, Greedy):
            return setting.ensemble(lambda number: self.networks(self.settings[number]))
        return Ensemble(self.networks(setting))

    def greedy_ensemble(self, size: int, settings: Sequence[Which] | None = None, **options: Any) -> Greedy:
        """Settings that predict better together than the best one alone, scored on folds that didn't choose them.

        Arguments, result and errors are those of {py:obj}`jreg.study.greedy.greedy_ensemble`; ``study.ensemble(it)``
        predicts.
        """
        numbers = None if settings is None else [self.setting(one).number for one in settings]
        return greedy.greedy_ensemble(self.design, self.results, self.layouts, size, numbers, **options)

    def intervals(
        self, x: Any, setting: Which = None, alpha: float = 0.1, *, method: str | None = None
    ) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Intervals that cover the targets of new rows, or sets that cover their labels, without another training.

        Typically they cover a share of 1 - `alpha`. What is guaranteed, the method, result and errors are those of
        {py:obj}`jreg.study.intervals.intervals`.
        """
        number = self.setting(setting).number
        return intervals.intervals(self.design, self.results, self.layouts, number, x, alpha, method)

    def save_networks(self, folder: str | Path, setting: Which | Greedy = None) -> Path:
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
        """Any metric on the out-of-fold predictions; nothing is trained where outputs were kept.

        The pooled score, the default, is that of the rows of all folds as one set. The mean of folds is that of
        ``by_fold=True``, and what a setting is ranked by. They are equal for means over rows in folds of one size, and
        differ elsewhere. For the area under a ROC curve take the mean of folds: pooled, it compares rows of different
        networks. A fold with more rows of a class in training has fewer in validation, so that networks that have
        learned nothing but the classes' shares have a pooled area below 1/2, and of 0 with one row per fold. For F1 and
        other ratios of counts take the pooled score: in folds with few rows of a class they are biased or not defined.

        Args:
          metric: a function ``(targets, predictions) -> number or array`` such as ``sklearn.metrics.f1_score``, the
            name of a scorer such as ``"roc_auc"``, or a metric of outputs such as ``jreg.metrics.ece(15)``.
          setting: one of the settings; default: the best.
          response: what a function receives: ``"predict"``, class numbers or values, or ``"predict_proba"``.
          by_fold: whether to score each fold's rows apart.
          options: further keywords of a function. Where the data has weights, what takes ``sample_weight`` is given
            them; ``sample_weight=None`` leaves them out.

        Returns:
          The score of all rows together, as the mean over seeds; or, by fold, ``(folds, seeds)``. Arrays, such as F1 by
          class, have the mean over seeds, element by element, or ``(folds, seeds, ...)``. So the mean of confusion
          matrices has the mean counts.

        Raises:
          ValueError: the loss says nothing of probabilities that are needed, there is no such scorer, or the arrays of
            two folds or seeds differ in shape.
          TypeError: the metric returns no numbers, or takes no options.

        Source: Parker, Günter and Bedo, Stratification bias in low signal microarray studies, BMC Bioinformatics 8
        (2007); Forman and Scholz, Apples-to-apples in cross-validation studies, SIGKDD Explorations 12 (2010).
        """
        return scoring.scores(self.out_of_fold(setting), metric, response, by_fold, options)

    def train_scores(self, setting: Which = None) -> dict[str, np.ndarray]:
        """Losses and metrics on the training rows of each fold in evaluation mode by name, ``(folds, seeds)``.

        They are there with ``keep=[jreg.keep.train_scores]``. Beside the validation scores they show how much a setting
        overfits, which the history's training columns don't, since these are measured with dropout and augmentation.

        Raises:
          ValueError: they weren't kept, or the study has no such setting.
        """
        return scoring.train_scores(self.results, self.setting(setting).number)

    def calibration(self, setting: Which = None, *, bins: int = 15) -> Calibration:
        """The temperature that makes a setting's out-of-fold probabilities best, and what it changes.

        Calibrated probabilities are ``softmax(outputs / temperature)``, or the sigmoid. The scores after it are
        cross-fitted: each fold's rows are judged at a temperature fitted on the rows of the other folds, so that none
        is judged by a number that it helped to choose. All seeds share one temperature; scores are means over seeds.

        Args:
          setting: one of the settings; default: the best.
          bins: of the expected calibration error, `jreg.metrics.ece`; 15 as in Guo et al. (2017).

        Raises:
          ValueError: it is a regression, the loss says nothing of probabilities, or there is one fold alone.
        """
        return calibration(self.out_of_fold(setting), bins)
