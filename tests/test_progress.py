"""What a study says while it runs."""

import io

import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn
from jreg.progress import Display, Progress, describe


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


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with Display(terminal) as show:
        show(Progress(0, 2, None, "r2", 0.0, None, compiling=2))
        show(Progress(2, 2, 0.5, "r2", 2.0, 0.0))
    assert "2/2 trainings, best r2 0.5000, took 2 s" in terminal.getvalue()


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
    assert told[-1].seconds == pytest.approx(study.run_seconds)


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
