"""What each validation row scored alone: what a race compares that looks at rows."""

from __future__ import annotations

import numpy as np

from jreg.data import Dataset
from jreg.results import Results

# What `jreg.training.keep.RowScores` calls them.
NAME = "row_scores"


def row_scores(results: Results, data: Dataset | None, fold: int, seed: int) -> np.ndarray:
    """The scores of a fold's validation rows by the networks of all settings with one seed.

    Args:
      results: of a study that keeps them.
      data: says which rows have weights and which belong together; default: no weights and no groups.
      fold, seed: their places, zero-based.

    Returns:
      ``(settings, rows)`` float64, NaN where there is no training. Rows with weights are multiplied by them, rows of a
      group are added up, and both are divided by the largest that a row, or group, of the data can have, so that scores
      in [0, 1] stay there.
    """
    scores = results.cached((NAME, fold, seed), lambda: _read(results, fold, seed))
    return scores if data is None else _weighted(scores, data, results.spec.numbered()[fold].validation)


def _read(results: Results, fold: int, seed: int) -> np.ndarray:
    rows = results.spec.numbered()[fold]
    scores = np.full((results.shape[0], len(rows.validation)), np.nan)
    for setting in np.flatnonzero(results.epochs[:, fold, seed] > 0).tolist():
        found = results.get(setting, rows.number, results.spec.seeds[seed])
        if found is not None and NAME in found.kept:
            scores[setting] = found.kept[NAME][: len(rows.validation)]
    return scores


def _weighted(scores: np.ndarray, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Rows times their weights, added up in groups, over the largest weight that a row or group of the data has."""
    if data.weights is None and data.groups is None:
        return scores
    weights = np.ones(len(data)) if data.weights is None else np.asarray(data.weights, np.float64)
    groups = np.arange(len(data)) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    share = weights / np.bincount(groups, weights).max()
    units, place = np.unique(groups[rows], return_inverse=True)
    # What has no weight may be NaN.
    counted = np.where(share[rows] > 0, scores * share[rows], 0.0)
    found = np.zeros((len(scores), len(units)))
    np.add.at(found.T, place, counted.T)
    return found
