"""A nested study: the honest estimate beside the naive one, and what each outer fold chose."""

from __future__ import annotations

import numpy as np

from jreg.recipe import describe
from jreg.report.canvas import COLOURS
from jreg.report.html.charts import GRID, Picture, short
from jreg.report.html.markup import Section, figure, joined, paragraphs, table, tag
from jreg.report.html.view import View, plus_minus
from jreg.report.ranked import paired_interval
from jreg.report.text import number


def nested_verdict(view: View) -> Section:
    """What the whole procedure is worth, and by how much the naive number flatters it."""
    found = view.results.nested
    if not found.finished:
        words = joined([tag("strong", "There is no estimate yet: "), f"{found.trouble}."])
        return Section("verdict", "Verdict", paragraphs(words))
    estimate, naive, optimism = found.estimate, found.naive, found.optimism
    outer, seeds = found.scores.shape
    mean, width = paired_interval(estimate.scores.mean(axis=1)[None])
    certain = f", 95% interval {number(mean[0] - width[0])} to {number(mean[0] + width[0])}" if outer > 1 else ""
    first = joined(
        [
            "Trained as it was here, the choice of a setting included, a network has an honest ",
            tag("strong", f"{view.score} of {number(estimate.mean)}"),
            f"{certain} (mean over {outer} outer folds, {seeds} seed{'' if seeds == 1 else 's'}).",
        ]
    )
    flatters = "flatters by" if optimism.mean > 0 else "doesn't flatter: the difference is"
    lines = [
        f"The naive number, of the same settings on the inner folds that chose them, is "
        f"{plus_minus(naive.mean, naive.standard_error)}; it {flatters} "
        f"{plus_minus(optimism.mean, optimism.standard_error)}.",
        *(f"{count} of {outer} outer folds chose {describe(setting)}." for setting, count in found.stability),
    ]
    return Section("verdict", "Verdict", joined([tag("p", first), tag("ul", *(tag("li", line) for line in lines))]))


def choices(view: View) -> Section | None:
    """By outer fold the choice, its inner and its outer score."""
    found = view.results.nested
    chosen = [(k, choice) for k, choice in enumerate(found.choices) if choice is not None]
    if not chosen:
        return None
    outer = found.scores.mean(axis=1)
    at = np.arange(len(chosen))
    inner = np.array([choice.mean for _, choice in chosen])
    honest = np.array([outer[k] for k, _ in chosen])
    picture = Picture(3.0)
    axes = picture.axes
    axes.vlines(at, inner, honest, color=GRID, lw=2, zorder=1)
    for place, (scores, label) in enumerate(((honest, "outer: honest"), (inner, "inner: naive"))):
        titles = [f"outer fold {k}, {label}: {number(s)}" for (k, _), s in zip(chosen, scores, strict=True)]
        picture.spots(at, scores, titles, color=COLOURS[place], marker="os"[place], label=label)
    axes.set_xticks(at, [str(k) for k, _ in chosen])
    axes.set_xlabel("outer fold")
    axes.set_ylabel(short(view.score, 32))
    picture.grid("y")
    picture.legend(2)
    epochs = found.epochs.mean(axis=1)
    rows = [
        (k, describe(choice.hyperparameters), number(choice.mean), number(outer[k]), f"{epochs[k]:.1f}")
        for k, choice in chosen
    ]
    better = int(((inner - honest) * (1 if view.results.maximize else -1) > 0).sum())
    caption = f"In {better} of {len(chosen)} outer folds the inner score, which made the choice, is the better one."
    data = table(["outer fold", "chosen setting", "inner", "outer", "epochs"], rows, "What each outer fold chose")
    chart = picture.svg("choices", f"Inner and outer {view.score} of each outer fold's choice")
    return Section("choices", "What each outer fold chose", figure([chart], caption, data))
