"""The work every contestant does: five grids of trainings, as data."""

import gzip
import math
import os
from collections.abc import Callable
from pathlib import Path
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
    """

    l2: Any = 0.0
    dropout: Any = 0.0
    active: Any = None


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
        """Multiplications of an example with a weight in a forward pass."""
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
    """What a run of the grid reports.

    Attributes:
      scores: the validation accuracy after the last epoch (with early stopping: at the best one), the mean over
        folds and seeds, one number a setting.
      steps: gradient steps that trained something, all trainings together.
      validations: passes over a fold's validation rows, all trainings together.
      more: whatever else a contestant knows.
    """

    scores: list[float]
    steps: int
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


def padded_folds(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows as ``(folds, n)`` int32 arrays, -1 where a fold is shorter."""

    def stack(parts: list[np.ndarray]) -> np.ndarray:
        rows = np.full((len(parts), max(map(len, parts))), -1, np.int32)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        return rows

    train, validation = zip(*task.folds, strict=True)
    return stack(list(train)), stack(list(validation))


class Sizes(NamedTuple):
    """What may be changed for a smoke test; None: the task's own."""

    epochs: int | None = None
    settings: int | None = None
    seeds: int | None = None
    rows: int | None = None


def make_task(name: str, sizes: Sizes = Sizes()) -> Task:  # noqa: B008 - a tuple of Nones
    """The task of that name."""
    task = TASKS[name](sizes.settings, sizes.rows)
    folds = _even(task.folds, task.batch)
    return task._replace(folds=folds, epochs=sizes.epochs or task.epochs, seeds=sizes.seeds or task.seeds)


def part_of(task: Task, settings: int | None, seeds: int | None) -> Task:
    """The slice with so many of its settings, evenly spaced, and of its seeds."""
    count = len(task.settings)
    chosen = np.linspace(0, count - 1, min(settings or count, count) + 2)[1:-1].round().astype(int)
    if settings is None or settings >= count:
        chosen = np.arange(count)
    swept = {name: values[chosen] for name, values in task.swept.items()}
    return task._replace(swept=swept, seeds=min(seeds or task.seeds, task.seeds))


def _digits(settings: int | None, rows: int | None) -> Task:
    """5 folds x 8 strengths of L2 of 64-128-128-10 with dropout 0.5."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    x, y = load_digits(return_X_y=True)
    x, y = (x[:rows] / 16).astype(np.float32), y[:rows].astype(np.int32)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(y, y))
    swept = {"l2": np.logspace(-5, -2, settings or 8)}
    return Task("digits", x, y, folds, Setting(dropout=0.5), swept, 1, (), (128, 128), 10, 64, 30)


def _tiny(settings: int | None, rows: int | None) -> Task:
    """10 folds x 20 strengths of L2 x 5 seeds of 30-16-1 on standardized inputs.

    9 folds have 512 training rows, 16 batches; the last one's 513 are cut to as many.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import StratifiedKFold

    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:rows], y[:rows].astype(np.int32)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    folds = list(StratifiedKFold(10, shuffle=True, random_state=0).split(y, y))
    swept = {"l2": np.logspace(-5, -1, settings or 20)}
    return Task("tiny", x, y, folds, Setting(), swept, 5, (), (16,), 1, 32, 30)


def _mnist(settings: int | None, rows: int | None) -> Task:
    """3 folds x 4 rates of dropout of 784-256-256-10 on the first 12,000 images."""
    x, y = _images(rows or 12_000)
    swept = {"dropout": np.linspace(0.0, 0.6, settings or 4)}
    return Task("mnist", x.reshape(len(x), -1), y, _thirds(len(y)), Setting(), swept, 1, (), (256, 256), 10, 128, 5)


def _stopping(settings: int | None, rows: int | None) -> Task:
    """The digits network: 5 folds x 200 settings that stop early, after 8 to 12 or, 1 in 16, 90 to 100 epochs.

    Adam's learning rate of 1e-4, at which the validation loss falls epoch by epoch, becomes 0 after a number of
    epochs that is swept; from then on nothing improves, so the training stops when its patience of 5 has run out.
    """
    task, count = _digits(settings, rows), settings or 200
    rng = np.random.default_rng(0)
    late = np.arange(count) % 16 == min(count, 16) - 1
    active = np.where(late, rng.integers(85, 96, count), rng.integers(3, 8, count))
    swept = {"l2": np.logspace(-5, -2, count), "active": rng.permutation(active).astype(np.float64)}
    return task._replace(name="stopping", swept=swept, epochs=120, patience=5, learning_rate=1e-4)


def _cnn(settings: int | None, rows: int | None) -> Task:
    """3 folds x 4 strengths of L2 of a convolutional network, 8 and 16 channels, on the first 2,000 images of MNIST."""
    x, y = _images(rows or 2_000)
    swept = {"l2": np.logspace(-5, -2, settings or 4)}
    return Task("cnn", x[..., None], y, _thirds(len(y)), Setting(), swept, 1, (8, 16), (), 10, 64, 2)


TASKS: dict[str, Callable[[int | None, int | None], Task]] = {
    "digits": _digits,
    "tiny": _tiny,
    "mnist": _mnist,
    "stopping": _stopping,
    "cnn": _cnn,
}
NEED_MNIST = ("mnist", "cnn")


def mnist_folder() -> Path | None:
    """Where the four files of MNIST are: ``mnist`` in the folder that JREG_DATA_DIR names; None if they aren't."""
    named = os.environ.get("JREG_DATA_DIR")
    folder = Path(named) / "mnist" if named else None
    return folder if folder and (folder / "train-images-idx3-ubyte.gz").exists() else None


def _images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first training images, in [0, 1], and their labels; without a library, so that no contestant pays for one."""
    folder = mnist_folder()
    if folder is None:
        raise FileNotFoundError("MNIST is not there: set JREG_DATA_DIR to the folder that has mnist/*.gz")
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + count * 784), np.uint8, offset=16)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + count), np.uint8, offset=8)
    return (pixels.reshape(-1, 28, 28) / np.float32(255)).astype(np.float32), labels.astype(np.int32)


def _even(folds: list[Fold], batch: int) -> list[Fold]:
    """Cuts the training rows where some fold would take a step more than another, so that all take as many."""
    least = min(len(train) for train, _ in folds)
    if all(-(-len(train) // batch) == -(-least // batch) for train, _ in folds):
        return folds
    return [(train[:least], validation) for train, validation in folds]


def _thirds(rows: int) -> list[Fold]:
    parts = np.array_split(np.random.default_rng(0).permutation(rows), 3)
    return [(np.concatenate(parts[:k] + parts[k + 1 :]), part) for k, part in enumerate(parts)]
