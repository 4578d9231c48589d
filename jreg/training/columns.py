"""The columns of a training's history: what each of its numbers is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jreg._base.names import listed

# What text that leaves the library calls the rows that a number was measured on.
_SHORT = {"train": "train", "stopping": "stop", "validation": "val", "test": "test"}


class Column(NamedTuple):
    """What one number of each epoch is.

    Attributes:
      split: the rows it was measured on, ``"train"``, ``"stopping"``, ``"validation"`` or ``"test"``; ``""`` for what
        depends on no rows.
      kind: ``"loss"``, ``"metric"``, ``"penalty"`` or ``"params"``, a measure of the parameters.
      name: of the metric, of the penalty's term or of the loss' part; ``"loss"`` for the loss, ``""`` for the sum of
        the penalties.
      maximize: whether higher is better.
    """

    split: str
    kind: str
    name: str
    maximize: bool = False

    @property
    def label(self) -> str:
        """What tables and files call it; never read back.

        >>> Column("validation", "metric", "accuracy", True).label, Column("train", "penalty", "l2").label
        ('val_accuracy', 'penalty_l2')
        """
        if self.kind == "penalty":
            return f"penalty_{self.name}" if self.name else "penalty"
        return f"{_SHORT[self.split]}_{self.name}" if self.split else self.name

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the others: split, kind and name."""
        return self.split, self.kind, self.name


def labels(columns: Iterable[Column]) -> tuple[str, ...]:
    """The labels of columns."""
    return tuple(column.label for column in columns)


def find(columns: Sequence[Column], label: str, what: str) -> Column:
    """The column with this label.

    Args:
      columns: to choose from.
      label: what the user wrote.
      what: the beginning of the sentence, such as ``"EarlyStopping monitors"``.

    Raises:
      ValueError: there is none; the sentence lists those there are.
    """
    for column in columns:
        if column.label == label:
            return column
    raise ValueError(f"{what} {label!r}, but measured are only: {listed(labels(columns), 24)}")


def check_labels(columns: Iterable[Column]) -> None:
    """Raises ValueError where two columns would have the same label."""
    # What tables of curves call the training and the epoch.
    seen = {"setting", "fold", "seed", "epoch"}
    for column in columns:
        if column.label in seen:
            raise ValueError(
                f"a second column of the history would be called {column.label!r}: rename the metric or term"
            )
        seen.add(column.label)
