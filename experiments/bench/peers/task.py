"""What a grid of trainings is, as data, and what a contestant reports about it. The grids are in grids.py."""

import math
from typing import Any, NamedTuple

import numpy as np

LEARNING_RATE = 1e-3
Fold = tuple[np.ndarray, np.ndarray]


class Setting(NamedTuple):
    """The hyperparameters of a training; a plain Python 0 or None means that a contestant leaves the code out.

    Attributes:
      l2: strength of half the squared norm of the kernels, added to the mean loss of a batch.
      dropout: rate after each hidden layer.
      active: epochs after which Adam's learning rate falls to 0; None: never.
      learning_rate: of this training; None: the task's.
      decay: of AdamW, on all parameters; 0 is Adam.
      blocks: how often the task's hidden layers are repeated.
    """

    l2: Any = 0.0
    dropout: Any = 0.0
    active: Any = None
    learning_rate: Any = None
    decay: Any = 0.0
    blocks: int = 1


class Task(NamedTuple):
    """One grid of trainings: settings x folds x seeds.

    Attributes:
      name: of the task.
      x: float32, ``(rows, features)``, or ``(rows, height, width, 1)`` for a convolutional network.
      y: ``(rows,)`` int32 labels.
      folds: (training rows, validation rows) pairs.
      fixed: the hyperparameters that all trainings share.
      swept: the others, one number a setting.
      seeds: how many.
      convolutions: channels of each 3x3 convolution; ReLU and 2x2 max pooling follow.
      hidden: units of each hidden layer; ReLU and dropout follow.
      outputs: 10 logits of a softmax, or 1 of a sigmoid.
      batch: examples a step.
      epochs: of each training, at most.
      patience: of early stopping on the validation loss, with the best parameters kept; None: no early stopping.
      learning_rate: of Adam.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    folds: list[Fold]
    fixed: Setting
    swept: dict[str, np.ndarray]
    seeds: int
    convolutions: tuple[int, ...]
    hidden: tuple[int, ...]
    outputs: int
    batch: int
    epochs: int
    patience: int | None = None
    learning_rate: float = LEARNING_RATE

    @property
    def settings(self) -> list[Setting]:
        """All of them, with Python numbers."""
        columns = {name: values.tolist() for name, values in self.swept.items()}
        rows = zip(*columns.values(), strict=True)
        return [self.fixed._replace(**dict(zip(columns, row, strict=True))) for row in rows]

    @property
    def trainings(self) -> int:
        """How many."""
        return len(self.settings) * len(self.folds) * self.seeds

    @property
    def steps(self) -> int:
        """Batches an epoch; the last, smaller one counts."""
        return -(-max(len(train) for train, _ in self.folds) // self.batch)

    @property
    def multiplications(self) -> int:
        """Multiplications of an example with a weight in a forward pass, with one repetition of the hidden layers."""
        count, height, channels = 0, self.x.shape[1], 1
        for filters in self.convolutions:
            count += height * height * 9 * channels * filters
            height, channels = height // 2, filters
        inputs = height * height * channels if self.convolutions else math.prod(self.x.shape[1:])
        for units in (*self.hidden, self.outputs):
            count += inputs * units
            inputs = units
        return count


class Members(NamedTuple):
    """All trainings of a task in the order (setting, fold, seed), as columns."""

    fold: np.ndarray
    seed: np.ndarray
    swept: dict[str, np.ndarray]


class Outcome(NamedTuple):
    """What a run of the grid reports: scores, and how much work it was.

    Attributes:
      scores: the validation accuracy after the last epoch (with early stopping: at the best one), the mean over
        folds and seeds, one number a setting.
      steps: gradient steps that trained something, all trainings together.
      epochs: passes over a fold's training rows, all trainings together.
      validations: passes over a fold's validation rows, all trainings together.
      more: whatever else a contestant knows.
    """

    scores: list[float]
    steps: int
    epochs: int
    validations: int
    more: dict[str, Any] = {}  # noqa: RUF012 - a tuple's default is never changed


def members(task: Task) -> Members:
    """The trainings of a task."""
    axes = (np.arange(len(task.settings)), np.arange(len(task.folds)), np.arange(task.seeds))
    setting, fold, seed = (axis.reshape(-1).astype(np.int32) for axis in np.meshgrid(*axes, indexing="ij"))
    return Members(fold, seed, {name: values[setting].astype(np.float32) for name, values in task.swept.items()})


def by_setting(task: Task, scores: Any) -> list[float]:
    """The mean score of each setting, from those of all trainings in the order of `members`."""
    return np.asarray(scores, np.float64).reshape(len(task.settings), -1).mean(axis=1).tolist()


def by_depth(task: Task) -> list[tuple[np.ndarray, Task]]:
    """The task in parts whose settings have networks of the same shape, each with its settings' numbers."""
    if "blocks" not in task.swept:
        return [(np.arange(len(task.settings)), task)]
    depths = task.swept["blocks"]
    parts = []
    for depth in np.unique(depths):
        numbers = np.flatnonzero(depths == depth)
        swept = {name: values[numbers] for name, values in task.swept.items() if name != "blocks"}
        parts.append((numbers, task._replace(swept=swept, hidden=task.hidden * int(depth))))
    return parts


def operations(task: Task, outcome: Outcome) -> float:
    """Floating-point operations in matrix products: 6 per weight and example in training, 2 in validation."""
    train, validation = (sum(map(len, rows)) / len(task.folds) for rows in zip(*task.folds, strict=True))
    examples = 6 * outcome.steps * train / task.steps + 2 * outcome.validations * validation
    sizes = np.empty(len(task.settings))
    for numbers, part in by_depth(task):
        sizes[numbers] = part.multiplications
    # Where trainings stop early, larger networks may train for longer.
    per_setting = np.reshape(outcome.more.get("stops", np.ones(task.trainings)), (len(sizes), -1)).sum(axis=1)
    return examples * float(np.average(sizes, weights=per_setting))


def padded_folds(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows as ``(folds, n)`` int32 arrays, -1 where a fold is shorter."""

    def stack(parts: list[np.ndarray]) -> np.ndarray:
        rows = np.full((len(parts), max(map(len, parts))), -1, np.int32)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        return rows

    train, validation = zip(*task.folds, strict=True)
    return stack(list(train)), stack(list(validation))
