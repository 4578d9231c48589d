"""The work every contestant does: digits, its folds, and the strengths of the grid."""

from typing import NamedTuple

import numpy as np

FOLDS = 5
HIDDEN = (128, 128)
CLASSES = 10
DROPOUT = 0.5
LEARNING_RATE = 1e-3
BATCH = 64


class Task(NamedTuple):
    """One grid of trainings.

    Attributes:
      x: ``(1797, 64)`` float32 in [0, 1].
      y: ``(1797,)`` int32 labels.
      folds: (training rows, validation rows) pairs.
      strengths: of L2, as half the squared norm of the kernels added to the mean loss of a batch.
      epochs: of each training.
    """

    x: np.ndarray
    y: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    strengths: np.ndarray
    epochs: int


class Outcome(NamedTuple):
    """What a run of the grid reports.

    Attributes:
      scores: the validation accuracy after the last epoch, mean over the folds, one number a strength.
      steps: gradient steps that were executed, all trainings together.
    """

    scores: list[float]
    steps: int


def make_task(epochs: int, strengths: int) -> Task:
    """The grid with so many epochs and strengths; 30 and 8 are the measured one."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    x, y = load_digits(return_X_y=True)
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(y, y))
    return Task((x / 16).astype(np.float32), y.astype(np.int32), folds, np.logspace(-5, -2, strengths), epochs)


def steps_per_epoch(task: Task) -> int:
    """Batches an epoch; the last, smaller one counts."""
    return -(-max(len(train) for train, _ in task.folds) // BATCH)


def padded_folds(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows as ``(folds, n)`` int32 arrays, -1 where a fold is shorter."""

    def stack(parts: list[np.ndarray]) -> np.ndarray:
        rows = np.full((len(parts), max(map(len, parts))), -1, np.int32)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        return rows

    train, validation = zip(*task.folds, strict=True)
    return stack(list(train)), stack(list(validation))
