"""Tables of text."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jreg._base.names import printable, qualified_name
from jreg.recipe import describe

# A note is broken into lines of at least this width where it would make a table too wide.
_LEAST_NOTE = 9


def settings_table(rows: Sequence[Mapping[str, Any]], heading: str = "", width: int = 60) -> str:
    """Settings as a table in the order given: one line each, with a column for each hyperparameter.

    Where these are too many for the width, a setting stands in lines of its own below its numbers.

    Args:
      rows: what `jreg.results.table.settings` gives: hyperparameters, mean, standard_error, epochs and note. Epochs
        may be None, and hyperparameters may be missing.
      heading: above the table.
      width: that no line exceeds; at least 60.

    >>> numbers = {"mean": 0.9, "standard_error": 0.01, "epochs": 5.0, "note": "best"}
    >>> print(settings_table([{"hyperparameters": {"l2": 0.1}, **numbers}], "val_accuracy"))
    val_accuracy
    l2     mean      SE  epochs
    ─────────────────────────────────
    0.1  0.9000  0.0100     5.0  best
    """
    names = list(dict.fromkeys(name for row in rows for name in row["hyperparameters"]))
    above = textwrap.wrap(printable(heading), width, break_on_hyphens=False)
    notes = max((len(row["note"]) for row in rows), default=0)
    lines = _printed(rows, names, 10_000)
    if max(map(len, lines)) - max(0, notes - _LEAST_NOTE) <= width:
        return "\n".join(above + _printed(rows, names, width))
    head, rule, *numbers = _printed(rows, (), width)
    lines = [head, rule]
    for line, row in zip(numbers, rows, strict=True):
        setting = printable(describe(row["hyperparameters"]))
        lines += [line, *textwrap.wrap(setting, width, initial_indent="  ", subsequent_indent="  ")]
    return "\n".join(above + lines)


def _printed(rows: Sequence[Mapping[str, Any]], names: Sequence[str], width: int) -> list[str]:
    """The lines of a table with a column for each of these hyperparameters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(printable(name), no_wrap=True)
    for name in ("mean", "SE", "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    means = [row["mean"] for row in rows]
    for row in rows:
        setting, epochs = row["hyperparameters"], row["epochs"]
        numbers = (number(row["mean"], means), error(row["standard_error"]), "" if epochs is None else f"{epochs:.1f}")
        table.add_row(*(text(setting[name]) if name in setting else "" for name in names), *numbers, row["note"])
    page = io.StringIO()
    # Brackets and colons in names and values are text.
    Console(file=page, width=width, color_system=None, markup=False, emoji=False, highlight=False).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def text(value: Any) -> str:
    """A hyperparameter's value in a table.

    >>> text(0.00031622776601683794), text("relu"), text(math.tanh)
    ('0.0003162', 'relu', 'math.tanh')
    """
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return printable(qualified_name(value) or str(value))


def number(value: float, beside: Sequence[float] = ()) -> str:
    """A score with four decimals, or with four significant digits where decimals don't fit its size.

    >>> number(0.9), number(0.0000123456), number(1234567.0), number(-0.0042, beside=[0.9])
    ('0.9000', '1.235e-05', '1.235e+06', '-0.0042')

    Args:
      value: what is shown.
      beside: further numbers of its column, which are shown alike.
    """
    largest = max((abs(one) for one in (value, *beside) if math.isfinite(one)), default=0)
    decimals = largest == 0 or (0.01 <= largest < 1000 and not 0 < abs(value) < 0.0005)
    return f"{value:.4f}" if decimals else f"{value:.4g}"


def error(value: float) -> str:
    """A standard error: as `number`, with two significant digits where it is small.

    >>> error(0.0123), error(0.000042), error(12345.0)
    ('0.0123', '4.2e-05', '1.234e+04')
    """
    return f"{value:.2g}" if 0 < value < 0.0005 else number(value, beside=[0.01])
