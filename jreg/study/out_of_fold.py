"""Predictions for rows that the network didn't see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.network.predictions import check_one, labels_of, mean_probabilities, most_probable, probabilities_of
from jreg.recipe import build
from jreg.results import Results
from jreg.study.design import Design
from jreg.study.training_again import networks
from jreg.training import Plan


class OutOfFold(NamedTuple):
    """Predictions of a setting's networks, each for the validation rows of its own fold.

    Attributes:
      rows: ``(m,)`` row numbers in ascending order: each once where the folds' validation rows are a partition, and
        as often as it is validated where not.
      folds: ``(m,)``, the number of the fold whose networks predicted a row.
      targets: ``(m, ...)``, what is to be predicted.
      outputs: ``(seeds, m, ...)``, the networks' outputs; in a regression in the targets' own units.
      task: of the data.
      link: how the loss reads outputs.
      weights: ``(m,)``, how much each row counts; default: all alike.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: PyTree
    outputs: PyTree
    task: str
    link: str | None
    weights: np.ndarray | None = None

    __repr__ = brief

    @property
    def probabilities(self) -> np.ndarray:
        """``(m, K)``, the mean over seeds of the classes' probabilities.

        Raises:
          ValueError: it is a regression, or the loss says nothing of probabilities.
          TypeError: the outputs are several arrays.
        """
        check_one(self.outputs)
        return mean_probabilities([probabilities_of(outputs, self.link, self.task) for outputs in self.outputs])

    @property
    def predictions(self) -> np.ndarray:
        """``(m, ...)``: class numbers, flags of labels or values, of the mean over seeds."""
        check_one(self.outputs)
        if self.task == "regression" or self.link not in ("softmax", "sigmoid"):
            mean = mean_probabilities(list(self.outputs))
            return labels_of(mean, self.task, np.shape(self.targets)[1:])
        return most_probable(self.probabilities, self.task)

    def of_seed(self, seed: int) -> OutOfFold:
        """The predictions of one seed, by its place among the seeds."""
        return self._replace(outputs=jax.tree.map(lambda leaf: leaf[seed : seed + 1], self.outputs))

    def of_fold(self, fold: int) -> OutOfFold:
        """The predictions of one fold."""
        chosen = self.folds == fold
        targets = jax.tree.map(lambda leaf: leaf[chosen], self.targets)
        outputs = jax.tree.map(lambda leaf: leaf[:, chosen], self.outputs)
        weights = None if self.weights is None else self.weights[chosen]
        found = self._replace(rows=self.rows[chosen], folds=self.folds[chosen], targets=targets, outputs=outputs)
        return found._replace(weights=weights)

    def averaged(self) -> OutOfFold:
        r"""Each predicted row once, with the mean of its predictions by all folds that validate it.

        .. math:: \hat p_i = \frac{1}{|F_i|} \sum_{f \in F_i} \hat p_{if}

        After a study on `jreg.splits.bootstrap` a score of it is the out-of-bag score, and after repeated k-fold that
        of the repeats' mean prediction. Where the link says what probabilities are, they are averaged, otherwise the
        outputs. Rows that no fold validates are not among them.

        Returns:
          Predictions with `rows` in ascending order, each once, whose outputs are the logits of the mean probabilities,
          float64; `folds` is -1 where several predicted a row.

        Raises:
          TypeError: probabilities are to be averaged, and the outputs are several arrays.

        Source: Breiman, Out-of-bag estimation (1996); scikit-learn's ``BaggingClassifier.oob_decision_function_``.
        """
        rows, first, counts = np.unique(self.rows, return_index=True, return_counts=True)
        link = None if self.task == "regression" or self.link not in ("softmax", "sigmoid") else self.link

        def mean(leaf: Any) -> np.ndarray:
            sums = np.add.reduceat(_as_probability(np.asarray(leaf, np.float64), link), first, axis=1)
            return _as_logit(sums / counts.reshape(-1, *[1] * (sums.ndim - 2)), link)

        if link is not None:
            check_one(self.outputs)
        targets = jax.tree.map(lambda leaf: leaf[first], self.targets)
        folds = np.where(counts == 1, self.folds[first], -1)
        weights = None if self.weights is None else self.weights[first]
        outputs = jax.tree.map(mean, self.outputs)
        return self._replace(rows=rows, folds=folds, targets=targets, outputs=outputs, weights=weights)


def _as_probability(outputs: np.ndarray, link: str | None) -> np.ndarray:
    """What is averaged over networks."""
    from scipy.special import expit, softmax

    return softmax(outputs, axis=-1) if link == "softmax" else expit(outputs) if link == "sigmoid" else outputs


def _as_logit(means: np.ndarray, link: str | None) -> np.ndarray:
    """Outputs of which `_as_probability` makes these means."""
    from scipy.special import logit

    if link == "sigmoid":
        return logit(means)
    with np.errstate(divide="ignore"):
        return np.log(means) if link == "softmax" else means


def gathered(
    parts: Mapping[tuple[int, int], tuple[np.ndarray, PyTree]],
    folds: Sequence[int],
    seeds: Sequence[int],
    y: PyTree,
    task: str,
    link: str | None,
    weights: np.ndarray | None = None,
) -> OutOfFold:
    """The outputs of all folds in one order of rows.

    Args:
      parts: by (fold, seed), the validation rows and the outputs for them.
      folds, seeds: their numbers.
      y: the targets of all rows.
      task: of the data.
      link: how the loss reads outputs.
      weights: of all rows; default: all alike.
    """
    rows = np.concatenate([parts[fold, seeds[0]][0] for fold in folds])
    numbers = np.concatenate([np.full(len(parts[fold, seeds[0]][0]), fold) for fold in folds])
    order = np.argsort(rows, kind="stable")
    by_seed = [
        jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *(parts[fold, seed][1] for fold in folds))
        for seed in seeds
    ]
    outputs = jax.tree.map(lambda *leaves: np.stack(leaves), *by_seed)
    targets = jax.tree.map(lambda leaf: np.asarray(leaf)[rows[order]], y)
    weights = None if weights is None else np.asarray(weights)[rows[order]]
    return OutOfFold(rows[order], numbers[order], targets, outputs, task, link, weights)


def of_setting(design: Design, results: Results, number: int, layouts: Mapping[Plan, Layout]) -> OutOfFold:
    """The predictions of a setting: from the outputs that were kept, or else by networks that are trained again."""
    spec, data = design.spec, design.data
    link = build(design.recipe, spec.settings[number]).link
    if (there := from_kept(results, number, data, link)) is not None:
        return there
    rows = {fold.number: fold.validation for fold in spec.numbered()}
    found = iter(networks(design, results, number, layouts))
    parts = {
        (fold, seed): (chosen, jax.tree.map(np.asarray, next(found).outputs(_rows(data.x, chosen))))
        for fold, chosen in rows.items()
        for seed in spec.seeds
    }
    return gathered(parts, list(rows), spec.seeds, data.y, data.task, link, data.weights)


def from_kept(results: Results, number: int, data: Dataset, link: str | None) -> OutOfFold | None:
    """The predictions of a setting from the outputs that were kept; None where not all trainings left any."""
    rows = {fold.number: fold.validation for fold in results.spec.numbered()}
    found = results.kept(number, "outputs")
    if len(found) < np.prod(results.shape[1:]):
        return None
    parts = {(row.fold, row.seed): (rows[row.fold], _first(tree, len(rows[row.fold]))) for row, tree in found}
    return gathered(parts, list(rows), results.spec.seeds, data.y, data.task, link, data.weights)


def of_outer(design: Design, results: Results) -> OutOfFold:
    """The predictions of a nested study's outer trainings, from the outputs that were kept.

    Raises:
      ValueError: the study is not finished, or kept no outputs.
    """
    spec, data = design.spec, design.data
    rows = {fold.number: fold.validation for fold in spec.numbered("outer")}
    part, parts = results.part(rows), dict[tuple[int, int], tuple[np.ndarray, PyTree]]()
    for number in {choice.number for choice in results.nested.choices if choice is not None}:
        for row, tree in part.kept(number, "outputs"):
            parts[row.fold, row.seed] = rows[row.fold], _first(tree, len(rows[row.fold]))
    if len(parts) < len(rows) * len(spec.seeds):
        raise ValueError(
            f"of {len(rows) * len(spec.seeds)} outer trainings {len(parts)} have left outputs: out-of-fold predictions "
            "need a finished study with keep=[jreg.keep.outputs]"
        )
    link = build(design.recipe, spec.settings[0]).link
    return gathered(parts, list(rows), spec.seeds, data.y, data.task, link, data.weights)


def _first(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], tree)


def _rows(x: Any, chosen: Sequence[int] | np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[chosen], x)
