"""What a notebook shows of studies that train, and of those that have ended."""

import base64
import dataclasses
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from scored import results_of

import jreg
from jreg.report.notebook import live
from jreg.report.progress import Display, Progress
from jreg.results import Baseline
from jreg.results.nested import NESTED
from jreg.study.answers import Answers
from jreg.training import Status

EVIL = '</script><img src=x onerror="alert(1)">&\x1b[31m'
SPACE = jreg.grid(l2=[1e-4, 1e-3, 1e-2]).along("l2")
# The best setting is the second; the third is within one standard error of it.
SCORES = np.array([[0.90, 0.92], [0.95, 0.97], [0.945, 0.965]])[..., None]


class Page(HTMLParser):
    """The tags of a page, each closed in its turn, and its texts."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def study_of(results):
    answers = Answers()
    answers.results = results
    return answers


def test_results_say_which_setting_won_and_which_one_is_as_good():
    results = results_of(SPACE, SCORES)
    results.baseline = Baseline("majority class", (0.5, 0.5))
    words = " ".join(" ".join(Page(results._repr_html_()).texts).split())
    assert repr(results) in words
    assert "Best: l2=0.001 , val_accuracy 0.9600 ± 0.010 over 2 folds, 1 seed." in words
    assert "The most regularized setting within one standard error of it: l2=0.01 , 0.9550 ± 0.010." in words
    assert "Baseline, majority class: 0.5000 ± 0.0." in words
    assert "The best 3 of 3 settings by val_accuracy, higher is better" in words


def test_the_ranking_is_a_table():
    page = results_of(SPACE, SCORES)._repr_html_()
    rows = [row.split("</td><td>") for row in page.split("<tbody><tr><td>")[1].split("</td></tr>")[:3]]
    rows = [[cell.removeprefix("<tr><td>") for cell in row] for row in rows]
    assert [row[:2] for row in rows] == [["0.001", "0.9600"], ["0.01", "0.9550"], ["0.0001", "0.9100"]]
    assert rows[0][2:4] == ["0.010", "9.0"]
    assert "best" in rows[0][4]
    assert "1-SE" in rows[1][4]


def test_one_fold_has_no_standard_error_and_a_loss_is_better_when_lower():
    page = results_of(SPACE, 12345.6 * np.array([2.0, 1.0, 3.0])[:, None, None], maximize=False)._repr_html_()
    assert "l2=0.001</b>, val_accuracy 1.235e+04 over 1 fold, 1 seed." in page
    assert "lower is better" in page
    assert "nan" not in page


@pytest.mark.parametrize("scores", [np.full((3, 2, 1), np.nan), SCORES])
def test_what_has_not_ended_has_no_ranking(scores):
    status = np.full(scores.shape, Status.WAITING if np.isfinite(scores).all() else Status.DIVERGED)
    page = results_of(SPACE, scores, status=status)._repr_html_()
    assert "No setting has all its scores yet." in Page(page).texts
    assert "<table" not in page


def test_only_the_best_of_many_settings_are_shown_and_a_setting_without_score_says_so():
    scores = np.linspace(0.5, 0.9, 30)[:, None, None]
    page = results_of(jreg.grid(l2=np.logspace(-6, 0, 30)), scores)._repr_html_()
    assert page.count("<tr>") == 11
    assert "The best 10 of 30 settings" in page
    lost = SCORES.copy()
    lost[0, 0] = np.nan
    assert "<td>no score</td>" in results_of(SPACE, lost)._repr_html_()


def test_no_name_is_a_tag_and_none_a_command():
    space = jreg.grid(**{EVIL: ["<b>", EVIL]})
    results = results_of(space, SCORES[:2])
    for page in (results._repr_html_(), live(EVIL, 1, 2, EVIL, [({EVIL: EVIL}, 0.5)])):
        tags = {tag for tag, _ in Page(page).tags}
        assert tags <= {"div", "p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td", "progress"}
        assert "\x1b" not in page
        assert any("</script><img" in words for words in Page(page).texts)


def test_a_study_has_its_picture_too():
    page = study_of(results_of(SPACE, SCORES))._repr_html_()
    (picture,) = [attributes for tag, attributes in Page(page).tags if tag == "img"]
    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert picture["alt"].startswith("Scores of 3 settings")


def test_one_setting_or_none_that_has_ended_has_no_picture():
    for results in (results_of(jreg.grid(l2=[0.1]), SCORES[:1]), results_of(SPACE, np.full((3, 2, 1), np.nan))):
        assert study_of(results)._repr_html_() == results._repr_html_()


def test_nested_results_show_the_estimate_and_no_winner(monkeypatch):
    results = results_of(SPACE, SCORES)
    spec = dataclasses.replace(results.spec, policy={"kind": NESTED})
    estimate, naive, optimism = (SimpleNamespace(mean=mean, standard_error=0.02) for mean in (0.9, 0.95, 0.05))
    choices = [results.settings[1], None, results.settings[2]]
    numbers = {"scores": np.array([[0.91], [np.nan], [0.89]]), "choices": choices, "trouble": "4 trainings are missing"}
    nested = SimpleNamespace(finished=True, estimate=estimate, naive=naive, optimism=optimism, **numbers)
    monkeypatch.setattr(type(results), "spec", spec)
    monkeypatch.setattr(type(results), "nested", nested)
    page = study_of(results)._repr_html_()
    assert "Honest estimate of val_accuracy: <b>0.9000 ± 0.020</b>; naive one: 0.9500 ± 0.020, which flatters" in page
    assert "<tr><td>0</td><td>0.001</td><td>0.9600</td><td>0.9100</td></tr>" in page
    assert page.count("<tr>") == 3
    assert "<img" not in page
    nested.finished = False
    assert "There is no estimate yet: 4 trainings are missing." in results._repr_html_()
    nested.choices = [None, None, None]
    assert "<table" not in results._repr_html_()


def test_a_notebook_sees_the_best_settings_while_a_study_trains():
    shown, show = [], Display()
    show._cell = SimpleNamespace(update=lambda data, raw: shown.append(data["text/html"]))
    leaders = (({"l2": 0.1}, 0.97), ({"l2": 0.01}, 0.9))
    show._show(Progress(3, 8, 0.97, "val_accuracy", 1.0, 2.0, leaders=leaders))
    page = Page(shown[-1])
    assert ("progress", {"value": "3", "max": "8"}) in page.tags
    assert page.texts[-6:] == ["best so far", "val_accuracy", "l2=0.1", "0.9700", "l2=0.01", "0.9000"]
    show._show(Progress.of_stage("refitting"))
    assert shown[-1] == "<div><p>refitting</p></div>"
