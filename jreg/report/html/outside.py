"""Predictions for rows that the networks didn't see: confusion, errors, calibration."""

from __future__ import annotations

import numpy as np

from jreg.report.canvas import COLOURS
from jreg.report.html.charts import GRID, Picture
from jreg.report.html.markup import Markup, Section, figure, joined, scrolling, table, tag
from jreg.report.html.view import Predictions, View
from jreg.report.text import number

_MOST_CLASSES = 20
_MOST_POINTS = 800
_MOST_ROWS = 40
_MOST_TARGETS = 4
_BINS = 10
# How many shades a cell of the confusion may have, see style.css.
_SHADES = 6


def outside(view: View) -> Section | None:
    """How the best setting's networks predict the rows of the folds that they didn't train on."""
    found = view.beside.predictions
    if found is None:
        words = "No outputs were kept, or the data weren't at hand, so there are no out-of-fold predictions to show."
        return Section("outside", "Out-of-fold predictions", tag("p", words)) if view.results.finished else None
    parts = (
        [_errors(found)] if found.task == "regression" else [_flags(found) if _is_flags(found) else _confusion(found)]
    )
    if found.probabilities is not None:
        parts.append(_calibration(found))
    return Section("outside", "Out-of-fold predictions", joined(parts))


def _is_flags(found: Predictions) -> bool:
    return found.task == "multilabel"


def _names(found: Predictions, count: int) -> list[str]:
    return list(map(str, found.classes)) if len(found.classes) == count else list(map(str, range(count)))


def _confusion(found: Predictions) -> Markup:
    """Counts of predicted classes by true class; of many classes the pairs that are mixed up most."""
    truth, guess = found.targets.astype(int).ravel(), found.predictions.astype(int).ravel()
    count = max(int(max(truth.max(), guess.max())) + 1, len(found.classes))
    counts = np.zeros((count, count), int)
    np.add.at(counts, (truth, guess), 1)
    names = _names(found, count)
    wrong = counts * (1 - np.eye(count, dtype=int))
    right = int(np.trace(counts))
    a, b = np.unravel_index(int(wrong.argmax()), wrong.shape)
    words = f"{right} of {len(truth)} rows are predicted rightly by {found.of}"
    if wrong.any():
        words += f"; the most frequent mistake is {names[b]} for {names[a]}, {wrong[a, b]} times"
    if count > _MOST_CLASSES:
        pairs = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
        rows = [(names[n // count], names[n % count], wrong.ravel()[n]) for n in pairs if wrong.ravel()[n]]
        return joined(
            [tag("p", f"{words}."), table(["true class", "predicted", "rows"], rows, "What is mixed up most")]
        )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.ceil(share * _SHADES).astype(int)
    head = tag("tr", tag("th", "true \\ predicted", scope="col"), *(tag("th", name, scope="col") for name in names))
    body = [
        tag(
            "tr",
            tag("th", names[row], scope="row"),
            *(tag("td", counts[row, col], class_=f"q{shades[row, col]}") for col in range(count)),
        )
        for row in range(count)
    ]
    caption = tag("caption", "Confusion: rows by true class, columns by predicted class; shades are shares of a row")
    shown = tag("table", caption, tag("thead", head), tag("tbody", *body), class_="confusion")
    return tag("figure", scrolling(shown, "Confusion"), tag("figcaption", f"{words}."))


def _flags(found: Predictions) -> Markup:
    """Counts of right and wrong flags for each label."""
    truth, guess = found.targets.astype(bool), found.predictions.astype(bool)
    names = _names(found, truth.shape[-1])
    numbers = [(truth & guess).sum(0), (~truth & guess).sum(0), (truth & ~guess).sum(0), (~truth & ~guess).sum(0)]
    rows = [(name, *(int(n[k]) for n in numbers)) for k, name in enumerate(names)]
    whole = int((truth == guess).all(axis=-1).sum())
    words = f"{whole} of {len(truth)} rows have all labels predicted rightly by {found.of}."
    names = ["label", "true positive", "false positive", "false negative", "true negative"]
    return joined([tag("p", words), table(names, rows, "Right and wrong flags of each label")])


def _errors(found: Predictions) -> Markup:
    """Predicted against true values."""
    count = len(found.targets)
    truth, guess = found.targets.reshape(count, -1), found.predictions.reshape(count, -1)
    some = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).astype(int))
    charts, words = [], []
    for k in range(min(truth.shape[1], _MOST_TARGETS)):
        name = _names(found, truth.shape[1])[k] if truth.shape[1] > 1 else "target"
        x, y = truth[:, k], guess[:, k]
        error = float(np.sqrt(np.mean((y - x) ** 2)))
        spread = float(((x - x.mean()) ** 2).sum())
        explained = f", R² {number(1 - float(((y - x) ** 2).sum()) / spread)}" if spread else ""
        words.append(f"{name}: root mean squared error {number(error)}{explained}")
        picture = Picture(3.4)
        ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        picture.axes.plot(ends, ends, color=GRID, lw=1, ls=(0, (4, 2)))
        titles = [f"row {n}: true {x[n]:.4g}, predicted {y[n]:.4g}" for n in some]
        picture.spots(x[some], y[some], titles, color=COLOURS[0], ms=3, alpha=0.6)
        picture.axes.set_xlabel("true value")
        picture.axes.set_ylabel("predicted value")
        picture.grid()
        charts.append(picture.svg(f"error{k}", f"Predicted against true values of {name}"))
    worst = np.argsort(-np.abs(guess - truth).max(axis=1), kind="stable")[:_MOST_ROWS]
    rows = [(n, *(f"{v:.4g}" for pair in zip(truth[n], guess[n], strict=True) for v in pair)) for n in worst]
    names = ["row", *(w for k in range(truth.shape[1]) for w in (f"true {k}", f"predicted {k}"))]
    names = ["row", "true", "predicted"] if truth.shape[1] == 1 else names
    shown = "" if len(some) == count else f" {len(some)} of {count} rows are drawn."
    caption = f"Out of fold, {'; '.join(words)}. On the dashed line predictions are right.{shown}"
    return figure(charts, caption, table(names, rows, f"The {len(rows)} rows with the largest errors"))


def _calibration(found: Predictions) -> Markup:
    """How often predictions are right beside how sure the networks are of them."""
    assert found.probabilities is not None
    if _is_flags(found):
        sure, right = found.probabilities.ravel(), found.targets.astype(bool).ravel()
        what = "share of labels that are there"
    else:
        sure = found.probabilities.max(axis=-1).ravel()
        right = (found.predictions == found.targets).ravel()
        what = "share predicted rightly"
    place = np.clip((sure * _BINS).astype(int), 0, _BINS - 1)
    counts = np.bincount(place, minlength=_BINS)
    there = np.flatnonzero(counts)
    mean = np.bincount(place, sure, _BINS)[there] / counts[there]
    share = np.bincount(place, right, _BINS)[there] / counts[there]
    error = float((counts[there] / counts.sum() * np.abs(mean - share)).sum())
    picture = Picture(3.2)
    picture.axes.plot([0, 1], [0, 1], color=GRID, lw=1, ls=(0, (4, 2)), label="as sure as right")
    picture.axes.plot(mean, share, color=COLOURS[0], lw=1.2)
    titles = [
        f"{n} predictions: sure by {m:.3f}, right {s:.3f}" for n, m, s in zip(counts[there], mean, share, strict=True)
    ]
    picture.spots(mean, share, titles, color=COLOURS[0])
    picture.axes.set_xlabel("mean predicted probability")
    picture.axes.set_ylabel(what)
    picture.axes.set_xlim(-0.02, 1.02)
    picture.axes.set_ylim(-0.02, 1.02)
    picture.grid()
    picture.legend(2)
    over = float((mean * counts[there]).sum() - (share * counts[there]).sum()) / counts.sum()
    lean = (
        "too sure of themselves" if over > 0.005 else "not sure enough" if over < -0.005 else "about as sure as right"
    )
    caption = (
        f"The networks are {lean}: predicted probabilities are off by {number(error)} on average over {_BINS} bins "
        "(expected calibration error, out of fold)."
    )
    rows = [
        (f"{p / _BINS:.1f} to {(p + 1) / _BINS:.1f}", int(counts[p]), number(m), number(s))
        for p, m, s in zip(there, mean, share, strict=True)
    ]
    data = table(["probability", "predictions", "mean probability", what], rows, "Calibration by bins")
    return figure([picture.svg("calibration", f"Calibration: {what} by predicted probability")], caption, data)
