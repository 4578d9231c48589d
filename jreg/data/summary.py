"""What is in a data set, as numbers and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jreg._base.names import cut, listed
from jreg._base.types import PyTree
from jreg.data._columns import quoted, some
from jreg.data.arrays import is_floating, is_tree
from jreg.data.arrays import parts as named_parts
from jreg.data.dataset import Dataset
from jreg.data.encoding import Encoder

_MOST_LINES = 40
# So few different whole numbers to predict may have been meant as labels.
_FEW_NUMBERS = 20


def summarize(data: Dataset) -> dict[str, Any]:
    """Sizes, ranges, missing values, and how many rows each class has.

    Returns:
      A dictionary of plain values: `name`, `task`, `rows`, `test_rows`, `bytes` of all examples, `missing` (how many
      values) and `missing_rows`; `shape` of an example, `dtype`, `least` and `most`, or where the examples are several
      arrays `parts`, a list with a dictionary of these for each; `targets`, a list with a dictionary for each class
      (its rows, or its labels where a row has several), label, number to predict or part; `features`, one for each
      feature where examples are rows of them; `weights` and `test_weights` with their range, `groups` and
      `test_groups` with their number and `notes` on what has been taken for what, if there are any.

    >>> summarize(Dataset([[0.0], [2.0], [3.0]], [0, 1, 1]))["targets"]
    [{'target': '0', 'rows': 1, 'test_rows': 0}, {'target': '1', 'rows': 2, 'test_rows': 0}]
    """
    x = _joined(data.x, data.x_test)
    parts: list[dict[str, Any]] = [{"part": name[2:], **_part(part)} for name, part in named_parts(x, "x")]
    holes = np.stack([_holes(part).any(axis=1) for part in jax.tree.leaves(x)])
    found = {
        "name": data.name,
        "task": data.task,
        "rows": len(data),
        "test_rows": holes.shape[1] - len(data),
        "bytes": sum(part.nbytes for part in jax.tree.leaves(x)),
        "missing": sum(part["missing"] for part in parts),
        "missing_rows": int(holes.any(axis=0).sum()),
        "targets": _targets(data),
        "features": _features(data, x) if not is_tree(x) and x.ndim == 2 else [],
    }
    if is_tree(x):
        found["parts"] = parts
    else:
        found |= {name: parts[0][name] for name in ("shape", "dtype", "least", "most")}
    if data.weights is not None:
        found["weights"] = _named(data.weights)
    if data.groups is not None:
        found["groups"] = len(np.unique(data.groups))
    if data.weights_test is not None:
        found["test_weights"] = _named(data.weights_test)
    if data.groups_test is not None:
        found["test_groups"] = len(np.unique(data.groups_test))
    if notes := notes_on(data):
        found["notes"] = notes
    return found


def notes_on(data: Dataset) -> list[str]:
    """Sentences on targets that might have been meant otherwise than they are read.

    >>> notes_on(Dataset([[0.0], [2.0], [3.0], [1.0]], [1.0, 2.0, 2.0, 1.0]))  # doctest: +ELLIPSIS
    ["its targets 1, 2 are numbers to predict: task='classification' (--task classification) makes them labels"]
    """
    y = _joined(data.y, data.y_test)
    found = []
    if data.groups is not None and data.groups_test is not None:
        groups = np.unique(data.groups_test)
        if shared := int(np.isin(groups, data.groups).sum()):
            found.append(
                f"{shared} of the {len(groups)} groups of test rows have training rows too, so that the test says less "
                "about new groups"
            )
    if is_tree(y):
        return found
    encoder, values = data.encoder, np.unique(y)
    if encoder is not None:
        found += _of_table(encoder)
    few = y.ndim == 1 and len(values) <= min(_FEW_NUMBERS, len(y) / 2)
    if data.task == "regression" and few and np.array_equal(values, np.round(values)):
        shown = ", ".join(f"{value:g}" for value in values)
        found.append(
            f"its targets {shown} are numbers to predict: task='classification' (--task classification) makes them "
            "labels"
        )
    if data.task == "classification" and encoder is not None and encoder.target is not None:
        if not any(isinstance(label, str) for label in encoder.labels):
            found.append(
                f"the numbers {some(encoder.labels)} of {encoder.target!r} are class labels: task='regression' (--task "
                "regression) predicts them"
            )
    elif data.task == "classification" and not data.labels and _FEW_NUMBERS < 2 * len(values) < data.classes:
        found.append(
            f"only {len(values)} of the {data.classes} classes up to {values[-1]} have rows: task='regression' (--task "
            "regression) predicts them as numbers"
        )
    elif data.task == "classification" and not data.labels and values[0] > 0:
        found.append(f"its labels begin at {values[0]}, so that no row has the classes below: they count from 0")
    if data.task == "multilabel" and y.ndim == 2 and y.shape[1] > 1 and (y.sum(axis=1) == 1).all():
        found.append("every row has one label: where they are one-hot classes, give class numbers, y.argmax(-1)")
    return found


def _of_table(encoder: Encoder) -> list[str]:
    found = []
    if encoder.delimiter is not None:
        sign = encoder.delimiter
        found.append(f"its columns are separated by {sign!r}: delimiter=... (--delimiter) says it otherwise")
    shifted = [(name, by) for name, by in zip(encoder.columns, encoder.offsets, strict=False) if by]
    if shifted:
        each = listed([f"{quoted(name)} by {by:.15g}" for name, by in shifted], 8)
        found.append(f"what lies far from 0 beside its spread is shifted, so that float32 keeps it: {each}")
    return found


def in_short(data: Dataset) -> list[str]:
    """The data in a line, and the notes on it.

    >>> in_short(Dataset([[0.0], [2.0]], [0, 1], name="two"))
    ['two: 2 rows, no test set, classification into 2 classes']
    """
    test = "no test set" if data.y_test is None else f"{len(jax.tree.leaves(data.y_test)[0])} for the test"
    kind = data.task
    if not is_tree(data.y):
        named = f": {listed([cut(label, 40) for label in data.labels], 8)}" if data.labels else ""
        values = len(np.unique(_joined(data.y, data.y_test)))
        kind = {
            "classification": f"classification into {data.classes} classes{named}",
            "multilabel": f"multilabel with {data.classes} labels{named}",
            "regression": f"regression: {values} distinct values",
        }[data.task]
    if data.encoder is not None and data.encoder.target is not None:
        kind += f" (target {quoted(data.encoder.target)})"
    groups = "" if data.groups is None else f" in {len(np.unique(data.groups))} groups"
    weighted = "" if data.weights is None else ", weighted"
    return [f"{data.name}: {len(data)} rows{groups}{weighted}, {test}, {kind}", *notes_on(data)]


def _joined(own: PyTree, test: PyTree | None) -> PyTree:
    return own if test is None else jax.tree.map(lambda *both: np.concatenate(both), own, test)


def _holes(array: np.ndarray) -> np.ndarray:
    """What is missing, one row per example."""
    return np.isnan(array).reshape(len(array), -1) if is_floating(array) else np.zeros((len(array), 1), bool)


def _part(array: np.ndarray) -> dict[str, Any]:
    least, _, most = _range(array)
    return {
        "shape": list(array.shape[1:]),
        "dtype": str(array.dtype),
        "least": least,
        "most": most,
        "missing": int(_holes(array).sum()),
    }


def _range(values: np.ndarray) -> tuple[float, float, float]:
    known = values[~np.isnan(values)].astype(np.float64) if is_floating(values) else values
    if known.size == 0:
        return np.nan, np.nan, np.nan
    return float(known.min()), float(known.mean()), float(known.max())


def _targets(data: Dataset) -> list[dict[str, Any]]:
    y = _joined(data.y, data.y_test)
    if is_tree(y):
        found = [(name[2:], part) for name, part in named_parts(y, "y")]
        return [{"target": name, "shape": list(p.shape[1:]), "dtype": str(p.dtype), **_named(p)} for name, p in found]
    if data.task == "regression":
        names = [",".join(map(str, place)) or "0" for place in np.ndindex(*y.shape[1:])]
        columns = y.reshape(len(y), -1).T
        return [{"target": name, **_named(column)} for name, column in zip(names, columns, strict=True)]
    names = data.labels or [str(number) for number in range(data.classes)]
    both = (data.y, y[len(data) :])
    if data.task == "multilabel":
        rows, test_rows = (part.reshape(-1, data.classes).sum(axis=0) for part in both)
    else:
        rows, test_rows = (np.bincount(part.reshape(-1), minlength=data.classes) for part in both)
    of = "labels" if y.ndim > (2 if data.task == "multilabel" else 1) else "rows"
    counts = zip(names, rows, test_rows, strict=False)
    return [{"target": name, of: int(some), f"test_{of}": int(others)} for name, some, others in counts]


def _named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(("least", "mean", "most"), _range(values), strict=True))


def _features(data: Dataset, x: np.ndarray) -> list[dict[str, Any]]:
    names = data.features or [str(number) for number in range(x.shape[1])]
    columns = zip(names, x.T, strict=True)
    return [{"feature": name, **_named(column), "missing": int(_holes(column).sum())} for name, column in columns]


def to_text(found: dict[str, Any]) -> str:
    """What `summarize` found, as lines of text.

    >>> print(to_text(summarize(Dataset([[0.0], [2.0]], [0, 1], name="two"))).partition("examples")[0].rstrip())
    two: classification
    rows       2, no test set
    """
    test = f"{found['test_rows']} for the test" if found["test_rows"] else "no test set"
    missing = f"{found['missing']} in {found['missing_rows']} rows" if found["missing"] else "none"
    parts = found.get("parts", [])
    if parts:
        examples = f"{len(parts)} parts"
    else:
        examples = f"{_text(found['shape'])} {found['dtype']}, {found['least']:g} to {found['most']:g}"
    lines = [
        f"{found['name']}: {found['task']}",
        f"rows       {found['rows']}, {test}",
        f"examples   {examples}, {found['bytes'] / 1e6:.3g} MB",
        f"missing    {missing}",
    ]
    for end, of in (("weights", ""), ("test_weights", " of test rows")):
        if weights := found.get(end):
            lines.append(f"weights    {weights['least']:g} to {weights['most']:g}, mean {weights['mean']:g}{of}")
    for end, of in (("groups", ""), ("test_groups", " of test rows")):
        if end in found:
            lines.append(f"groups     {found[end]}{of}")
    lines += [f"note       {note}" for note in found.get("notes", ())]
    for table in (parts, found["targets"], found["features"]):
        if table:
            lines += ["", *_aligned(table)]
    return "\n".join(lines)


def _aligned(table: Sequence[dict[str, Any]]) -> list[str]:
    shown = [[_text(value) for value in row.values()] for row in table[:_MOST_LINES]]
    rows = [[name.replace("_", " ") for name in table[0]], *shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return [*lines, f"and {len(table) - _MOST_LINES} more"] if len(table) > _MOST_LINES else lines


def _text(value: Any) -> str:
    if isinstance(value, list):
        return str(tuple(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
