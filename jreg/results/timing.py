"""Where the time of a study went."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, NamedTuple

# Stretches that are kept: a chart shows no more. With this many, two neighbours become one.
_MOST = 128


class Stretch(NamedTuple):
    """What a study did between two looks at the clock.

    Attributes:
      end: seconds since the study began, compilation included; an interruption takes no time.
      compile_seconds, device_seconds: of it, in compiling and in compiled programs; the rest is the host's work.
      useful, executed: training-epochs that trained something, and that were paid for.
      running: trainings in slots at its end.
      slots: there are.
      completed, stopped, pruned, failed: trainings that ended in it, by how; diverged ones have failed.
    """

    end: float
    compile_seconds: float
    device_seconds: float
    useful: int
    executed: int
    running: int
    slots: int
    completed: int
    stopped: int
    pruned: int
    failed: int

    def and_then(self, other: Stretch) -> Stretch:
        """The same with the next one in it.

        >>> one, two = Stretch(1.0, 0.5, 0.4, 6, 8, 2, 2, 1, 0, 0, 0), Stretch(2.0, 0.0, 0.6, 9, 10, 1, 2, 3, 1, 0, 0)
        >>> tuple(one.and_then(two))
        (2.0, 0.5, 1.0, 15, 18, 1, 2, 4, 1, 0, 0)
        """
        sums = {name: one + two for name, one, two in zip(self._fields, self, other, strict=True)}
        sums |= {"end": other.end, "running": other.running, "slots": max(self.slots, other.slots)}
        return Stretch(**sums)


@dataclasses.dataclass
class Timing:
    """Where the time went.

    Attributes:
      compile_seconds: tracing and compiling.
      run_seconds: everything else, once the settings are checked.
      device_seconds: of those, the ones in the compiled program; the rest is the host's work.
      useful, executed: training-epochs that trained something, and that were paid for.
      layout: the devices and slots it began with, as text.
      devices: how many there were.
      stretches: what was done when, in order; of a long study in longer steps.
    """

    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    device_seconds: float = 0.0
    useful: int = 0
    executed: int = 0
    layout: str = "None"
    devices: int = 0
    stretches: list[Stretch] = dataclasses.field(default_factory=list)

    @property
    def occupancy(self) -> float:
        """The share of the training-epochs paid for that trained something."""
        return self.useful / max(1, self.executed)

    def add(self, stretch: Stretch) -> None:
        """Notes what was done last."""
        self.stretches.append(stretch)
        if len(self.stretches) > _MOST:
            pairs = zip(self.stretches[::2], self.stretches[1::2], strict=False)
            rest = self.stretches[len(self.stretches) // 2 * 2 :]
            self.stretches[:] = [*(one.and_then(two) for one, two in pairs), *rest]

    def totals(self) -> dict[str, Any]:
        """All but the stretches, as plain values."""
        return {name: value for name, value in vars(self).items() if name != "stretches"}


def stretches_of(rows: Any) -> list[Stretch]:
    """Stretches from rows of plain numbers.

    Raises:
      ValueError, TypeError: they are none.
    """
    found = [Stretch(*row) for row in rows or ()]
    for one in found:
        if not all(isinstance(value, int | float) and 0 <= value < math.inf for value in one):
            raise ValueError("times are no numbers of at least 0")
    if any(one.end > two.end for one, two in itertools.pairwise(found)):
        raise ValueError("times are out of order")
    return found
