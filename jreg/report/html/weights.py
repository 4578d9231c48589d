"""The weights themselves: first layers as images, and what a strength does to norms and zeros."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import jax
import numpy as np

from jreg._base.names import path_of
from jreg.report.canvas import COLOURS
from jreg.report.figures import kind_of
from jreg.report.html.charts import Picture, apply, short, style
from jreg.report.html.markup import Markup, Section, figure, joined, table, tag
from jreg.report.html.view import View
from jreg.report.lines import MOST_LINES, groups
from jreg.report.scales import scale_of
from jreg.report.text import number, text
from jreg.results import SettingResult, selection

_MOST_UNITS = 16
_MOST_NETWORKS = 8
_COLUMNS = 8
# Above so many settings their networks are not read.
_MOST_READ = 300
# A weight counts as zero below this share of the largest one.
_SMALL = 1e-3


def weights(view: View) -> Section | None:
    """What is there of both."""
    parts = [part for part in (_images(view), *_paths(view)) if part]
    return Section("weights", "Weights", joined(parts)) if parts else None


def _networks(view: View) -> dict[str, Any]:
    """The parameters that are at hand, by whose they are."""
    found: dict[str, Any] = {}
    if view.beside.final is not None:
        found["final network"] = view.beside.final.params
    if view.results.finished and "network" in view.spec.keep:
        named: dict[int, list[str]] = {}
        for label, result in (_marked(view) | _alone(view)).items():
            named.setdefault(result.number, []).append(label)
        for number_, labels in [*named.items()][: _MOST_NETWORKS - len(found)]:
            if kept := view.results.kept(number_, "network"):
                found[f"{', '.join(labels)}: {view.setting(number_)}"] = kept[0][1]["params"]
    return found


def _marked(view: View) -> dict[str, SettingResult]:
    """The settings that are named, the one without regularization among them."""
    weak = selection.weakest(view.results)
    return view.marks | ({} if weak is None else {"least regularized": weak})


def _alone(view: View) -> dict[str, SettingResult]:
    """For each of several strengths the best setting in which it alone regularizes, such as L1 beside L2."""
    axes, signs = view.spec.space.axes, dict[str, int]()
    for name in view.spec.space.strength_order:
        signs[name.removeprefix("-")] = -1 if name.startswith("-") else 1
    # Where nothing says what regularizes, these names do.
    signs = signs or {name: 1 for name in view.varied if name.lower().startswith(("l1", "l2")) and 0 in axes[name]}
    if len(signs) < 2:
        return {}
    weak = {name: min(axes[name], key=lambda value, sign=sign: sign * value) for name, sign in signs.items()}
    found = {}
    for result in view.results.ranking:
        given = [name for name in signs if result.hyperparameters[name] != weak[name]]
        if len(given) == 1 and np.isfinite(result.mean):
            found.setdefault(f"best with {given[0]} alone", result)
    return {label: found[label] for label in (f"best with {name} alone" for name in signs) if label in found}


def _images(view: View) -> Markup | None:
    form = view.beside.image
    if len(form) not in (2, 3):
        return None
    charts, rows, largest = [], [], dict[str, float]()
    for name, params in _networks(view).items():
        units = _first_layer(params, form)
        if units is None:
            return None
        norms = np.sqrt((units**2).sum(axis=(1, 2)))
        chosen = np.argsort(-norms, kind="stable")[:_MOST_UNITS]
        picture = tag(
            "figure",
            Markup(f'<img class="weights" alt="" src="data:image/png;base64,{_png(units[chosen])}">'),
            tag("figcaption", name),
        )
        charts.append(picture)
        largest[name] = float(norms.max())
        rows += [
            (name, int(u), number(float(norms[u])), number(float(units[u].min())), number(float(units[u].max())))
            for u in chosen
        ]
    if not charts:
        return None
    low, *_, high = sorted((norm, name) for name, norm in largest.items()) * 2
    norms = f"the norm reaches {number(high[0])} ({high[1]})"
    if len(largest) > 1:
        norms += f", but no more than {number(low[0])} in another network ({low[1]})"
    first = " A setting's network is that of its first fold and seed." if "network" in view.spec.keep else ""
    caption = (
        f"Weights of the first layer as images, the units with the largest norms: {norms}. Red is positive, blue "
        f"negative, white zero; each image has shades of its own.{first}"
    )
    data = table(["network", "unit", "norm", "smallest", "largest"], rows, "The units that are shown")
    return figure(charts, caption, data)


def _first_layer(params: Any, form: tuple[int, ...]) -> np.ndarray | None:
    """``(units, height, width)`` of the first kernel whose inputs are pixels, channels averaged."""
    height, width, channels = (*form, 1)[:3]
    for keys, leaf in jax.tree_util.tree_leaves_with_path(params):
        shape = np.shape(leaf)
        if len(shape) == 2 and shape[0] == math.prod(form):
            return np.asarray(leaf, np.float64).reshape(height, width, channels, -1).mean(axis=2).transpose(2, 0, 1)
        if len(shape) == 4 and shape[2] == channels and "kernel" in path_of(keys):
            return np.asarray(leaf, np.float64).mean(axis=2).transpose(2, 0, 1)
    return None


def _png(units: np.ndarray) -> str:
    """Images side by side, as the text of a PNG."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    count, height, width = units.shape
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for place, unit in enumerate(units):
        top, left = (place // columns) * (height + 1), (place % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = unit / (np.abs(unit).max() or 1)
    page = io.BytesIO()
    shades = colormaps["RdBu_r"]((np.nan_to_num(sheet) + 1) / 2)
    shades[np.isnan(sheet), 3] = 0
    imsave(page, shades, format="png")
    return base64.b64encode(page.getvalue()).decode("ascii")


def _paths(view: View) -> list[Markup]:
    """How measures of the weights go along a strength."""
    kind, names = kind_of(view.spec.space)
    if not view.results.finished or kind not in ("lines", "heatmap"):
        return []
    measures = {column.label: view.results.values(column) for column in view.spec.columns if column.kind == "params"}
    found = {name: values.mean(axis=(1, 2)) for name, values in measures.items()} | _of_kept(view)
    return [_path(view, names[0], name, values, n) for n, (name, values) in enumerate(found.items())]


def _of_kept(view: View) -> dict[str, np.ndarray]:
    """The norm and the share of zeros of each setting's networks, where they were kept."""
    count = len(view.spec.settings)
    if "network" not in view.spec.keep or count > _MOST_READ:
        return {}
    norms, zeros = np.full(count, np.nan), np.full(count, np.nan)
    for place in range(count):
        if kept := view.results.kept(place, "network"):
            found = [_measured(tree["params"]) for _, tree in kept]
            norms[place], zeros[place] = np.mean(found, axis=0)
    return {"norm of the kernels": norms, "share of weights near zero": zeros}


def _measured(params: Any) -> tuple[float, float]:
    kernels = [np.abs(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(params) if np.ndim(leaf) >= 2]
    if not kernels or not all(np.isfinite(kernel).all() for kernel in kernels):
        return math.nan, math.nan
    size = sum(kernel.size for kernel in kernels)
    small = sum(int((kernel <= _SMALL * kernel.max()).sum()) for kernel in kernels)
    return math.sqrt(sum(float((kernel**2).sum()) for kernel in kernels)), small / size


def _path(view: View, along: str, name: str, values: np.ndarray, key: int) -> Markup:
    picture = Picture(3.0)
    scale = scale_of(view.spec.space, along)
    apply(scale, picture.axes)
    rank = {n: place for place, n in enumerate(view.scored.order)}
    found = groups(view.scored, along)
    shown = sorted(found, key=lambda words: min(rank[n] for n in found[words]))[:MOST_LINES]
    for place, words in enumerate(shown):
        order = sorted(found[words], key=lambda n: float(view.spec.settings[n][along]))
        at = [scale.at[float(view.spec.settings[n][along])] for n in order]
        titles = [f"{view.setting(n)}: {number(values[n])}" for n in order]
        picture.axes.plot(at, values[order], color=COLOURS[place], lw=1, label=None)
        picture.spots(at, values[order], titles, order, **style(place), label=short(words, 28) if words else None)
    picture.axes.set_ylabel(short(name, 44))
    picture.grid()
    if len(shown) > 1:
        picture.legend(2)
    drawn = sorted(n for words in shown for n in found[words] if np.isfinite(values[n]))
    rows = [(text(view.spec.settings[n][along]), view.setting(n), number(values[n])) for n in drawn]
    line = sorted(found[shown[0]], key=lambda n: float(view.spec.settings[n][along])) if shown else []
    ends = [values[n] for n in line if np.isfinite(values[n])]
    where = f", where {shown[0]}" if len(shown) > 1 else ""
    caption = f"{name[:1].upper()}{name[1:]} along {along}"
    if ends:
        caption += f"{where}: {number(ends[0])} at its smallest value, {number(ends[-1])} at its largest"
    chart = picture.svg(f"path{key}", f"{name} along {along}")
    if "near zero" in name:
        caption += f". Near zero is below {_SMALL:g} of the largest weight of a kernel"
    return figure([chart], f"{caption}.", table([along, "setting", name], rows, f"{name} along {along}"))
