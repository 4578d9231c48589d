"""Results as a table of HTML, which a notebook shows in place of their repr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from jreg._base.names import printable, qualified_name
from jreg.recipe import describe
from jreg.results import selection, table
from jreg.results.nested import NESTED

if TYPE_CHECKING:
    from jreg.results.results import Results

# Settings that are shown; `Study.table` has all.
_MOST = 10


def as_html(results: Results) -> str:
    """What was asked, which setting won and how sure that is, and the best ten settings; every name is escaped.

    Of a nested study the honest and the naive estimate, and by outer fold what was chosen.
    """
    # The best setting of a nested study by all inner folds is nobody's choice.
    is_nested = results.spec.policy.get("kind") == NESTED
    lines = [f"<b>{text(repr(results))}</b>", *(_estimates(results) if is_nested else _verdict(results))]
    ranking = _choices(results) if is_nested else _ranking(results) if results.finished else ""
    return f"<div>{''.join(f'<p>{line}</p>' for line in lines)}{ranking}</div>"


def rows_of(head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """A table of cells; all of them are shown as text.

    >>> rows_of(["<l2>"], [[0.1]])
    '<table><thead><tr><th scope="col">&lt;l2&gt;</th></tr></thead><tbody><tr><td>0.1</td></tr></tbody></table>'
    """
    above = f"<caption>{text(caption)}</caption>" if caption else ""
    names = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    cells = ("".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table>{above}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def text(value: Any) -> str:
    """A value as text of a page, in which nothing is a tag and nothing a command to a terminal.

    >>> text("</script><img onerror=x>"), text(3.16227766e-4), text(math.tanh)
    ('&lt;/script&gt;&lt;img onerror=x&gt;', '0.0003162', 'math.tanh')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(printable(value if isinstance(value, str) else qualified_name(value) or str(value)))


def score(value: float) -> str:
    """A score, of which a column's have equally many digits: 0.9700 and not 0.97."""
    return f"{value:#.4g}" if math.isfinite(value) else "no score"


def _verdict(results: Results) -> list[str]:
    spec, (_, folds, seeds) = results.spec, results.shape
    if not results.finished:
        return ["No setting has all its scores yet."]
    best, simple = results.best, results.one_standard_error
    over = f"{selection.in_repeats(folds, spec.repeat_count)}, {seeds} seed{'' if seeds == 1 else 's'}"
    lines = [
        f"Best: <b>{text(describe(best.hyperparameters))}</b>, {text(spec.score.label)} {_mean(best)} over {over}."
    ]
    if spec.space.strength_order:
        same = simple.number == best.number
        named = "the same setting" if same else f"<b>{text(describe(simple.hyperparameters))}</b>, {_mean(simple)}"
        lines.append(f"The most regularized setting within one standard error of it: {named}.")
    if results.baseline is not None:
        lines.append(f"Baseline, {text(results.baseline.name)}: {_mean(results.baseline)}.")
    return lines


def _estimates(results: Results) -> list[str]:
    nested, label = results.nested, text(results.spec.score.label)
    if not nested.finished:
        return [f"There is no estimate yet: {text(nested.trouble)}."]
    optimism = nested.optimism.mean
    flatters = f", which flatters by {_mean(nested.optimism)}" if optimism > 0 else ""
    return [f"Honest estimate of {label}: <b>{_mean(nested.estimate)}</b>; naive one: {_mean(nested.naive)}{flatters}."]


def _choices(results: Results) -> str:
    """What each outer fold has chosen, and how good that was inside and outside."""
    nested = results.nested
    names = [name for name, values in results.spec.space.axes.items() if len(values) > 1]
    outer = nested.scores.mean(axis=1).tolist()
    rows = [
        [fold, *(choice.hyperparameters[name] for name in names), score(choice.mean), score(outer[fold])]
        for fold, choice in enumerate(nested.choices)
        if choice is not None
    ]
    caption = f"What each outer fold chose, and its {results.spec.score.label} on the inner folds and on the outer one"
    return rows_of(["outer fold", *names, "inner", "outer"], rows, caption) if rows else ""


def _mean(found: Any) -> str:
    error = f" ± {found.standard_error:#.2g}" if math.isfinite(found.standard_error) else ""
    return f"{score(found.mean)}{error}"


def _ranking(results: Results) -> str:
    names = [name for name, values in results.spec.space.axes.items() if len(values) > 1]
    found, rows = table.settings(results, _MOST), []
    for row in found:
        error = f"{row['standard_error']:#.2g}" if math.isfinite(row["standard_error"]) else ""
        values = (row["hyperparameters"].get(name, "") for name in names)
        rows.append([*values, score(row["mean"]), error, f"{row['epochs']:.1f}", row["note"]])
    better = "higher" if results.maximize else "lower"
    caption = (
        f"The best {len(found)} of {len(results.settings)} settings by {results.spec.score.label}, {better} is better"
    )
    return rows_of([*names, "mean", "standard error", "epochs", "note"], rows, caption)
