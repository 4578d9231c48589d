"""How a training stands."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import numpy as np

from jreg.training.columns import Column


class Status(enum.IntEnum):
    """How a training stands; `word` and `sentence` are what a person reads.

    >>> Status.DIVERGED.word, int(Status.COMPLETED)
    ('diverged', 2)
    """

    WAITING = 0
    RUNNING = 1
    COMPLETED = 2
    STOPPED = 3
    DIVERGED = 4
    PRUNED = 5
    FAILED = 6

    @property
    def word(self) -> str:
        """The status in a table."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """What it means."""
        return _SENTENCES[self]

    @property
    def has_score(self) -> bool:
        """Whether the training was trained to its end and its score counts."""
        return self in (Status.COMPLETED, Status.STOPPED)

    @property
    def is_error(self) -> bool:
        """Whether the training ended without a score of its own, so that `error_score` is what it counts with."""
        return self in (Status.DIVERGED, Status.FAILED)


# The words by number.
STATUS = tuple(status.word for status in Status)

_SENTENCES = {
    Status.WAITING: "not trained to its end yet",
    Status.RUNNING: "training now",
    Status.COMPLETED: "trained for all its epochs",
    Status.STOPPED: "stopped early, with the parameters of its best epoch",
    Status.DIVERGED: "a loss or a parameter was NaN or infinite, so the training ended there",
    Status.PRUNED: "given up by a race or a search",
    Status.FAILED: "ended by an error",
}


def why_diverged(history: np.ndarray, columns: Sequence[Column], score: Column) -> str:
    """Why a training diverged: what was not finite, in which epoch from 1, and its last score before that.

    Args:
      history: ``(epochs, columns)``, of the epochs that it ran.
      columns: of the history; more than it has where other settings have further terms.
      score: the column that ranks the settings.

    >>> columns = [Column("train", "loss", "loss"), Column("validation", "metric", "accuracy", True)]
    >>> why_diverged(np.array([[0.7, 0.91], [np.nan, 0.33]]), columns, columns[1])
    'train_loss not finite in epoch 2, last val_accuracy 0.91'
    """
    if not len(history):
        return "not finite before the first epoch"
    losses = [column for column in columns[: history.shape[1]] if column.key[1:] == ("loss", "loss")]
    # Where each loss is finite, the parameters were not: nothing else ends a training so.
    lost = (column.label for column in losses if not math.isfinite(history[-1, columns.index(column)]))
    sentence = f"{next(lost, 'parameters')} not finite in epoch {len(history)}"
    scores = history[:-1, columns.index(score)] if score in columns[: history.shape[1]] else history[:0, 0]
    good = scores[np.isfinite(scores)]
    return f"{sentence}, last {score.label} {good[-1]:.4g}" if good.size else sentence
