"""``jreg report``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import tyro

import jreg
from jreg import report as pages
from jreg._base.files import check_folder
from jreg._base.names import cut
from jreg.cli.data import NOTHING, Switch, load_noted
from jreg.cli.output import say
from jreg.cli.studies import FINAL, NOTE, REPORT, begun_with
from jreg.data import Dataset
from jreg.network import Network
from jreg.results import Results
from jreg.store import load_note
from jreg.study.fingerprints import of_data
from jreg.study.reporting import beside, kept

# What is read from elsewhere is not fetched for a report.
_FETCHED = ("mnist",)


def report(
    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]],
    /,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html", **NOTHING)] = None,
    shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="HEIGHT WIDTH", **NOTHING)] = (),
    traceback: Switch = False,
) -> None:
    """Writes a study as one HTML page that needs no network, report.html in its folder.

    Nothing in the folder is run. Out-of-fold predictions are shown where outputs were kept and the data are at hand.

    Args:
      run: the folder of a study, finished or not.
      out: where to; by default report.html in that folder.
      shape: what flat examples are images of, such as 8 8, so that weights are drawn as such; digits are known.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    if out == Path():
        raise ValueError("--out is empty, but must be the path of a file, such as report.html")
    if not run.is_dir():
        raise FileNotFoundError(f"there is no folder {run}: jreg report takes the folder of a study")
    results = jreg.load_results(run)
    path = run / REPORT if out is None else out
    check_folder(path.parent)
    final, note = _final(run), load_note(run, NOTE)
    data = _data(note, run, results)
    found = kept(results, data, final.link) if data is not None and final is not None else None
    more = beside(results, data, found, final, begun_with(note), shape)
    say(f"the report is in {pages.write_page(results, path, more)}")


def _final(run: Path) -> Network | None:
    """The final network, where there is one that can be loaded without code."""
    place = run / FINAL
    if not place.is_dir() or not place.resolve().is_relative_to(run.resolve()):
        return None
    try:
        found = jreg.load(place)
    except (ValueError, OSError) as error:
        say(f"jreg: the report has no final network: {cut(str(error))}", aside=True)
        return None
    return found if isinstance(found, Network) else None


def _data(note: Any, run: Path, results: Results) -> Dataset | None:
    """The data that the study trained on, where they are at hand and still the same."""
    name = note.get("data") if isinstance(note, dict) else None
    if not isinstance(name, str) or name in _FETCHED or name.startswith("openml:"):
        return None
    with contextlib.suppress(ValueError, TypeError, KeyError, OSError):
        data = load_noted(note, run, None, None)
        return data if of_data(data) == results.spec.fingerprint else None
    return None
