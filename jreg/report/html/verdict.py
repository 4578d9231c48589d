"""The answer in a sentence, with its interval, and what it can't be told from."""

from __future__ import annotations

import numpy as np

from jreg._base.names import listed
from jreg.network import Network
from jreg.recipe import describe
from jreg.report.html.markup import Markup, Section, joined, paragraphs, tag
from jreg.report.html.view import View, plus_minus
from jreg.report.ranked import paired_interval
from jreg.report.summary import gain, over
from jreg.report.text import number
from jreg.results import SettingResult, indistinguishable, selection
from jreg.training import Status

_MOST_NAMED = 5


def verdict(view: View) -> Section:
    """What the study says, or why it says nothing yet."""
    results = view.results
    ended = int(np.isin(results.status, (Status.WAITING, Status.RUNNING), invert=True).sum())
    left = results.status.size - ended
    lines: list[object] = []
    if results.finished:
        lines += _best(view)
    else:
        lines.append(tag("strong", "There is no verdict yet. "))
        try:
            selection.check_finished(results)
        except ValueError as error:
            lines.append(str(error)[:1].upper() + str(error)[1:] + ".")
        else:
            lines.append("All settings have diverged.")
    if left:
        lines.append(f"{left} of {results.status.size} trainings are missing, so this is how far the study has come.")
    if pruned := int((results.status == Status.PRUNED).sum()):
        lines.append(f"{pruned} of {results.status.size} trainings were given up early; their settings rank last.")
    return Section("verdict", "Verdict", joined([paragraphs(lines[0]), _list(lines[1:])]))


def _list(lines: list[object]) -> Markup:
    return tag("ul", *(tag("li", line) for line in lines)) if lines else Markup("")


def interval(view: View, result: SettingResult) -> str:
    """The 95% interval of a setting's mean score over folds, in words; "" with one fold."""
    scores = result.scores.mean(axis=1)[None]
    mean, width = paired_interval(scores, view.spec.repeats)
    return f"{number(mean[0] - width[0])} to {number(mean[0] + width[0])}" if np.isfinite(width[0]) else ""


def _best(view: View) -> list[object]:
    results, best, simple = view.results, view.results.best, view.results.one_standard_error
    total, found = len(view.spec.settings), interval(view, best)
    certain = f", 95% interval {found}" if found else ""
    among = f"The best of {total} settings is " if total > 1 else "The only setting is "
    means = f", with {view.score} {number(best.mean)}{certain} (mean over {over(results)})."
    lines: list[object] = [joined([among, tag("strong", view.setting(best.number)), means])]
    if total > 1:
        lines += [_equals(view), _simple(view, simple, best)]
    weak = selection.weakest(results)
    if weak is not None and weak.number == best.number:
        lines.append("It is the least regularized setting, so regularization has gained nothing here.")
    elif weak is not None:
        ahead = gain(results, best.scores, weak.scores).replace("+-", "±")
        lines.append(f"Compared with the least regularized setting, {view.setting(weak.number)}, it is {ahead}.")
    if (base := results.baseline) is not None:
        ahead = gain(results, best.scores, np.array(base.scores)[:, None]).replace("+-", "±")
        scored = plus_minus(base.mean, base.standard_error)
        lines.append(f"Compared with the constant prediction ({base.name}: {scored}) it is {ahead}.")
    if (final := view.beside.final) is not None and final.test:
        lines.append(_test(view, final))
    return [line for line in lines if line]


def _equals(view: View) -> str:
    """What can't be told from the best one."""
    folds, found = view.results.shape[1], indistinguishable(view.results)
    count = len(found) - 1
    if folds == 1:
        return "One fold tells no setting from another."
    if not count:
        return "All other settings are worse, by the corrected resampled t test with Holm's adjustment at 5%."
    named = "; ".join(view.setting(other.number) for other in found[1 : _MOST_NAMED + 1])
    more = f"; and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
    what = "1 other setting" if count == 1 else f"{count} other settings"
    return f"It can't be told from {what}: {named}{more} (corrected resampled t test, Holm's adjustment, 5%)."


def _simple(view: View, simple: SettingResult, best: SettingResult) -> str:
    if not view.spec.space.strength_order:
        return ""
    if simple.number == best.number:
        return "It is also the most regularized setting within one standard error of the best mean."
    words = f"{view.setting(simple.number)}, with {view.measured(simple.number)}"
    return f"The most regularized setting within one standard error of it is {words}."


def _test(view: View, final: Network) -> str:
    rows, best = view.spec.rows, view.results.best.hyperparameters
    which = "it" if final.hyperparameters == best else describe(final.hyperparameters)
    name, value = next(((n, v) for n, v in final.test.items() if n != "loss"), ("loss", final.test.get("loss", np.nan)))
    certain = ""
    if final.interval is not None:
        certain = f", 95% interval {number(final.interval[0])} to {number(final.interval[1])}"
    return (
        f"Trained on all {rows} rows that aren't for the test, for {final.epochs} epochs, {which} has {name} "
        f"{number(value)} on the test set{certain}."
    )


def checks(view: View) -> Section | None:
    """The remarks with their codes."""
    if not view.checks:
        return None
    rows = [tag("li", tag("code", found.code), f" ({found.where}) {found.sentence}.") for found in view.checks]
    codes = listed(list(dict.fromkeys(found.code for found in view.checks)))
    intro = f"What to look at before trusting the numbers ({codes}; the page on statistics explains the codes):"
    return Section("checks", "Checks", joined([tag("p", intro), tag("ul", *rows)]))
