"""Pictures of images: what is in a data set, and what augmentation makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.types import Array, Key
from jreg.data import Dataset
from jreg.report.canvas import canvas, plain

_MOST_ROWS = 20


def augmented(
    key: Key,
    augmentation: Callable[[Key, Array], Array],
    x: Any,
    y: Sequence[Any] | np.ndarray,
    path: str | Path | None = None,
    columns: int = 10,
) -> Any:
    """Augmented images beside their originals, to see whether each label still fits.

    Args:
      key: a JAX random key; every picture but those of the first column has one of its own.
      augmentation: a function ``(key, x) -> x`` of one image, such as a recipe's `augment`.
      x: ``(n, height, width)`` or ``(n, height, width, channels)``, one row of pictures each; uint8 is divided by 255.
      y: ``(n,)`` labels, written beside the rows.
      path: of a PNG to write, or None.
      columns: pictures per row, the original among them.

    Returns:
      A matplotlib Figure.

    Raises:
      ValueError: `x` is no batch of images, or there isn't one label an image.
    """
    images = jnp.asarray(x)
    if images.ndim not in (3, 4) or len(images) != len(y) or len(images) == 0:
        raise ValueError(
            f"report.augmented got x of shape {images.shape} with {len(y)} labels, but needs (n, height, width) or "
            "(n, height, width, channels) with n labels: reshape rows that are flat"
        )
    images = images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images
    keys = jax.random.split(key, (len(images), columns - 1))
    changed = jax.jit(jax.vmap(jax.vmap(augmentation, (0, None))))(keys, images)
    low, high = float(images.min()), float(images.max())
    rows = np.concatenate([np.asarray(images)[:, None], np.asarray(changed)], axis=1)
    figure, grid = _images(rows, y, low, high)
    grid[0, 0].set_title("original", fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure


def samples(data: Dataset, shape: Sequence[int] | None = None, columns: int = 10) -> Any:
    """Training images in the order of the data: a row of them for each class, for other targets rows one by one.

    Args:
      data: examples are ``(height, width)`` or ``(height, width, channels)``.
      shape: what flat examples are images of, such as (8, 8).
      columns: pictures per row.

    Returns:
      A matplotlib Figure.

    Raises:
      ValueError: the examples are no images, or `shape` doesn't fit them.
    """
    form = tuple(shape or data.x.shape[1:])
    if min(form, default=0) < 1 or math.prod(form) != math.prod(data.x.shape[1:]):
        raise ValueError(f"{data.name}'s examples have shape {data.x.shape[1:]}, which shape {form} doesn't fit")
    if len(form) not in (2, 3) or (len(form) == 3 and form[2] not in (1, 3, 4)):
        raise ValueError(
            f"{data.name}'s examples have shape {form}, but a picture needs (height, width) or "
            "(height, width, channels) with 1, 3 or 4 channels"
        )
    if data.task == "classification":
        labels = np.unique(data.y)[:_MOST_ROWS]
        chosen = [np.flatnonzero(data.y == label)[:columns] for label in labels]
        names = [data.labels[label] if data.labels else label for label in labels]
    else:
        chosen = np.split(
            np.arange(min(len(data.y), _MOST_ROWS * columns)), range(columns, _MOST_ROWS * columns, columns)
        )
        chosen = [numbers for numbers in chosen if len(numbers)]
        names = [""] * len(chosen)
    rows = np.full((len(chosen), columns, *form), np.nan, np.float32)
    for row, numbers in zip(rows, chosen, strict=True):
        row[: len(numbers)] = data.x[numbers].reshape(-1, *form)
    return _images(rows, names, float(np.nanmin(rows)), float(np.nanmax(rows)))[0]


def _images(rows: np.ndarray, labels: Sequence[Any] | np.ndarray, low: float, high: float) -> tuple[Any, Any]:
    """Rows of images ``(rows, columns, height, width)`` and channels, if any, with a label beside each row."""
    # Grey shows a missing value, and the end of a row that isn't full.
    shown = np.nan_to_num(np.clip((rows - low) / ((high - low) or 1), 0, 1), nan=0.5)
    figure, grid = canvas(0.8 * rows.shape[1] + 0.4, 0.8 * len(rows) + 0.3, len(rows), rows.shape[1])
    for axes, picture in zip(grid.flat, shown.reshape(-1, *shown.shape[2:]), strict=True):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(plain(label, 24), rotation=0, ha="right", va="center")
    return figure, grid
