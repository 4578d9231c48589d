"""What a study says while it runs."""

import io
import itertools
import re
import sys
import types

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn
from jreg.report.progress import Display, Progress, describe


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(0, 8, None, "val_accuracy", 0.0, None), "0/8 trainings"),
        (Progress(2, 8, None, "val_accuracy", 1.0, 3.4), "2/8 trainings, 3 s left"),
        (Progress(2, 8, 0.5, "val_loss", 1.0, 99.0), "2/8 trainings, best val_loss 0.5000, 99 s left"),
        (Progress(2, 8, 0.5, "r2", 1.0, 150.0), "2/8 trainings, best r2 0.5000, 2 min 30 s left"),
        (Progress(2, 8, None, "r2", 1.0, 3661.0), "2/8 trainings, 1 h 1 min left"),
        (Progress(8, 8, 0.9, "r2", 7.6, 0.0), "8/8 trainings, best r2 0.9000, took 8 s"),
        (Progress(8, 8, None, "r2", 100.0, 0.0), "8/8 trainings, took 1 min 40 s"),
        (Progress(0, 12, None, "r2", 0.0, None, compiling=8), "compiling one program for 8 trainings"),
        (Progress(2, 8, None, "r2", 1.0, 3.0, running=1), "2/8 trainings (1 running, 0 queued), 3 s left"),
        (
            Progress(2, 8, 0.5, "r2", 1.0, 3.0, running=2, queued=4, per_second=2.0),
            "2/8 trainings (2 running, 4 queued), best r2 0.5000, 2 a second, 3 s left",
        ),
        (Progress(8, 8, None, "r2", 1.0, 0.0, per_second=1234.5), "8/8 trainings, 1.23e+03 a second, took 1 s"),
        (Progress(8, 8, None, "r2", 1.0, 0.0, per_second=0.125), "8/8 trainings, 0.125 a second, took 1 s"),
        (Progress(2, 8, None, "r2", 1.0, 3.0, round=1, rounds=3), "round 2 of 3: 2/8 trainings, 3 s left"),
        (
            Progress(0, 8, None, "r2", 1.0, None, compiling=8, rounds=3),
            "round 1 of 3: compiling one program for 8 trainings",
        ),
    ],
)
def test_progress_in_words(progress, line):
    assert describe(progress) == line


def test_a_log_gets_whole_lines():
    log = io.StringIO()
    with Display(log, every=0.0) as show:
        show(Progress(0, 2, None, "r2", 0.0, None, compiling=2))
        show(Progress(1, 2, 0.5, "r2", 1.0, 1.0))
        show(Progress(2, 2, 0.5, "r2", 2.0, 0.0))
    assert log.getvalue().splitlines() == [
        "compiling one program for 2 trainings",
        "1/2 trainings, best r2 0.5000, 1 s left",
        "2/2 trainings, best r2 0.5000, took 2 s",
    ]


def test_a_log_is_not_flooded():
    log = io.StringIO()
    with Display(log, every=3600.0) as show:
        for done in range(1, 101):
            show(Progress(done, 100, None, "r2", 1.0, 1.0))
    lines = log.getvalue().splitlines()
    assert lines[-1].startswith("100/100 trainings")
    assert len(lines) <= 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar():
    terminal = Terminal()
    with Display(terminal) as show:
        show(Progress(0, 2, None, "r2", 0.0, None, compiling=2))
        show(Progress(2, 2, 0.5, "r2", 2.0, 0.0))
    assert "2/2 trainings, best r2 0.5000, took 2 s" in terminal.getvalue()


def test_what_is_done_beside_the_trainings_is_shown():
    log = io.StringIO()
    with Display(log) as show:
        show(Progress.of_stage("drawing"))
        show(Progress.of_stage("refitting"))
    assert log.getvalue() == "drawing\nrefitting\n"


def test_a_terminal_counts_the_seconds_of_what_lasts(monkeypatch):
    terminal = Terminal()
    clock = iter([100.0, *[107.0] * 1000])
    monkeypatch.setattr("jreg.report.progress.time.monotonic", lambda: next(clock))
    with Display(terminal) as show:
        show(Progress(0, 2, None, "r2", 0.0, None, compiling=2))
    assert re.search(r"compiling one program for 2 trainings.* 7 s", terminal.getvalue())


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("kind", ["none", "closed", "broken"])
def test_a_display_that_nobody_reads_ends_nothing(monkeypatch, kind):
    stream = Broken() if kind == "broken" else io.StringIO()
    if kind == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", None if kind == "none" else stream)
    with Display() as show:
        show(Progress(1, 2, None, "r2", 0.0, None))
        show(Progress(2, 2, None, "r2", 0.0, None))


def test_names_are_text_and_no_commands_to_the_terminal():
    terminal = Terminal()
    with Display(terminal) as show:
        show(Progress(2, 2, 0.5, "[/a]\x1b]0;title\x07", 2.0, 0.0))
    assert "[/a]\\x1b]0;title\\x07" in terminal.getvalue()


def recipe(hp):
    return jreg.Recipe(nn.MLP((hp["width"], 3)), losses.softmax_cross_entropy, optax.sgd(hp["learning_rate"]))


SPACE = jreg.grid(width=[2, 3], learning_rate=[0.01, 0.1])


def run(data: jreg.Dataset, progress) -> jreg.Study:
    return jreg.cross_validate(recipe, data, SPACE, cv=3, epochs=2, progress=progress)


def test_a_function_is_told_every_step(blobs):
    told: list[Progress] = []
    study = run(blobs, told.append)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 12)
    assert {progress.total for progress in told} == {12}
    assert {progress.score for progress in told} == {"val_accuracy"}
    # One program for each width.
    assert [progress.done for progress in told if progress.compiling] == [0, 6]
    assert told[-1].best == pytest.approx(study.best.mean, abs=1e-6)
    settings, means = zip(*told[-1].leaders, strict=True)
    assert list(settings) == [result.hyperparameters for result in study.ranking]
    assert means == pytest.approx([result.mean for result in study.ranking], abs=1e-6)
    assert told[0].leaders == ()
    assert 0 < told[-1].seconds <= study.results.timing.run_seconds


def test_the_best_so_far_is_of_finished_settings_alone(blobs):
    told: list[Progress] = []
    study = run(blobs, told.append)
    after_one_width = next(progress for progress in told if progress.compiling and progress.done == 6)
    assert after_one_width.best == pytest.approx(np.max(study.scores[:2].mean(axis=(1, 2))), abs=1e-6)


def test_true_shows_it_on_standard_error_and_false_is_silent(blobs, capfd):
    run(blobs, True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "compiling one program for 6 trainings"
    assert lines[-1].startswith("12/12 trainings, best val_accuracy 0.")
    run(blobs, False)
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(
        "jreg.report.progress.time.monotonic", lambda: float(next(clock)) / 2
    )  # two looks make a second
    log = io.StringIO()
    with Display(log, every=5.0) as show:
        for done in range(60):
            show(Progress(done, 60, None, "r2", 1.0, 1.0))
    done = [int(line.split("/")[0]) for line in log.getvalue().splitlines()]
    assert done[0] == 0
    assert set(np.diff(done)) == {10}


class Page:
    """What a notebook shows: one cell of a display, and how often it was renewed."""

    def __init__(self):
        self.shown = []

    def display(self, data, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.shown.append(data)
        return types.SimpleNamespace(update=lambda data, raw: self.shown.append(data))


def notebook(monkeypatch, shell):
    """Puts a stub where a notebook has IPython."""
    page = Page()
    stub = types.ModuleType("IPython")
    stub.display = types.ModuleType("IPython.display")
    stub.display.display = page.display
    stub.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", stub)
    monkeypatch.setitem(sys.modules, "IPython.display", stub.display)
    return page


class ZMQInteractiveShell:
    pass


class Shell(ZMQInteractiveShell):
    """What Google Colab has."""


@pytest.mark.parametrize("kind", [ZMQInteractiveShell, Shell])
def test_a_notebook_gets_a_line_that_is_renewed(monkeypatch, kind):
    page, log = notebook(monkeypatch, kind()), io.StringIO()
    with Display(log) as show:
        show(Progress(0, 100, None, "r2", 0.0, None, compiling=100))
        for done in range(1, 100):
            show(Progress(done, 100, None, "r2", 1.0, 1.0))
        show(Progress(100, 100, 0.5, "r2", 2.0, 0.0))
    assert log.getvalue() == ""
    texts = [data["text/plain"] for data in page.shown]
    assert texts[:2] == ["starting", "compiling one program for 100 trainings"]
    assert texts[-1] == "100/100 trainings, best r2 0.5000, took 2 s"
    # 99 come in no time, and a page is not flooded either.
    assert len(texts) < 50


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()])
def test_ipython_in_a_script_or_a_terminal_is_no_notebook(monkeypatch, shell):
    page, log = notebook(monkeypatch, shell), io.StringIO()
    with Display(log) as show:
        show(Progress(2, 2, 0.5, "r2", 2.0, 0.0))
    assert page.shown == []
    assert log.getvalue() == "2/2 trainings, best r2 0.5000, took 2 s\n"


def plain(progress):
    """Whether all is as Python has it, but for the layout and the settings."""
    return {type(value) for name, value in progress._asdict().items() if name not in ("layout", "leaders")} <= {
        int, float, str, type(None)
    }  # fmt: skip


class Asker:
    """Asks for learning rates from high to low, and gives every third trial up."""

    def __init__(self):
        self.count = 0

    def ask(self):
        self.count += 1
        return self.count, {"width": 2 + self.count % 2, "learning_rate": 0.1 / self.count}

    def report(self, trial, epoch, score):
        return bool(trial % 3)

    def tell(self, trial, score, ending):
        pass

    def check(self, maximize):
        pass


def told_by(data, kind):
    told: list[Progress] = []
    options = {"cv": 3, "epochs": 4, "progress": told.append, "layout": jreg.Layout(tuple(jax.devices()), 2)}
    if kind == "search":
        jreg.optimize(recipe, data, Asker(), trials=6, **options)
    elif kind == "path":
        jreg.cross_validate(recipe, data, SPACE, warm="learning_rate", **options)
    else:
        race = jreg.successive_halving(1, 2) if kind == "race" else None
        jreg.cross_validate(recipe, data, SPACE, race=race, **options)
    return told


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "kind",
    [pytest.param("study", marks=pytest.mark.slow), "race", "search", pytest.param("path", marks=pytest.mark.slow)],
)
def test_functions_are_told_host_numbers_that_add_up(blobs, kind):
    told = told_by(blobs, kind)
    assert all(plain(progress) for progress in told)
    for progress in told:
        assert progress.done + progress.running + progress.queued == progress.total
        # The search's two programs take turns, each with slots of its own.
        assert 0 <= progress.running <= (8 if kind == "search" else 4)
        assert progress.queued >= 0
        assert progress.per_second is None or progress.per_second > 0
        assert (progress.layout is None) <= (progress.done == 0)
    assert told[-1].done == told[-1].total
    assert told[-1].running == told[-1].queued == 0
    assert {progress.rounds for progress in told} == ({3} if kind == "race" else {1})
    rounds = [progress.round for progress in told]
    assert rounds == sorted(rounds)
    if kind == "race":
        # 4 settings, 2 of them, and the winner, with three folds each.
        assert sorted({(progress.round, progress.total) for progress in told}) == [(0, 12), (1, 6), (2, 3)]
        assert {progress.best for progress in told if progress.round < 2} == {None}


@pytest.mark.slow
def test_a_race_in_a_log_says_which_round_it_is(blobs, capfd):
    race = jreg.successive_halving(1, 2)
    jreg.cross_validate(recipe, blobs, SPACE, cv=3, epochs=4, race=race)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "round 1 of 3: compiling one program for 6 trainings"
    assert any(line.startswith("round 2 of 3: 6/6 trainings") for line in lines)
    assert lines[-1].startswith("round 3 of 3: 3/3 trainings, best val_accuracy 0.")
