"""Results on disk: JSON and CSV, each file written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.files import write_text


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN becomes None, infinity text, and what is neither number nor text its repr.

    >>> plain({"l2": np.float32(0.5), "c": float("inf"), "scores": [float("nan")]})
    {'l2': 0.5, 'c': 'inf', 'scores': [None]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def write(
    folder: str | Path,
    results: Mapping[str, Any],
    settings: Sequence[Mapping[str, Any]],
    trainings: Sequence[Mapping[str, Any]],
    curves: Iterable[Mapping[str, Any]],
) -> Path:
    """Writes results.json, settings.csv, trainings.csv and curves.csv into a folder, made if need be.

    Raises:
      OSError: the folder can't be written.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / "results.json", to_text(results))
    for name, rows in (("settings", settings), ("trainings", trainings), ("curves", curves)):
        write_text(path / f"{name}.csv", _csv(list(rows)))
    return path


def to_text(results: Mapping[str, Any]) -> str:
    """Results as indented JSON."""
    return json.dumps(plain(results), indent=1, allow_nan=False) + "\n"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
