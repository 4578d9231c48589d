"""A nested study as text: the honest estimate beside the naive one, and what each outer fold chose."""

from __future__ import annotations

import textwrap

import numpy as np

from jreg._base.names import printable
from jreg.recipe import describe
from jreg.report.text import error, number
from jreg.results import Estimate, Results

_INDENT = " " * 11


def nested(results: Results, width: int = 60) -> str:
    """The two estimates, and by outer fold the choice and its inner and outer score; no line exceeds `width`.

    Raises:
      ValueError: they are no results of a nested study.
    """
    found, spec = results.nested, results.spec
    outer, seeds = found.scores.shape
    over = f"{outer} outer fold{'' if outer == 1 else 's'}, {seeds} seed{'' if seeds == 1 else 's'}"
    lines = textwrap.wrap(f"{printable(spec.score.label)}: mean and standard error over {over}", width)
    if not found.finished:
        lines += textwrap.wrap(f"there is no estimate: {found.trouble}", width)
    else:
        lines += [
            *_line("honest", _number(found.estimate), "chosen settings on rows that had no part in the choice", width),
            *_line("naive", _number(found.naive), "the same settings on the inner folds that chose them", width),
            *_line("optimism", _number(found.optimism), _words(found.optimism), width),
        ]
    for setting, count in found.stability:
        lines += _line("chosen", f"{count} of {outer}", describe(setting), width)
    lines += ["", "fold    inner    outer  epochs  chosen setting"]
    scores, epochs = found.scores.mean(axis=1), found.epochs.mean(axis=1)
    shown = [*scores.tolist(), *(choice.mean for choice in found.choices if choice is not None)]
    for k, choice in enumerate(found.choices):
        if choice is None:
            lines.append(f"{k:4}  nothing chosen")
            continue
        numbers = f"{k:4} {number(choice.mean, shown):>8} {number(scores[k], shown):>8} {epochs[k]:7.1f}  "
        setting = printable(describe(choice.hyperparameters))
        lines += textwrap.wrap(
            numbers + setting, width, subsequent_indent="  ", drop_whitespace=True, break_on_hyphens=False
        )
    return "\n".join(line.rstrip() for line in lines)


def _number(found: Estimate) -> str:
    return f"{number(found.mean)} +- {error(found.standard_error)}"


def _words(found: Estimate) -> str:
    if not np.isfinite(found.mean):
        return "an outer training has no score"
    return "by which the naive one is better" if found.mean > 0 else "the naive one is no better"


def _line(name: str, value: str, words: str, width: int) -> list[str]:
    return textwrap.wrap(
        f"{name + ':':10} {value}, {printable(words)}", width, subsequent_indent=_INDENT, break_on_hyphens=False
    )
