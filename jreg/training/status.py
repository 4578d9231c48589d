"""How a training stands."""

from __future__ import annotations

import enum


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
