"""What a store notes of results beside their trainings: where the time went, the baseline and the layouts."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from jreg.results import Results

# After how many seconds times are noted again: a study may have thousands of chunks in one.
_SECONDS = 1.0


def known(results: Results) -> dict[str, Any]:
    """What changes while a study trains, by name."""
    base = results.baseline
    baseline = None if base is None else {"name": base.name, "scores": base.scores}
    timing = results.timing
    # Apart from the totals, so that a jreg that doesn't know of them yet reads these.
    stretches = json.dumps(timing.stretches)
    return {"timing": timing.totals(), "stretches": stretches, "baseline": baseline, "layouts": results.layouts}


class Noted:
    """When that was noted last."""

    def __init__(self) -> None:
        self._when, self._layouts = -math.inf, dict[str, tuple[int, ...]]()

    def changed(self, results: Results) -> dict[str, Any]:
        """What is to be noted again; layouts, on which the bits depend, at once."""
        if time.monotonic() < self._when + _SECONDS and results.layouts == self._layouts:
            return {}
        self._when, self._layouts = time.monotonic(), dict(results.layouts)
        return known(results)
