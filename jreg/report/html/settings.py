"""The table of settings, which can be sorted, and where a setting is picked to be seen in all charts."""

from __future__ import annotations

import numpy as np

from jreg.report.html.markup import Section, joined, scrolling, tag
from jreg.report.html.view import View
from jreg.report.text import error, number, text
from jreg.results import selection, table


def settings(view: View) -> Section:
    """One row per setting, from the best mean to the worst."""
    results, spec = view.results, view.spec
    shown = view.shown
    rows = dict(zip(selection.order(results)[: len(shown)].tolist(), table.settings(results, len(shown)), strict=False))
    means, errors = selection.means(results)
    names = ["setting", *view.varied, f"mean {view.score}", "standard error", "epochs", "note"]
    head = [tag("th", tag("button", name, type="button", disabled=""), scope="col", data_sort="") for name in names]
    body = []
    for place in shown:
        row = rows.get(place, {"epochs": float(results.epochs[place].mean()), "note": selection.note(results, place)})
        given = (text(spec.settings[place][name]) for name in view.varied)
        mean = number(means[place]) if np.isfinite(means[place]) else ""
        spread = error(errors[place]) if np.isfinite(errors[place]) else ""
        cells = (*given, mean, spread, f"{row['epochs']:.1f}", row["note"])
        pick = tag("button", place, type="button", disabled="", aria_pressed="false", title="show in all charts")
        body.append(tag("tr", tag("th", pick, scope="row"), *(tag("td", cell) for cell in cells), data_s=place))
    caption = f"{view.score} of {len(shown)} settings, mean over folds and seeds"
    if len(shown) < len(spec.settings):
        caption += f"; {len(spec.settings) - len(shown)} more are in settings.csv"
    same = {name: values[0] for name, values in spec.space.axes.items() if len(values) == 1}
    alike = "In all settings: " + ", ".join(f"{name} = {text(value)}" for name, value in same.items()) + "."
    whole = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body), id="settings-table"
    )
    how = tag("p", "The heads of the columns sort; a setting's number shows it in all charts.", class_="js-only")
    parts = [tag("p", alike)] if same and view.varied else []
    return Section("settings", "Settings", joined([*parts, how, scrolling(whole, caption)]))
