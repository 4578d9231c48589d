"""Prediction intervals and sets of labels from a study's fold networks and the rows that they didn't see."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jreg import statistics
from jreg._base.types import PyTree
from jreg.data.arrays import is_tree
from jreg.engine import Layout
from jreg.network import labels_of, probabilities_of
from jreg.network.predictions import mean_probabilities
from jreg.results import Results
from jreg.study.design import Design
from jreg.study.out_of_fold import OutOfFold, of_setting
from jreg.study.training_again import networks
from jreg.training import Plan

_METHODS = {"regression": ("plus", "minmax"), "classification": ("probability", "adaptive")}


def intervals(
    design: Design,
    results: Results,
    layouts: Mapping[Plan, Layout],
    number: int,
    x: PyTree,
    alpha: float = 0.1,
    method: str | None = None,
) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
    """Intervals that cover the targets of new rows, or sets that cover their labels, without another training.

    They are the CV+ intervals and cross-conformal sets ({py:obj}`jreg.statistics.cv_plus`,
    {py:obj}`jreg.statistics.cross_conformal`) of a setting's fold networks, averaged over seeds, and of their
    out-of-fold predictions. With n exchangeable rows they cover at least 1 - 2 alpha - sqrt(2 / n), and typically
    about 1 - alpha, on average over data sets and new rows.

    That holds for networks that know nothing of the rows they predict. A fold that stops its own trainings, or a
    setting that was chosen among many by these rows, makes intervals a little too narrow. Rows that are validated in
    several folds count once, with the mean of the networks that didn't see them, for which 1 - 2 alpha isn't proven;
    rows that are never validated don't count. For rows in groups, whose folds must leave groups whole, and for rows
    in the order of time nothing is guaranteed.

    Args:
      design, results, layouts: of a study; `jreg.Study.intervals` gives them.
      number: of the setting.
      x: examples ``(m, ...)``, or a table.
      alpha: the share of targets that may be missed, in (0, 1).
      method: ``"plus"`` or ``"minmax"``, which is wider, in a regression; ``"probability"`` or ``"adaptive"`` for
        classes, see {py:obj}`jreg.statistics.label_scores`; default: the first.

    Returns:
      In a regression the lower and upper ends, ``(m, ...)`` each, column by column; for classes ``(m, K)`` flags.

    Raises:
      ValueError: the data have weights, several labels a row or folds that split groups; a training diverged; or the
        loss says nothing of probabilities.
    """
    _check(design, method)
    found = of_setting(design, results, number, layouts)
    values, targets, own, folds = predictors(found)
    if not np.isfinite(values).all():
        raise ValueError("a training of the setting diverged, so its networks have no intervals: take another setting")
    trained, seeds = networks(design, results, number, layouts), len(design.spec.seeds)
    parts = [of_outputs(network.outputs(x), found) for network in trained]
    new = [mean_probabilities(parts[first : first + seeds]) for first in range(0, len(parts), seeds)]
    place = {fold.number: number for number, fold in enumerate(design.spec.numbered())}
    each = np.stack([mean_probabilities([new[place[fold]] for fold in group]) for group in folds])
    if found.task == "regression":
        return statistics.cv_plus(targets - values, own, each, alpha, method == "minmax")
    adaptive = method == "adaptive"
    scores = statistics.label_scores(values, adaptive)[np.arange(len(values)), targets]
    return statistics.cross_conformal(scores, own, statistics.label_scores(each, adaptive), alpha)


def predictors(found: OutOfFold) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, ...]]]:
    """Each validated row once, with the mean over seeds and over the folds whose networks didn't see it.

    Returns:
      The rows' values ``(n, ...)``, their targets, for each row the place of its set of folds in the last list, and
      these sets. With repeated folds a row's set has several.
    """
    outside = mean_probabilities([of_outputs(outputs, found) for outputs in found.outputs])
    rows, first, which = np.unique(found.rows, return_index=True, return_inverse=True)
    sums = np.zeros((len(rows), *outside.shape[1:]))
    np.add.at(sums, which, outside)
    counts = np.bincount(which).reshape(-1, *[1] * (outside.ndim - 1))
    folds: list[list[int]] = [[] for _ in rows]
    for row, fold in sorted(zip(which.tolist(), found.folds.tolist(), strict=True)):
        folds[row].append(fold)
    groups = list(dict.fromkeys(map(tuple, folds)))
    place = {group: number for number, group in enumerate(groups)}
    own = np.array([place[tuple(group)] for group in folds])
    return sums / counts, np.asarray(found.targets)[first], own, groups


def of_outputs(outputs: PyTree, found: OutOfFold) -> np.ndarray:
    """Probabilities ``(n, ..., K)``, or the values of a regression in the targets' shape."""
    if found.task == "regression":
        return labels_of(outputs, found.task, np.shape(found.targets)[1:])
    return probabilities_of(outputs, found.link, found.task)


def _check(design: Design, method: str | None) -> None:
    """Raises ValueError where rows aren't exchangeable or have no single target."""
    data = design.data
    if data.task not in _METHODS or is_tree(data.y) or (data.task == "classification" and data.y.ndim > 1):
        kind = "several arrays" if is_tree(data.y) else f"shape {data.y.shape}"
        raise ValueError(
            f"{data.name} is a {data.task} with targets of {kind}, but intervals are for regressions with one array of "
            "targets, and sets for one label a row"
        )
    if method is not None and method not in _METHODS[data.task]:
        allowed = " or ".join(map(repr, _METHODS[data.task]))
        raise ValueError(f"the method is {method!r}, but must be {allowed} in a {data.task}")
    if data.weights is not None:
        raise ValueError(
            f"{data.name} has weights, but intervals count all rows alike, which is right only for rows that are drawn "
            "alike: give jreg.statistics.cv_plus the residuals that you mean"
        )
    if data.groups is not None:
        split = [
            fold.number
            for fold in design.spec.numbered()
            if np.isin(data.groups[list(fold.validation)], data.groups[list(fold.train)]).any()
        ]
        if split:
            raise ValueError(
                f"fold {split[0]} trains on rows of groups that it validates on, so that its residuals are too small "
                "for new groups: cross-validate with a number of folds, or with a splitter that leaves groups whole"
            )
