"""What all pictures have in common: the canvas, colours with markers and dashes, and text that is shown as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg.recipe import describe
from jreg.search.space import Space

# Okabe and Ito's colours, which colour-blind readers tell apart; the faint yellow comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHES = (
    "-",
    (0, (6, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1)),
    (0, (8, 2, 1, 2, 1, 2)),
    (0, (2, 3)),
    (0, (9, 3)),
)
QUIET = "#BBBBBB"

# By what is marked: the marker and its size. A star fits into the square where one setting is both.
_MARKS = {"worst": ("v", 14), "one-standard-error rule": ("s", 18), "best": ("*", 14)}


class Scored(NamedTuple):
    """What a picture of scores shows.

    Attributes:
      space: the settings.
      means, errors: ``(settings,)``, NaN where a training has no score.
      order: the settings' numbers from the best to the worst.
      marks: the numbers of the settings that are marked, by what they are.
      score: the score's label.
      maximize: whether higher is better.
      over: what the means are taken over, such as "5 folds".
      title: of the picture.
    """

    space: Space
    means: np.ndarray
    errors: np.ndarray
    order: Sequence[int]
    marks: Mapping[str, int]
    score: str
    maximize: bool
    over: str
    title: str

    @property
    def axis(self) -> str:
        """What stands beside the axis of the scores."""
        return f"{plain(self.score, 40)} ({'higher' if self.maximize else 'lower'} is better)"

    @property
    def drawn(self) -> str:
        """What is drawn of the scores."""
        bars = " and standard error" if np.isfinite(self.errors).any() else ""
        return f"mean{bars} over {self.over}"

    def heading(self, drawn: str, not_shown: int = 0) -> str:
        """A picture's title: which setting is best, how many there are, which have no score, what is drawn of them."""
        count, lost = len(self.means), int((~np.isfinite(self.means)).sum())
        missing = [
            f", {number} {what}" for number, what in ((lost, "without a score"), (not_shown, "not shown")) if number
        ]
        settings = f"{count} {'setting' if count == 1 else 'settings'}{''.join(missing)}"
        title = plain(self.title, 24)
        if (best := self.marks.get("best")) is None or count == 1:
            return f"{title}: {settings}\n{drawn}"
        setting = plain(describe({name: self.space.settings[best][name] for name in self.varied()}), 40)
        error = f" ± {self.errors[best]:.2g}" if np.isfinite(self.errors[best]) else ""
        # The narrowest picture has room for some 90 characters.
        between = " " if len(settings) + len(drawn) < 84 else "\n"
        return f"{title}: {setting} is best, {self.means[best]:#.4g}{error}\n{settings};{between}{drawn}"

    def varied(self) -> list[str]:
        """The hyperparameters that have more than one value."""
        return [name for name, values in self.space.axes.items() if len(values) > 1]


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, heights: Sequence[float] | None = None) -> Any:
    """A matplotlib figure of this size in inches, and its panels ``(rows, columns)``."""
    # The object interface needs no display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, height_ratios=heights)


def plain(text: Any, most: int = 60) -> str:
    r"""Text in one line that matplotlib shows as it is, shortened in its middle.

    Without this, two dollar signs make a formula of what lies between them, which may not be one; a legend leaves out
    what begins with an underscore; and a character that the font lacks is a warning and an empty box.

    >>> plain("price in $ and $"), plain("_l2"), plain("two\nlines"), plain("a" * 30, 10)
    ('price in \\$ and \\$', ' _l2', 'two lines', 'aaaaaa…aaa')
    """
    line = " ".join(str(text).split())
    if len(line) > most:
        head = 2 * most // 3
        line = f"{line[:head]}…{line[len(line) - (most - head - 1) :]}"
    line = "".join(c if c.isprintable() and _in_font(c) else c.encode("unicode_escape").decode() for c in line)
    line = line.replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def distinct(texts: Sequence[str]) -> list[str]:
    """The texts, numbered where shortening has made some of them equal.

    >>> distinct(["a", "b", "a"])
    ['1: a', 'b', '3: a']
    """
    return [f"{n}: {text}" if texts.count(text) > 1 else text for n, text in enumerate(texts, 1)]


def _in_font(character: str) -> bool:
    if character.isascii():
        return True
    from matplotlib import font_manager, rcParams

    families = rcParams["font.family"]
    paths = [font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families]
    return any(font_manager.get_font(path).get_char_index(ord(character)) for path in paths)


def style(place: int) -> dict[str, Any]:
    """Colour, marker and dashes of a line; each alone tells eight lines apart."""
    number = place % len(COLOURS)
    edge = {"mec": "black", "mew": 0.5}
    return {"color": COLOURS[number], "marker": MARKERS[number], "ls": DASHES[number], **edge}


def mark(axes: Any, places: Mapping[int, tuple[float, float]], marks: Mapping[str, int]) -> None:
    """Outlines the settings to be marked, where ``(x, y)`` by the setting's number has them."""
    from matplotlib.patheffects import withStroke

    # White around the black, for dark cells and thick lines below.
    around = [withStroke(linewidth=3, foreground="white")]
    for label, (marker, size) in _MARKS.items():
        place = places.get(marks[label]) if label in marks else None
        if place is not None and np.isfinite(place).all():
            outline = {"marker": marker, "ms": size, "mfc": "none", "mec": "black", "mew": 1.2, "ls": "none"}
            axes.plot(*place, label=label, zorder=5, path_effects=around, **outline)


def legend(figure: Any, panels: Iterable[Any], loc: str = "outside lower center", ncols: int = 3) -> None:
    """A legend outside the panels, where it hides nothing, with each of their labels once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        options = {"loc": loc, "ncols": ncols, "fontsize": "small", "markerscale": 0.7}
        figure.legend(handles.values(), handles.keys(), **options)


def near_best(scored: Scored) -> tuple[float, float] | None:
    """The scores from the best mean to one standard error below (or above, where lower is better)."""
    best = scored.marks.get("best")
    if best is None or not np.isfinite(scored.errors[best]):
        return None
    mean, error = scored.means[best], scored.errors[best]
    return (mean - error, mean) if scored.maximize else (mean, mean + error)


BAND = {"color": "#EEEEEE", "lw": 0, "zorder": 0, "label": "within one standard error of the best"}
