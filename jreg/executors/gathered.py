"""What workers have answered until a chunk is made of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from jreg.engine import Chunk, Layout, Outcome
from jreg.executors.messages import Answer


@dataclasses.dataclass(frozen=True)
class Elsewhere(Layout):
    """The slots of workers; the devices stand for as many of theirs.

    Attributes:
      where: how many devices of which kind, in words.
    """

    where: str = ""

    def __str__(self) -> str:
        how = "one by one" if self.batch == 1 else f"in batches of {self.batch}"
        return f"{self.where} x {self.slots} slots {how}"


class Gathered:
    """The answers since the last chunk.

    Args:
      workers: how many there are.
    """

    def __init__(self, workers: int):
        self._workers = workers
        self.answers: list[Answer] = []
        self.outcomes: list[Outcome] = []

    def add(self, answer: Answer, outcomes: Sequence[Outcome]) -> None:
        """Adds an answer, and those of its outcomes that are wanted."""
        self.answers.append(answer)
        self.outcomes += outcomes

    def chunk(self, layout: Layout, devices: Sequence[tuple[int, str]], running: int, queued: int) -> Chunk:
        """All of it together; seconds are a worker's in the mean, as the devices of one process train side by side."""
        kinds = Counter({kind: 0 for _, kind in devices})
        for count, kind in devices:
            kinds[kind] += count
        where = f"{self._workers} workers, " + " and ".join(f"{n} {kind.upper()}" for kind, n in kinds.items())
        return Chunk(
            tuple(self.outcomes),
            sum(answer.compile_seconds for answer in self.answers) / self._workers,
            sum(answer.run_seconds for answer in self.answers) / self._workers,
            sum(answer.useful for answer in self.answers),
            sum(answer.executed for answer in self.answers),
            running,
            queued,
            Elsewhere(layout.devices[:1] * sum(kinds.values()), layout.slots, layout.batch, where=where),
        )
