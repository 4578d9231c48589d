"""Where the time of a study went."""

from __future__ import annotations

import dataclasses


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
    """

    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    device_seconds: float = 0.0
    useful: int = 0
    executed: int = 0
    layout: str = "None"
    devices: int = 0

    @property
    def occupancy(self) -> float:
        """The share of the training-epochs paid for that trained something."""
        return self.useful / max(1, self.executed)
