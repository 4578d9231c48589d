"""Tables of text."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jreg._base.names import qualified_name
from jreg.recipe import describe

# A note is broken into lines of at least this width where it would make a table too wide.
_LEAST_NOTE = 9
_LEAST_SETTING = 20


def settings_table(rows: Sequence[Mapping[str, Any]], heading: str = "", width: int = 60) -> str:
    """Settings as a table, one line each, in the order given.

    Where there are too many hyperparameters for a column each, they share one, in as many lines as they need.

    Args:
      rows: what `jreg.results.table.settings` gives: hyperparameters, mean, standard_error, epochs and note. A row
        without hyperparameters, mean or epochs has an empty place there.
      heading: above the table.
      width: that no line exceeds.

    >>> numbers = {"mean": 0.9, "standard_error": 0.01, "epochs": 5.0, "note": "best"}
    >>> print(settings_table([{"hyperparameters": {"l2": 0.1}, **numbers}], "val_accuracy"))
    val_accuracy
    l2     mean      SE  epochs
    ─────────────────────────────────
    0.1  0.9000  0.0100     5.0  best
    """
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, markup=False, emoji=False)
    table = _table(rows)
    needed = console.measure(table, options=console.options.update(width=10_000)).maximum
    notes = max((len(row["note"]) for row in rows), default=0)
    if needed - max(0, notes - _LEAST_NOTE) > width:
        table = _table(rows, gathered=True)
    console.print(table)
    lines = textwrap.wrap(heading, width, break_on_hyphens=False) + page.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: Sequence[Mapping[str, Any]], gathered: bool = False) -> Any:
    """A table of rich's, with a column for each hyperparameter or with one for all of them behind the numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row["hyperparameters"]))
    for name in () if gathered else names:
        table.add_column(name, no_wrap=True)
    for name in ("mean", "SE", "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    if gathered:
        table.add_column("setting", overflow="fold", min_width=_LEAST_SETTING)
    means = [row["mean"] for row in rows]
    for row in rows:
        setting, epochs = row["hyperparameters"], row["epochs"]
        numbers = (number(row["mean"], means), error(row["standard_error"]), "" if epochs is None else f"{epochs:.1f}")
        if gathered:
            table.add_row(*numbers, row["note"], describe(setting))
        else:
            table.add_row(*(text(setting[name]) if name in setting else "" for name in names), *numbers, row["note"])
    return table


def text(value: Any) -> str:
    """A hyperparameter's value in a table.

    >>> text(0.00031622776601683794), text("relu"), text(math.tanh)
    ('0.0003162', 'relu', 'math.tanh')
    """
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return qualified_name(value) or str(value)


def number(value: float, beside: Sequence[float] = ()) -> str:
    """A score with four decimals, or with four significant digits where decimals don't fit its size.

    >>> number(0.9), number(0.0000123456), number(1234567.0), number(-0.0042, beside=[0.9])
    ('0.9000', '1.235e-05', '1.235e+06', '-0.0042')

    Args:
      value: what is shown.
      beside: further numbers of its column, which are shown alike.
    """
    largest = max((abs(one) for one in (value, *beside) if math.isfinite(one)), default=0)
    return f"{value:.4f}" if largest == 0 or 0.01 <= largest < 1000 else f"{value:.4g}"


def error(value: float) -> str:
    """A standard error: as `number`, with two significant digits where it is small.

    >>> error(0.0123), error(0.000042), error(12345.0)
    ('0.0123', '4.2e-05', '1.234e+04')
    """
    return number(value, beside=[0.01]) if value >= 0.0005 or value == 0 or math.isnan(value) else f"{value:.2g}"
