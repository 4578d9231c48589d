"""Rows that are read from the host by grain, each checked when it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array
from jreg.data import Dataset
from jreg.data.arrays import float32
from jreg.training.class_weights import balanced
from jreg.training.plan import MOST_ROWS


class Reader:
    """Rows of a source, checked and put together to batches.

    Attributes:
      length: how many rows there are.
      like: the first row's (x, y), which all others have to fit.
      labels: how many classes the model can tell apart, or None.
      classes: how much each class counts in the loss, or None.
    """

    def __init__(self, source: Any, missing: str, workers: int, prefetch: int):
        if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
            raise TypeError(f"the source is a {type(source).__name__}, but must have a length and source[i]")
        try:
            import grain
        except ModuleNotFoundError:
            raise ImportError('fit_stream reads by grain: pip install "jreg[grain]"') from None
        self.options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=prefetch)
        self.dataset = grain.MapDataset
        self.source, self.missing, self.length = source, missing, len(source)
        self.labels: int | None = None
        self.classes: Array | None = None

    def head(self, first: int) -> Dataset:
        """A data set of one row, for what can be told from shapes."""
        self.like = self.item(first)
        data = self.checked([first], [self.like])
        if self.missing == "keep" and data.x.dtype.kind == "f":
            # Nobody knows before the end where values are missing, so the recipe has to impute in any case.
            return Dataset(np.full_like(data.x, np.nan), data.y, name="the source", missing="keep")
        return data

    def item(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """One row as it stands in the source."""
        item = self.source[number]
        if isinstance(item, str) or not isinstance(item, Iterable) or isinstance(item, Mapping):
            raise TypeError(f"row {number} of the source is a {type(item).__name__}, but must be a pair (x, y)")
        parts = tuple(item)
        if len(parts) != 2:
            raise TypeError(f"row {number} of the source has {len(parts)} parts, but must be a pair (x, y)")
        return np.asarray(parts[0]), np.asarray(parts[1])

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A batch of rows as a `Dataset` would have them."""
        items = [self.item(int(number)) for number in numbers]
        for number, item in zip(numbers, items, strict=True):
            for name, part, like in zip("xy", item, self.like, strict=True):
                if part.shape != like.shape or part.dtype != like.dtype:
                    raise ValueError(
                        f"row {number} of the source has {name} {part.dtype} of shape {part.shape}, but the first one "
                        f"read {like.dtype} of shape {like.shape}"
                    )
        data = self.checked(numbers, items)
        return data.x, data.y

    def checked(self, numbers: Iterable[int], items: list[tuple[np.ndarray, np.ndarray]]) -> Dataset:
        """The rows as a data set; an error names the row."""
        x, y = (np.stack(parts) for parts in zip(*items, strict=True))
        try:
            # A few rows don't show what tells all of them apart.
            x, y = (float32(part, "the source") if part.dtype.kind == "f" else part for part in (x, y))
            data = Dataset(x, y, name="the source", missing=self.missing)
        except ValueError:
            for number, (x, y) in zip(numbers, items, strict=True):
                Dataset(x[None], y[None], name=f"source[{number}]", missing=self.missing)
            raise
        if self.labels and data.y.max() >= self.labels:
            number = list(numbers)[int(np.argmax(data.y))]
            raise ValueError(
                f"source[{number}] has label {data.y.max()}, out of range: the model has {self.labels} outputs, "
                "one per class"
            )
        return data

    def balance(self, train: np.ndarray, classes: int) -> None:
        """Has the classes count alike in the loss, as `jreg.training.class_weights.balanced` says."""
        counts = np.zeros(classes)
        blocks = [train[first : first + MOST_ROWS] for first in range(0, len(train), MOST_ROWS)]
        with contextlib.closing(self.batches(blocks)) as found:
            for _, y in found:
                counts += np.bincount(y, minlength=classes)
        self.classes = balanced(jnp.asarray(counts, jnp.float32))

    def batches(self, batches: Sequence[np.ndarray] | np.ndarray) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Reads batches of row numbers, in threads, some ahead of what is asked for."""
        if len(batches) == 0:
            return
        found = iter(self.dataset.source(list(batches)).map(self.read).to_iter_dataset(self.options))
        try:
            yield from found
        finally:
            # An exception, that of Ctrl-C too, leaves no thread that reads on.
            found.close()


def batches_of(size: int, order: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The row numbers of each batch, and their weights, which are 0 for padding."""
    batches = order.reshape(-1, size)
    return batches, (np.arange(order.size) < count).astype(np.float32).reshape(batches.shape)


def host_device() -> Any:
    """The device whose memory is the host's; None where JAX was told to have no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
