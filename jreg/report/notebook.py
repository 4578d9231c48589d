"""What a notebook shows: a study that trains as a table that renews itself, and one that has ended with its picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jreg.recipe import describe
from jreg.report.pictures import scores
from jreg.results import Results
from jreg.results.nested import NESTED
from jreg.results.notebook import as_html, rows_of, score, text

# With more settings drawing takes longer than anybody wants to wait for a cell.
_MOST_DRAWN = 1000


def live(line: str, done: int, total: int, label: str, leaders: Sequence[tuple[Mapping[str, Any], float]] = ()) -> str:
    """Where a study stands as HTML: a bar, a line and the best settings so far.

    Args:
      line: the progress in words.
      done: trainings that have ended.
      total: trainings in all; 0 where that says nothing.
      label: of the score.
      leaders: hyperparameters and mean scores, the best first.

    >>> live("refitting", 0, 0, "val_accuracy")
    '<div><p>refitting</p></div>'
    """
    bar = f'<progress value="{done:d}" max="{total:d}"></progress> ' if total else ""
    rows = [(describe(setting), score(mean)) for setting, mean in leaders]
    best = rows_of(["best so far", label], rows) if rows else ""
    return f"<div><p>{bar}{text(line)}</p>{best}</div>"


def study_html(results: Results) -> str:
    """Verdict, ranking and the picture of the scores as HTML, which needs nothing from elsewhere."""
    nested = results.spec.policy.get("kind") == NESTED
    if nested or not results.finished or not 1 < len(results.settings) <= _MOST_DRAWN:
        return as_html(results)
    picture = io.BytesIO()
    scores(results).savefig(picture, format="png")
    data = base64.b64encode(picture.getvalue()).decode()
    drawn = f"Scores of {len(results.settings)} settings with standard errors; the table has the best of them"
    return f'{as_html(results)}<img style="max-width: 100%" alt="{text(drawn)}" src="data:image/png;base64,{data}">'
