"""How much better settings do on their training rows than on their validation rows."""

from __future__ import annotations

import numpy as np

from jreg.report.canvas import COLOURS, near_best
from jreg.report.figures import kind_of
from jreg.report.html.charts import GRID, INK, Picture, apply, short
from jreg.report.html.markup import Markup, Section, figure, table
from jreg.report.html.view import View
from jreg.report.scales import scale_of
from jreg.report.text import number, text
from jreg.results import selection
from jreg.training import Column

_MOST_ROWS = 60
# Above so many settings what was kept is not read for each of them.
_MOST_READ = 300


def gap(view: View) -> Section | None:
    """Training beside validation scores: along the strength where there is one, else one against the other."""
    results, spec = view.results, view.spec
    if not results.finished:
        return None
    found = _scores(view)
    if found is None:
        return None
    train, validation, label, how = found
    shown = [n for n in view.shown if np.isfinite(train[n]) and np.isfinite(validation[n])]
    if not shown:
        return None
    kind, names = kind_of(spec.space)
    single = kind == "lines" and len(view.varied) == 1
    chart = (
        _along(view, names[0], shown, train, validation, label)
        if single
        else _across(view, shown, train, validation, label)
    )
    best = results.best.number
    between = abs(train[best] - validation[best])
    better = (train[best] > validation[best]) == _column(view)[1].maximize
    side = "better on its training rows than on its validation rows" if better else "no better on its training rows"
    widest = max(shown, key=lambda n: abs(train[n] - validation[n]))
    caption = f"By {label} the best setting is {side}, with a gap of {number(between)}"
    if widest != best:
        caption += f"; the widest gap is {number(abs(train[widest] - validation[widest]))}, of {view.setting(widest)}"
    rows = [
        (view.setting(n), number(train[n]), number(validation[n]), number(train[n] - validation[n]))
        for n in shown[:_MOST_ROWS]
    ]
    left = f" (the best {_MOST_ROWS} settings)" if len(shown) > _MOST_ROWS else ""
    data = table(["setting", "training", "validation", "difference"], rows, f"{label} on both kinds of rows{left}")
    return Section("gap", "Training and validation", figure([chart], f"{caption}. {how}", data))


def _column(view: View) -> tuple[Column, Column]:
    """The training and the validation column that are compared: of the score, or of the loss."""
    score, columns = view.spec.score, view.spec.columns
    wanted = [score, Column("validation", "loss", "loss")]
    for column in wanted:
        train = next((c for c in columns if c.key == ("train", column.kind, column.name)), None)
        there = next((c for c in columns if c.key == column.key), None)
        if train is not None and there is not None:
            return train, there
    return score, score


def _scores(view: View) -> tuple[np.ndarray, np.ndarray, str, str] | None:
    train, validation = _column(view)
    if train == validation:
        return None
    after = selection.means(view.results)[0] if validation == view.spec.score else None
    after = view.results.values(validation).mean(axis=(1, 2)) if after is None else after
    kept = "train_scores" in view.spec.keep and len(view.shown) <= _MOST_READ
    measured = _kept(view, validation.name) if kept else None
    if measured is not None:
        how = "Training scores are measured as the network predicts: without noise, with the parameters that count."
        return measured, after, validation.name, how
    how = "Training scores are those of the training passes, with dropout and augmentation where there is any."
    return view.results.values(train).mean(axis=(1, 2)), after, validation.name, how


def _kept(view: View, name: str) -> np.ndarray | None:
    """Each setting's mean training score in evaluation mode, from what was kept."""
    found = np.full(len(view.spec.settings), np.nan)
    for place in view.shown:
        kept = [scores[name] for _, scores in view.results.kept(place, "train_scores") if name in scores]
        if len(kept) == view.results.scores[place].size:
            found[place] = float(np.mean(kept))
    return found if np.isfinite(found).any() else None


def _along(view: View, along: str, shown: list[int], train: np.ndarray, validation: np.ndarray, label: str) -> Markup:
    picture = Picture()
    scale = scale_of(view.spec.space, along)
    apply(scale, picture.axes)
    order = sorted(shown, key=lambda n: float(view.spec.settings[n][along]))
    at = [scale.at[float(view.spec.settings[n][along])] for n in order]
    for place, (values, name) in enumerate(((train, "training"), (validation, "validation"))):
        how = {"color": COLOURS[place], "marker": "os"[place], "label": name}
        titles = [f"{along} = {text(view.spec.settings[n][along])}, {name}: {number(values[n])}" for n in order]
        picture.axes.plot(at, values[order], color=COLOURS[place], lw=1.2, ls=("-", (0, (5, 1.5)))[place])
        picture.spots(at, values[order], titles, order, **how)
    picture.axes.fill_between(at, train[order], validation[order], color=GRID, alpha=0.25, lw=0)
    picture.axes.set_ylabel(short(label, 32))
    picture.grid()
    picture.legend(2)
    return picture.svg("gap", f"Training and validation {label} along {along}")


def _across(view: View, shown: list[int], train: np.ndarray, validation: np.ndarray, label: str) -> Markup:
    picture = Picture(3.4)
    axes = picture.axes
    titles = [f"{view.title(n)}\ntraining {number(train[n])}, validation {number(validation[n])}" for n in shown]
    both = np.concatenate([train[shown], validation[shown]])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=GRID, lw=1, ls=(0, (4, 2)), label="no gap")
    size = 5 if len(shown) < 100 else 3.5
    picture.spots(train[shown], validation[shown], titles, shown, color=COLOURS[0], ms=size, alpha=0.8)
    best = view.results.best.number
    if best in shown:
        axes.plot(train[best], validation[best], marker="o", ms=11, mfc="none", mec=INK, ls="none", label="best")
    if validation is view.scored.means and (band := near_best(view.scored)):
        axes.axhspan(*band, color=GRID, alpha=0.3, lw=0)
    axes.set_xlabel(short(f"training {label}", 40))
    axes.set_ylabel(short(f"validation {label}", 32))
    picture.grid()
    picture.legend(3)
    return picture.svg("gap", f"Validation {label} of each setting against its training {label}")
