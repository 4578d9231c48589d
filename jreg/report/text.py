"""Tables of text."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jreg._base.names import printable, qualified_name


def settings_table(rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Settings as a table, one line each, in the order given.

    Args:
      rows: what `jreg.results.table.settings` gives: hyperparameters, mean, standard_error, epochs and note.
      score: what the mean is of.

    >>> numbers = {"mean": 0.9, "standard_error": 0.01, "epochs": 5.0, "note": ""}
    >>> print(settings_table([{"hyperparameters": {"l2": 0.1}, **numbers}], "score"))
     l2    mean score   standard error   epochs
    ───────────────────────────────────────────────
     0.1       0.9000           0.0100      5.0
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    names = list(rows[0]["hyperparameters"]) if rows else []
    for name in names:
        table.add_column(printable(name))
    for name in (printable(f"mean {score}"), "standard error", "epochs"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        numbers = (f"{row['mean']:.4f}", f"{row['standard_error']:.4f}", f"{row['epochs']:.1f}")
        table.add_row(*(text(row["hyperparameters"][name]) for name in names), *numbers, row["note"])
    page = io.StringIO()
    # Brackets and colons in names and values are text.
    console = Console(file=page, width=200, color_system=None, markup=False, emoji=False, highlight=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def text(value: Any) -> str:
    """A hyperparameter's value in a table.

    >>> text(0.00031622776601683794), text("relu"), text(math.tanh)
    ('0.0003162', 'relu', 'math.tanh')
    """
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return printable(qualified_name(value) or str(value))
