"""Charts as SVG by matplotlib, whose text is text and whose colours are those of the page."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np

from jreg._base.names import printable
from jreg.report.canvas import COLOURS, MARKERS, QUIET, plain
from jreg.report.html.markup import Markup
from jreg.report.scales import Scale

# What stands for a colour in the page's style: ink for text and lines, paper for what lies behind them.
_NAMES = {colour.lower(): f"c{n}" for n, colour in enumerate(COLOURS)} | {
    "#000000": "ink",
    "#ffffff": "paper",
    "#b0b0b0": "grid",
    QUIET.lower(): "quiet",
}
INK, GRID = "#000000", "#b0b0b0"
WIDTH, HEIGHT = 4.4, 3.1
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 10.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
}
# On an axis of fewer decades there are ticks between the powers of ten.
_FEW_DECADES = 100
# On one of about a decade, more.
_ONE_DECADE = 6
_DECIMALS = re.compile(r"-?\d*\.\d+(?:e-?\d+)?")
# Attributes of the same name stand for these styles, which the page's policy wouldn't let in as styles.
_KEPT = {
    *("stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "text-anchor"),
    *("stroke-linecap", "stroke-linejoin", "font-weight", "font-size"),
}


class Picture:
    """One chart.

    Args:
      height: in inches; its width fits into a telephone's screen.
      left: points beside the panel for the labels of its upright axis.

    Attributes:
      axes: of matplotlib.
    """

    def __init__(self, height: float = HEIGHT, left: float = 54.0):
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        # Margins by hand: a layout that measures text draws everything twice.
        self._left, self._rows = left, 0
        with matplotlib.rc_context(_RC):
            self.figure = Figure(figsize=(WIDTH, height))
            FigureCanvasSVG(self.figure)
            self.axes: Any = self.figure.subplots()
        self._titles: dict[str, list[tuple[int | None, str]]] = {}

    def spots(self, x: Any, y: Any, titles: Sequence[str], settings: Sequence[int] | None = None, **how: Any) -> None:
        """Points with a text each that is shown where one points at them, and the settings that they belong to."""
        there = np.flatnonzero(np.isfinite(np.asarray(x, float)) & np.isfinite(np.asarray(y, float)))
        chosen = [(None if settings is None else settings[n], titles[n]) for n in there]
        drawn = {"ls": "none", "marker": "o", "ms": 5, "mec": "none", **how}
        line = self.axes.plot(np.asarray(x)[there], np.asarray(y)[there], clip_on=False, zorder=4, **drawn)
        line[0].set_gid(self._named(chosen))

    def paths(self, x: Sequence[float], ys: np.ndarray, titles: Sequence[str], settings: Sequence[int], **how: Any):
        """A line for each setting, ``(settings, places)``."""
        from matplotlib.collections import LineCollection

        lines = LineCollection([np.column_stack([x, y]) for y in ys], **how)
        lines.set_gid(self._named(list(zip(settings, titles, strict=True))))
        self.axes.add_collection(lines)

    def _named(self, titles: list[tuple[int | None, str]]) -> str:
        name = f"spots{len(self._titles)}"
        self._titles[name] = titles
        return name

    def grid(self, axis: Literal["both", "x", "y"] = "both") -> None:
        """Thin lines behind what is drawn."""
        self.axes.grid(color=GRID, alpha=0.35, lw=0.6, axis=axis)

    def legend(self, columns: int = 2) -> None:
        """A legend below the panel with each label once."""
        handles = dict(zip(*reversed(self.axes.get_legend_handles_labels()), strict=True))
        if handles:
            self._rows = -(-len(handles) // columns)
            how = {"loc": "lower center", "ncols": columns, "fontsize": 9, "frameon": False, "markerscale": 0.8}
            self.figure.legend(handles.values(), handles.keys(), borderaxespad=0, **how)

    def svg(self, key: str, label: str) -> Markup:
        """The chart as an element of the page.

        Args:
          key: tells the chart's ids from those of other charts.
          label: says what is drawn to who doesn't see it.
        """
        import matplotlib

        page = io.BytesIO()
        # With a legend it is taller, so that charts side by side have panels of one size.
        inches = self.figure.get_size_inches()
        self.figure.set_size_inches(inches[0], inches[1] + 15 * self._rows / 72)
        width, height = (72 * side for side in self.figure.get_size_inches())
        bottom = (36 if self.axes.get_xlabel() else 22) + 15 * self._rows
        top = 20 if self.axes.get_title() else 8
        sides = {"left": self._left / width, "right": 1 - 8 / width}
        self.figure.subplots_adjust(**sides, bottom=bottom / height, top=1 - top / height)
        with matplotlib.rc_context(_RC | {"svg.hashsalt": key}):
            self.figure.savefig(page, format="svg", metadata={"Date": None})
        root = ElementTree.fromstring(page.getvalue())
        used = [value[5:-1] for node in root.iter() for value in node.attrib.values() if value.startswith("url(#")]
        used += [node.attrib[_LINK][1:] for node in root.iter() if node.attrib.get(_LINK, "").startswith("#")]
        ids = {name: f"{key}-{n}" for n, name in enumerate(dict.fromkeys(used))}
        for group in root.iter(f"{_SVG}g"):
            _name(group, self._titles.get(group.attrib.get("id", ""), ()))
        inside = "".join(_element(node, ids) for node in root)
        _, _, width, height = root.attrib["viewBox"].split()
        view = f"0 0 {float(width):.0f} {float(height):.0f}"
        name = escape(printable(label), {'"': "&quot;"})
        return Markup(f'<svg viewBox="{view}" role="img" aria-label="{name}">{inside}</svg>')


def style(place: int) -> dict[str, Any]:
    """Colour and marker of a series."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def plain_ticks(axis: Any, ends: tuple[float, float] | None = None) -> None:
    """Numbers beside a logarithmic axis as a person writes them; formulas have no place in SVG text.

    `ends` are those of what is drawn; default: of the axis as it is now.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval() if ends is None else ends
    if 0 < low < high < _FEW_DECADES * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > _ONE_DECADE * low else range(1, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def apply(scale: Scale, axes: Any) -> None:
    """Makes the axis along the bottom one of this scale."""
    scale.apply(axes)
    axes.set_xlabel(short(axes.get_xlabel().replace("\\$", "$"), 46))
    if scale.kind != "linear" and "Fixed" not in type(axes.xaxis.get_major_formatter()).__name__:
        plain_ticks(axes.xaxis, (min(scale.at.values()), max(scale.at.values())))


def short(text: Any, most: int = 40) -> str:
    """Text for a chart."""
    return plain(text, most)


def _name(group: Any, titles: Sequence[tuple[int | None, str]]) -> None:
    """Gives the points of a line, or the lines of a collection, their titles and settings."""
    # What `defs` has is their common shape.
    shapes = [node for node in group.iter() if node.tag in (f"{_SVG}use", f"{_SVG}path") and "id" not in node.attrib]
    for node, (setting, words) in zip(shapes, titles, strict=False):
        node.set("setting", "" if setting is None else str(setting))
        node.set("title", words)
    styles = {node.attrib.get("style") for node in shapes} if titles else set()
    if len(styles) == 1 and (alike := styles.pop()):
        # Once for all of them; of a group, opacity would be another thing.
        parts = [part for part in alike.split(";") if not part.strip().startswith("opacity")]
        opacity = [part.partition(":")[2] for part in alike.split(";") if part.strip().startswith("opacity")]
        kinds = [kind for kind in ("fill", "stroke") if f"{kind}-opacity" not in alike]
        parts += [f"{kind}-opacity:{value}" for value in opacity for kind in kinds]
        group.set("style", ";".join(parts))
        # The common shape takes it from there, too, so that a point that is picked can look otherwise.
        for node in group.iter():
            if node.tag in (f"{_SVG}use", f"{_SVG}path"):
                node.attrib.pop("style", None)


def _element(node: Any, ids: Mapping[str, str]) -> str:
    """An element of matplotlib's as the page has it: without styles, and with ids of its own."""
    name = node.tag.removeprefix(_SVG)
    if name not in ("g", "path", "use", "text", "tspan", "defs", "clipPath", "rect"):
        return ""
    given = _attributes(node, ids)
    text = escape(printable(node.text)) if node.text and name in ("text", "tspan") else ""
    inside = "".join(_element(child, ids) for child in node)
    if "title" in node.attrib:
        given += f' data-s="{node.attrib["setting"]}"' if node.attrib["setting"] else ""
        inside += f"<title>{escape(printable(node.attrib['title'], lines=True))}</title>"
    if name == "g" and not given:
        return inside
    if not inside and not text and name in ("g", "defs", "text"):
        return ""
    return f"<{name}{given}>{text}{inside}</{name}>" if text or inside else f"<{name}{given}/>"


def _attributes(node: Any, ids: Mapping[str, str]) -> str:
    found: dict[str, str] = {}
    classes: list[str] = []
    for name, value in node.attrib.items():
        bare = name.rpartition("}")[2]
        if bare == "style":
            _styles(value, found, classes)
        elif bare == "id":
            if value in ids:
                found["id"] = ids[value]
        elif bare == "href":
            found["href"] = f"#{ids[value[1:]]}"
        elif bare == "clip-path":
            found[bare] = f"url(#{ids[value[5:-1]]})"
        elif bare == "transform" and value.startswith("rotate(-0"):
            continue
        elif bare in ("d", "x", "y", "transform", "width", "height"):
            found[bare] = _DECIMALS.sub(_rounded, " ".join(value.split()))
    if classes:
        found["class"] = " ".join(classes)
    return "".join(f' {name}="{escape(value, {chr(34): "&quot;"})}"' for name, value in found.items())


def _styles(value: str, found: dict[str, str], classes: list[str]) -> None:
    for part in value.split(";"):
        name, _, given = (text.strip() for text in part.partition(":"))
        if name in ("fill", "stroke"):
            known = _NAMES.get(given.lower())
            if known:
                classes.append(f"{name[0]}-{known}")
            else:
                found[name] = given
        elif name == "font":
            found["font-size"] = re.search(r"([\d.]+)px", given)[1]  # ty: ignore[not-subscriptable]  # it has a size
            if "bold" in given or "700" in given:
                found["font-weight"] = "bold"
        elif name in _KEPT:
            found[name] = given.removesuffix("px")


def _rounded(found: re.Match[str]) -> str:
    text = f"{float(found[0]):.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
