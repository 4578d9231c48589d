"""The page: one HTML file that needs no network, whose own script and style are all that may run in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from jreg._base.files import write_text
from jreg._base.names import shown
from jreg.report.html.choices import choices, nested_verdict
from jreg.report.html.curves import curves
from jreg.report.html.folds import folds
from jreg.report.html.gap import gap
from jreg.report.html.markup import Markup, Section, joined, tag
from jreg.report.html.outside import outside
from jreg.report.html.parallel import parallel
from jreg.report.html.ran import ran
from jreg.report.html.settings import settings
from jreg.report.html.slots import slots
from jreg.report.html.strength import strength
from jreg.report.html.verdict import checks, verdict
from jreg.report.html.view import Beside, View
from jreg.report.html.weights import weights
from jreg.results import Results
from jreg.results.nested import NESTED

Part = Callable[[View], Section | None]

# In the order of the page.
PARTS: tuple[Part, ...] = (
    *(verdict, strength, folds, curves, gap, settings, outside, weights, parallel, checks, slots, ran),
)
# The best setting by all inner folds is nobody's choice, so nothing is shown of it.
NESTED_PARTS: tuple[Part, ...] = (nested_verdict, choices, outside, slots, ran)


def page(results: Results, beside: Beside | None = None) -> str:
    """A study as one HTML page that can be read anywhere.

    It needs no network and, but for sorting and highlighting, no script: pictures are SVG, and the numbers behind each
    are in a table. Whatever a name holds is text there. Parts without data are left out.

    Args:
      results: of a study of any kind, finished or not.
      beside: what there is beside them: the final network, out-of-fold predictions, the command.

    Returns:
      The text of the page.

    Raises:
      TypeError: they are no results.
    """
    if not isinstance(results, Results):
        raise TypeError(f"a report is of jreg.Results, such as study.results, and not of {shown(results)}")
    view = View(results, beside or Beside())
    parts = NESTED_PARTS if results.spec.policy.get("kind") == NESTED else PARTS
    sections = [found for part in parts if (found := part(view)) is not None]
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    name = results.spec.data
    head = joined(
        [
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            tag("title", f"{name}: jreg report"),
            Markup(f"<style>{style}</style>"),
        ]
    )
    links = [tag("li", tag("a", part.heading, href=f"#{part.key}")) for part in sections]
    body = joined(
        [
            tag("header", tag("h1", name), tag("p", _asked(results))),
            tag("nav", tag("ul", *links), aria_label="Parts of this report"),
            tag("main", *(_section(part) for part in sections)),
            tag("p", "", id="said", role="status", class_="unseen"),
            Markup(f"<script>{script}</script>"),
        ]
    )
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def write_page(results: Results, path: str | Path, beside: Beside | None = None) -> Path:
    """Writes `page` into a file, whole or not at all.

    Args:
      results: of a study.
      path: of the file, or of a folder, in which it becomes report.html.
      beside: as in `page`.

    Returns:
      The path of the file.

    Raises:
      OSError: it can't be written.
    """
    path = Path(path)
    path = path / "report.html" if path.is_dir() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page(results, beside))
    return path


def _section(part: Section) -> Markup:
    heading = tag("h2", part.heading, id=f"{part.key}-heading")
    return tag("section", heading, part.body, id=part.key, aria_labelledby=f"{part.key}-heading")


def _asked(results: Results) -> str:
    count, folds, seeds = results.shape
    outer = len(results.spec.numbered("outer"))
    words = [f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in ((count, "setting"), (folds, "fold"), (seeds, "seed"))]
    nested = f"{outer} outer folds, inside them " if outer else ""
    return f"A study of {nested}{' x '.join(words)}, ranked by {results.spec.score.label}."


def _asset(name: str) -> str:
    return resources.files("jreg.report.html").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
