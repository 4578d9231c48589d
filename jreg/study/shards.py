"""A study dealt out to processes that know nothing of each other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jreg._base.names import shown
from jreg.results import Results, Spec, Trained
from jreg.results.nested import NESTED, inner_folds
from jreg.study.design import Trainings
from jreg.training import Status

# What says which of many processes one is, in this order; a job array's tasks all have the process number 0.
_NUMBERS = ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "JOB_COMPLETION_INDEX")


class Shard(NamedTuple):
    """One of equal shares of a study's trainings.

    Every n-th training, in the order of settings, folds and seeds, is of one shard; of a nested study every n-th outer
    fold with all that is inside it. So which training is whose follows from the study alone.

    Attributes:
      number: which one, from 0.
      of: how many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def named(cls, text: str | Sequence[int], environment: Mapping[str, str] = os.environ) -> Shard:
        """A shard by its name, such as ``"3/16"`` or ``(3, 16)``, or ``"auto/16"`` for that of this process.

        The number of a process is that of its task in a job array of Slurm's (``SLURM_ARRAY_TASK_ID``, counted from the
        array's first task), of its task in a Slurm job (``SLURM_PROCID``), of its pod in an indexed Job of Kubernetes'
        (``JOB_COMPLETION_INDEX``), or ``jax.process_index()`` after ``jax.distributed.initialize()``.

        Raises:
          ValueError: there is no such shard, or nothing says which one is this process's.

        >>> Shard.named("3/16")
        Shard(number=3, of=16)
        >>> str(Shard.named("auto/4", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5"}))
        '2/4'
        """
        if isinstance(text, list | tuple):
            text = "/".join(map(str, text))
        wanted = "but must be a number from 0 and how many there are, such as '3/16', or 'auto/16'"
        if not isinstance(text, str):
            raise TypeError(f"shard is {shown(text)}, {wanted}")
        found = re.fullmatch(r"(auto|\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise ValueError(f"shard is {shown(text)}, {wanted}")
        number, of = _own(environment) if found[1] == "auto" else int(found[1]), int(found[2])
        if not 0 <= number < of:
            numbered = f"numbered 0 to {of - 1}" if of else "none"
            raise ValueError(f"shard is {number}/{of}, but {of} shards are {numbered}")
        return cls(number, of)

    @property
    def folder(self) -> str:
        """The name of its folder, among those of the others."""
        return f"shard-{self.number}-of-{self.of}"

    def all(self) -> list[Shard]:
        """It and the others."""
        return [Shard(number, self.of) for number in range(self.of)]

    def outer(self, count: int) -> range:
        """Which of so many outer folds are its."""
        return range(self.number, count, self.of)

    def share(self, trainings: Trainings) -> Trainings:
        """Those of all trainings that are its."""
        return trainings.take(np.arange(len(trainings.folds)) % self.of == self.number)

    def owns(self, spec: Spec, trained: Trained) -> np.ndarray:
        """Of trainings of a study, whether each one is its."""
        if spec.policy.get("kind") == NESTED:
            inner, outer = inner_folds(spec), spec.numbered("outer")
            numbers = [number for k in self.outer(len(outer)) for number in (*inner[k], outer[k].number)]
            return np.isin(trained.fold, numbers) & np.isin(trained.seed, spec.seeds)
        folds, seeds = np.array([fold.number for fold in spec.numbered()]), np.array(spec.seeds)
        known = np.isin(trained.fold, folds) & np.isin(trained.seed, seeds)
        fold, seed = (_places(*pair) for pair in ((folds, trained.fold), (seeds, trained.seed)))
        return known & (((trained.setting * len(folds) + fold) * len(seeds) + seed) % self.of == self.number)

    def left(self, results: Results) -> tuple[int, int]:
        """How many of its trainings are still to end, and how many it has."""
        if results.spec.policy.get("kind") != NESTED:
            status = results.status.ravel()[self.number :: self.of]
            return int((status == Status.WAITING).sum()), len(status)
        missing = [results.nested.missing_of(k) for k in self.outer(len(results.nested.choices))]
        return sum(left for left, _ in missing), sum(total for _, total in missing)


def _places(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values are among the known ones, which have no order; anything where they aren't."""
    order = np.argsort(known)
    return order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]


def _own(environment: Mapping[str, str]) -> int:
    """The number of this process among those that train with it."""
    for name in _NUMBERS:
        if name in environment:
            first = environment.get("SLURM_ARRAY_TASK_MIN", "0") if name == "SLURM_ARRAY_TASK_ID" else "0"
            try:
                return _counted(environment[name]) - _counted(first)
            except ValueError:
                raise ValueError(
                    f"shard is 'auto', but {name} is {shown(environment[name])} and no number: give the number, such "
                    "as '3/16'"
                ) from None
    if jax.distributed.is_initialized():
        return jax.process_index()
    raise ValueError(
        f"shard is 'auto', but none of {', '.join(_NUMBERS)} is set and jax.distributed isn't initialized, so nothing "
        "says which shard is this process's: give the number, such as '3/16'"
    )


def _counted(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(text)
    return int(text)
