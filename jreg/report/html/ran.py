"""What was run, so that it can be run again."""

from __future__ import annotations

from typing import Any

from jreg._base.names import listed
from jreg.report.html.markup import Markup, Section, table, tag
from jreg.report.html.view import View
from jreg.training import STATUS


def ran(view: View) -> Section:
    """Command, data, folds, seeds, options, versions and time."""
    rows = [(name, value) for name, value in _rows(view) if value not in (None, "")]
    return Section("ran", "What was run", table(["what", "value"], rows, "What was asked, and what it took"))


def _rows(view: View) -> list[tuple[str, Any]]:
    spec, results, timing = view.spec, view.results, view.results.timing
    folds, asked = spec.numbered(), spec.numbered("outer")
    counted = {word: int((results.status == n).sum()) for n, word in enumerate(STATUS)}
    stopping = None
    if spec.stopping is not None:
        watched = f" of {spec.stopping.monitor}" if getattr(spec.stopping, "monitor", None) else ""
        stopping = f"patience {spec.stopping.patience}{watched}"
    final = view.beside.final
    ran = (
        f"{timing.run_seconds:.1f} s after {timing.compile_seconds:.1f} s of compilation, on {timing.layout}; "
        f"occupancy {timing.occupancy:.0%}"
    )
    return [
        ("command", tag("code", view.beside.command) if view.beside.command else None),
        ("data", f"{spec.data}: {spec.rows} rows that aren't for the test, {spec.task}"),
        ("data's fingerprint", _code(spec.fingerprint)),
        ("study's fingerprint", _code(spec.digest)),
        ("settings", f"{len(spec.settings)}: {', '.join(spec.space.axes)}"),
        ("folds", f"{len(folds)}{f' inside {len(asked)} outer ones' if asked else ''}"),
        ("seeds", f"{len(spec.seeds)}: {listed(spec.seeds)}"),
        ("score", f"{view.score}, {'higher' if results.maximize else 'lower'} is better"),
        ("epochs", f"{spec.epochs} at most" if stopping else spec.epochs),
        ("batch size", spec.batch_size),
        ("early stopping", stopping or "none"),
        ("rows set aside to stop on", None if spec.validation_fraction is None else f"{spec.validation_fraction:.0%}"),
        ("search", spec.policy.get("kind")),
        ("kept of each training", listed(spec.keep) if spec.keep else None),
        ("trainings", ", ".join(f"{count} {word}" for word, count in counted.items() if count)),
        ("final network", None if final is None else f"trained for {final.epochs} epochs"),
        ("time", ran if timing.executed else None),
        ("versions", ", ".join(f"{name} {version}" for name, version in spec.versions.items())),
    ]


def _code(value: str) -> Markup | None:
    return tag("code", value) if value else None
