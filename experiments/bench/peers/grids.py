"""The grids of trainings that every contestant runs."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from peers.task import Fold, Setting, Task


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


def _tabpack(settings: int | None, rows: int | None) -> Task:
    """The shapes of TabPack (ICML 2026) on made data: 64 networks of 1 to 3 layers of 384 units, AdamW.

    6,400 training rows of 11 features, as the data set churn has, 1,600 validation rows, labels of a random network
    with noise. Each network has its own learning rate (1e-4 to 5e-3), weight decay (1e-3 to 1), both
    log-uniform, and dropout (0 to 0.5), and stops after 16 epochs without a better validation loss.
    """
    count, all_rows = settings or 64, rows or 8_000
    rng = np.random.default_rng(0)
    x = rng.standard_normal((all_rows, 11)).astype(np.float32)
    hidden = np.tanh(x @ rng.standard_normal((11, 16)))
    chance = 1 / (1 + np.exp(-2 * hidden @ rng.standard_normal(16)))
    y = (rng.random(all_rows) < chance).astype(np.int32)
    swept = {
        "learning_rate": 10 ** rng.uniform(-4, np.log10(5e-3), count),
        "decay": 10 ** rng.uniform(-3, 0, count),
        "dropout": rng.uniform(0, 0.5, count),
        "blocks": 1 + np.arange(count) % 3,
    }
    train = all_rows * 4 // 5
    folds = [(np.arange(train), np.arange(train, all_rows))]
    return Task("tabpack", x, y, folds, Setting(), swept, 1, (), (384,), 1, 256, 200, patience=16)


TASKS: dict[str, Callable[[int | None, int | None], Task]] = {
    "digits": _digits,
    "tiny": _tiny,
    "mnist": _mnist,
    "stopping": _stopping,
    "cnn": _cnn,
    "tabpack": _tabpack,
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
