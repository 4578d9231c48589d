"""What a user gives for seeds and for the score, as a specification has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jreg import training
from jreg._base import checks
from jreg._base.names import cut
from jreg.training import Column


def ranked_by(score: str | None, columns: Sequence[Column]) -> Column:
    """The column that ranks the settings; default: the first metric of the validation rows.

    Raises:
      ValueError: `score` is no column of the validation.
    """
    if not isinstance(score, str | None):
        raise TypeError(f"score is a {type(score).__name__}, but must be the label of a column, such as 'val_accuracy'")
    validation = [column for column in columns if column.split == "validation"]
    if score is not None:
        return training.find(validation, score, "score is")
    return next((column for column in validation if column.kind == "metric"), validation[0])


def seeds_of(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """The seeds' numbers, 0, 1, ... where only how many is said.

    Raises:
      ValueError: they are out of range, or one comes twice.
      TypeError: one is no whole number.
    """
    if isinstance(seeds, Iterable):
        numbers = tuple(checks.count(seed, "a seed", least=0) for seed in seeds)
        if not numbers or len(set(numbers)) < len(numbers) or max(numbers) >= 2**32:
            raise ValueError(f"seeds are {cut(str(numbers))}, but must be one or more different numbers below 2**32")
        return numbers
    return tuple(range(checks.count(seeds, "seeds")))
