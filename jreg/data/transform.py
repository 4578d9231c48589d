"""Other data sets made from one: fewer examples, wrong labels, shuffled pixels."""

from __future__ import annotations

import dataclasses

import numpy as np

from jreg._base import checks
from jreg.data.arrays import is_tree, structure, take
from jreg.data.dataset import Dataset
from jreg.data.load import check_seed, has_classes


def subset(data: Dataset, per_class: int, seed: int = 0) -> Dataset:
    """Equally many random training rows of every class, and the same test set.

    A smaller subset with the same seed is part of a larger one.

    Args:
      data: for classification, with one class per example.
      per_class: how many rows of each class that has any.
      seed: of the choice.

    Returns:
      A `Dataset` whose rows keep their order, their weights and their groups.

    Raises:
      ValueError: a class has fewer rows, or the rows don't have one class each.

    >>> from jreg.data import load_dataset
    >>> subset(load_dataset("digits"), per_class=10)
    Dataset(digits: 100 rows of (64,) float32, classification, 360 test rows)

    Source: Chapelle, Schölkopf and Zien, Semi-supervised learning (2006), chapter 21; Sohn et al., FixMatch (2020),
    section 4, whose labelled sets are balanced so.
    """
    _check_classes(data, "subset")
    check_seed(seed)
    per_class = checks.count(per_class, "subset's per_class")
    order = np.random.default_rng(seed).permutation(len(data))
    chosen = []
    for label in np.unique(data.y):
        rows = order[data.y[order] == label]
        if len(rows) < per_class:
            raise ValueError(f"{data.name}'s class {label} has {len(rows)} rows, but subset is to take {per_class}")
        chosen.append(rows[:per_class])
    rows = np.sort(np.concatenate(chosen))
    kept = {field: take(getattr(data, field), rows) for field in ("x", "y", "weights", "groups")}
    return dataclasses.replace(data, **kept)


def random_labels(data: Dataset, share: float, seed: int = 0) -> Dataset:
    """Replaces the labels of a random share of the training rows by random ones; the test set keeps its own.

    Each row is chosen independently, and its new label is uniform over all K classes, its own among them, so that
    about share (1 - 1/K) of the labels are wrong; at 1 they say nothing about the examples. With the same seed a larger
    share keeps the wrong labels of a smaller one.

    Args:
      data: for classification, with one class per example.
      share: in [0, 1]; 0 changes nothing.
      seed: of the choice of the rows and of their labels.

    Returns:
      A `Dataset`.

    Raises:
      ValueError: `share` is out of range, or the rows don't have one class each.

    >>> from jreg.data import load_dataset
    >>> data = load_dataset("digits")
    >>> bool(0.85 < (random_labels(data, 1.0).y != data.y).mean() < 0.95)
    True

    Source: Zhang et al., Understanding deep learning requires rethinking generalization (2017), section 2.1.
    """
    _check_classes(data, "random_labels")
    check_seed(seed)
    if not 0 <= share <= 1:
        raise ValueError(f"random_labels' share is {share}, but must lie in [0, 1]")
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(data.y)) < share
    return dataclasses.replace(data, y=np.where(chosen, rng.integers(data.classes, size=len(data.y)), data.y))


def permute_pixels(data: Dataset, seed: int = 0) -> Dataset:
    """Puts the pixels, or features, of every example into one random order, the same for training and test rows.

    What the examples say is the same, but neighbours are no longer neighbours: a network of dense layers learns as
    well as before, one of convolutions doesn't.

    Args:
      data: examples ``(n, d)``, ``(n, height, width)`` or ``(n, height, width, channels)``; channels stay together.
      seed: of the order.

    Returns:
      A `Dataset`.

    Raises:
      ValueError: the examples are several arrays.

    >>> from jreg.data import load_dataset
    >>> data = load_dataset("digits")
    >>> bool((permute_pixels(data).x.sum(axis=1) == data.x.sum(axis=1)).all())
    True

    Source: Zhang et al., Understanding deep learning requires rethinking generalization (2017), section 2.1;
    Goodfellow et al., An empirical investigation of catastrophic forgetting (2013), section 4.
    """
    check_seed(seed)
    if is_tree(data.x):
        raise ValueError(
            f"permute_pixels got {data.name}, whose examples have {structure(data.x)}, but needs one array of pixels "
            "or features"
        )
    shape = data.x.shape[1:]
    pixels = int(np.prod(shape[:2]))
    order = np.random.default_rng(seed).permutation(pixels)

    def permuted(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), pixels, -1)[:, order].reshape(x.shape)

    test = None if data.x_test is None else permuted(data.x_test)
    names = [data.features[old] for old in order] if data.features else ()
    return dataclasses.replace(data, x=permuted(data.x), x_test=test, features=names)


def _check_classes(data: Dataset, name: str) -> None:
    if has_classes(data):
        return
    if data.task != "classification":
        found = f"which is for {data.task}"
    else:
        found = f"whose y has {structure(data.y)}" if is_tree(data.y) else f"whose y has shape {data.y.shape}"
    raise ValueError(f"{name} got {data.name}, {found}, but needs one class per example")
