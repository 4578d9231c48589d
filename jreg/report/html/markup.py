"""HTML made of parts, in which every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

from jreg._base.names import printable


class Markup(str):
    """Text that is markup already, and so isn't escaped again."""

    __slots__ = ()


class Section(NamedTuple):
    """A part of the page.

    Attributes:
      key: its id.
      heading: above it.
      body: below that.
    """

    key: str
    heading: str
    body: Markup


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element; what isn't `Markup` is escaped, attributes that are None are left out.

    >>> tag("p", "1 < 2 ", tag("b", "&"), class_="note", title='"')
    '<p class="note" title="&quot;">1 &lt; 2 <b>&amp;</b></p>'
    """
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    given = "".join(f' {key}="{_safe(value)}"' for key, value in named)
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: Iterable[Any]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else _safe(part) for part in parts))


def _safe(value: Any) -> str:
    return escape(printable(str(value), lines=True))


def table(names: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str, **attributes: Any) -> Markup:
    """A table in a box that scrolls, whose first column names the rows."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    body = tag("tbody", *(tag("tr", tag("th", row[0], scope="row"), *(tag("td", v) for v in row[1:])) for row in rows))
    return scrolling(tag("table", tag("caption", caption), head, body, **attributes), caption)


def scrolling(inside: Markup, label: str) -> Markup:
    """What may be wider than a narrow screen, in a box that scrolls, also by the keyboard."""
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=label)


def figure(charts: Iterable[Markup], caption: Any, data: Markup) -> Markup:
    """Charts with what they show in a sentence, and their numbers below."""
    drawn = list(charts)
    shown = tag("div", *drawn, class_="charts")
    details = tag("details", tag("summary", "The numbers of this chart"), data)
    one = "single" if len(drawn) == 1 else None
    return tag("figure", shown, tag("figcaption", tag("p", caption), details), class_=one)


def paragraphs(*texts: Any) -> Markup:
    """A paragraph for each text."""
    return joined(tag("p", text) for text in texts if text)
