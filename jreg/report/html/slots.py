"""When the slots trained, when they were empty, and how the trainings ended meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jreg.report.canvas import COLOURS
from jreg.report.html.charts import INK, Picture
from jreg.report.html.markup import Markup, Section, figure, table
from jreg.report.html.view import View
from jreg.results import Stretch

# By the fields of a stretch.
_ENDS = {"completed": "completed", "stopped": "stopped early", "pruned": "given up", "failed": "without a score"}
# Up to how many of a unit the next smaller one is taken.
_UNITS = (("s", 1, 300), ("min", 60, 300), ("h", 3600, np.inf))
_MOST_ROWS = 60


def slots(view: View) -> Section | None:
    """The share of slots that trained, and the trainings that had ended, over the time without compilation."""
    stretches = view.results.timing.stretches
    compiled = np.cumsum([one.compile_seconds for one in stretches])
    ends = np.array([one.end for one in stretches]) - compiled
    if len(ends) < 2 or ends[-1] <= 0 or not any(one.executed for one in stretches):
        return None
    ends = np.maximum.accumulate(ends)
    unit, size = next((unit, size) for unit, size, most in _UNITS if ends[-1] / size < most)
    ends /= size
    charts = [_busy(stretches, ends, unit), _ended(stretches, ends, unit)]
    names = [f"until ({unit})", "busy", "in slots", *_ENDS.values()]
    step = -(-len(stretches) // _MOST_ROWS)
    rows = [
        (f"{end:.3g}", _share(one), one.running, *(getattr(one, name) for name in _ENDS))
        for one, end in zip(_merged(stretches, step), [*ends[step - 1 :: step], ends[-1]], strict=False)
    ]
    data = table(names, rows, "What was done by when: the share of slots that trained, trainings in slots, and ends")
    return Section("slots", "Slots over time", figure(charts, _caption(view, stretches), data))


def _share(one: Stretch) -> str:
    return f"{one.useful / one.executed:.0%}" if one.executed else ""


def _merged(stretches: Sequence[Stretch], step: int) -> list[Stretch]:
    """The stretches, so many at once."""
    found = []
    for first in range(0, len(stretches), step):
        whole = stretches[first]
        for other in stretches[first + 1 : first + step]:
            whole = whole.and_then(other)
        found.append(whole)
    return found


def _busy(stretches: Sequence[Stretch], ends: np.ndarray, unit: str) -> Markup:
    """The share of slots that trained, and where a further program was compiled."""
    picture = Picture()
    axes = picture.axes
    begins = np.concatenate([[0.0], ends[:-1]])
    shares = np.array([one.useful / one.executed if one.executed else np.nan for one in stretches])
    at, steps = np.stack([begins, ends], axis=1).ravel(), np.repeat(shares, 2)
    axes.fill_between(at, 0, steps, color=COLOURS[0], alpha=0.35, lw=0)
    axes.plot(at, steps, color=COLOURS[0], lw=1.2)
    for one, begin in zip(stretches[1:], begins[1:], strict=True):
        if one.compile_seconds:
            axes.axvline(begin, color=INK, lw=0.9, ls=(0, (1, 2)), label="a program was compiled")
    titles = [
        f"until {end:.3g} {unit}: {_share(one)} of {one.slots} slots, {one.running} training at its end"
        for one, end in zip(stretches, ends, strict=True)
    ]
    picture.spots((begins + ends) / 2, shares, titles, color=COLOURS[0], ms=3)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axes.set_ylabel("slots that train")
    return _over_time(picture, ends, unit, "busy", "The share of slots that train over time")


def _ended(stretches: Sequence[Stretch], ends: np.ndarray, unit: str) -> Markup:
    """How many trainings had ended by when, and how."""
    picture = Picture()
    axes = picture.axes
    at, below = np.concatenate([[0.0], ends]), np.zeros(len(ends) + 1)
    for place, (name, words) in enumerate(_ENDS.items()):
        counts = np.cumsum([0, *(getattr(one, name) for one in stretches)])
        if counts[-1]:
            axes.fill_between(at, below, below + counts, color=COLOURS[place], alpha=0.55, lw=0, label=words)
            below = below + counts
    titles = [f"by {end:.3g} {unit}: {int(count)} ended" for end, count in zip(ends, below[1:], strict=True)]
    picture.spots(ends, below[1:], titles, color=INK, ms=3)
    axes.set_ylim(0, 1.05 * max(1, below[-1]))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("trainings that have ended")
    return _over_time(picture, ends, unit, "ended", "Trainings that had ended over time, by how they ended")


def _over_time(picture: Picture, ends: np.ndarray, unit: str, key: str, label: str) -> Markup:
    picture.axes.set_xlim(0, ends[-1])
    picture.axes.set_xlabel(f"time without compilation ({unit})")
    picture.grid()
    picture.legend()
    return picture.svg(key, label)


def _caption(view: View, stretches: Sequence[Stretch]) -> str:
    timing = view.results.timing
    whole = stretches[-1].end
    compiled, ran = sum(one.compile_seconds for one in stretches), sum(one.device_seconds for one in stretches)
    total = {words: sum(getattr(one, name) for one in stretches) for name, words in _ENDS.items()}
    ended = ", ".join(f"{count} {words}" for words, count in total.items() if count)
    # The area in the chart; the occupancy of a study counts epochs, of which a full program does fewer in a second.
    busy = sum(one.device_seconds * one.useful / max(1, one.executed) for one in stretches) / (ran or 1)
    saved = ""
    if view.spec.stopping is not None and total["stopped early"]:
        left = 1 - timing.useful / max(1, view.spec.epochs * sum(total.values()))
        saved = f", which left out {left:.0%} of the epochs" if left > 0 else ""
    times = f"which was {ran / whole:.0%} of {whole:.3g} s; compiling took {compiled / whole:.0%}"
    return (
        f"Slots were busy for {100 * busy:.3g}% of the time that programs ran, {times}. {ended[:1].upper()}{ended[1:]}"
        f"{saved}. Points are the moments in which a program returned; of a long study several are one."
    )
