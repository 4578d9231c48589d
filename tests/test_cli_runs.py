"""Runs of the command line that end early, go on, predict, and are looked at; the slow ones as processes."""

import csv
import errno
import functools
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import jreg
from jreg.cli import load_recipe, main, studies
from jreg.engine import Local
from jreg.store import examine, salvage

RECIPE = """
import optax

import jreg
from jreg import losses, nn, penalties
from jreg.data import standardize

space = jreg.grid(l2=[1e-3, 1e-1])


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((4, 3)),
        losses.softmax_cross_entropy,
        optax.sgd(0.1),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
        preprocess=standardize(),
    )
"""
# The first label is what a spreadsheet takes for a formula.
LABELS = ("=1+1", "ham", "spam")
SMALL = ["mine.py", "--data", "points.csv", "--cv", "2", "--epochs", "3"]


def write_points(folder):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.normal(size=(60, 2)) + 2 * np.eye(3, 2)[y]
    lines = ["a,b,kind", *(f"{a:.4f},{b:.4f},{LABELS[label]}" for (a, b), label in zip(x, y, strict=True))]
    (folder / "points.csv").write_text("\n".join(lines) + "\n")
    (folder / "mine.py").write_text(RECIPE)
    return x


@functools.cache
def one_recipe(text):
    """The same text is the same function, whose programs are compiled once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.py"
        path.write_text(text)
        return load_recipe(path)


def quickly(patch):
    """A command line that leaves this process's devices alone, and compiles a recipe once."""
    patch.setattr(jreg, "use_cpu_devices", lambda: None)
    patch.setattr("jreg.cli.commands._keep_programs", lambda: None)
    for module in ("sweep", "resume"):
        patch.setattr(sys.modules[f"jreg.cli.{module}"], "load_recipe", lambda path: one_recipe(path.read_text()))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A working folder with data and a recipe."""
    write_points(tmp_path)
    monkeypatch.chdir(tmp_path)
    quickly(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a study that was never interrupted, with its data moved here, and what was printed."""
    folder = tmp_path_factory.mktemp("whole")
    write_points(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            quickly(patch)
            main(["sweep", *SMALL, "--out", "found"])
    finally:
        os.chdir(before)
    return folder / "found"


@pytest.fixture
def found(whole, tmp_path):
    """A copy of it in the working folder."""
    shutil.copytree(whole, tmp_path / "found")
    return Path("found")


def ends(arguments, capsys):
    """Exit code, standard output and standard error of a command in this process."""
    code = 0
    try:
        main(list(map(str, arguments)))
    except SystemExit as error:
        code = error.code
    return code, *capsys.readouterr()


def same(a, b):
    """Whether two folders have the same results, bit by bit."""
    one, two = jreg.load_results(a), jreg.load_results(b)
    assert one.spec.settings == two.spec.settings
    for name in ("status", "epochs", "best_epochs", "history", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_a_time_limit_ends_a_study_that_resume_finishes(whole, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        advance = Local.advance
        # One epoch of each, after which the time is over.
        patch.setattr(Local, "advance", lambda self, epochs=None: advance(self, 1))
        code, out, err = ends(["sweep", *SMALL, "--out", "cut", "--time-limit", "0.001s"], capsys)
    assert code == 3
    sentence = "the time limit of 0.001s is over, 4 of 4 trainings are left; this goes on: jreg resume cut mine.py"
    assert err.splitlines()[-1] == f"jreg: {sentence}"
    assert "val_accuracy" in out
    assert not Path("cut/final").exists()
    assert examine("cut").checkpoints[0] == ("1, whole, with 4 trainings under way", True)
    code, out, err = ends(["resume", "cut", "mine.py"], capsys)
    assert code == 0, err
    assert out.splitlines()[-2:] == [
        "results and pictures are in cut, the final network in cut/final, the report in cut/report.html",
        "predict:  jreg predict cut NEW.csv --out predictions.csv",
    ]
    same("cut", whole)
    for name in ("final/weights.safetensors", "settings.csv", "trainings.csv", "curves.csv"):
        assert Path("cut", name).read_bytes() == (whole / name).read_bytes()


# A final network that is gone is trained again, and then looks at the test set again.
looks_again = pytest.mark.filterwarnings("default:the test set has been looked at")


@looks_again
def test_a_finished_study_says_so_and_makes_what_is_missing(found, capsys):
    before = (found / "final/weights.safetensors").read_bytes()
    code, _, err = ends(["resume", found, "mine.py"], capsys)
    assert (code, "compiling" in err) == (0, False)
    assert "the study in found had been finished, and nothing was trained again" in err
    shutil.rmtree(found / "final")
    (found / "scores.png").unlink()
    assert "looked at" not in err
    code, out, err = ends(["resume", found, "mine.py", "--json"], capsys)
    assert code == 0
    assert "jreg: the test set has been looked at 2 times: choose by validation scores" in err
    assert json.loads(out)["test_accuracy"] == json.loads((found / "results.json").read_text())["test_accuracy"]
    assert (found / "scores.png").exists()
    assert (found / "final/weights.safetensors").read_bytes() == before


def test_a_store_goes_on_or_is_refused_or_left_alone(found, whole, capsys):
    code, _, err = ends(["sweep", *SMALL, "--epochs", "4", "--out", found], capsys)
    assert code == 2
    assert re.search(r"jreg: found has a study of which epochs was 3 and is now 4: .*--restart", err)
    same(found, whole)
    code, out, _ = ends(["sweep", *SMALL, "--out", found, "--restart"], capsys)
    assert (code, "results and pictures are in found-2" in out) == (0, True)
    same("found-2", whole)


def test_what_a_diverged_training_counts_with_is_an_option(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(jreg, "cross_validate", lambda *given, **options: told.append(options["error_score"]) or 1 / 0)
    for option in ([], ["--error-score", "0.5"], ["--error-score", "raise"]):
        with pytest.raises(ZeroDivisionError):
            main(["sweep", *SMALL, *option])
    assert np.isnan(told[0])
    assert told[1:] == [0.5, "raise"]


def test_small_networks_are_kept_where_nothing_else_is_asked(monkeypatch):
    told = []
    monkeypatch.setattr(jreg, "cross_validate", lambda *given, **options: told.append(options["keep"]) or 1 / 0)
    data = ["sweep", "points.csv"]
    for arguments in (data, [*data, "--seeds", "1000"], [*data, "--keep", "network"], ["sweep", *SMALL]):
        with pytest.raises(ZeroDivisionError):
            main(arguments)
    assert told == [[jreg.keep.outputs, jreg.keep.network, jreg.keep.train_scores], None, [jreg.keep.network], None]


@pytest.mark.slow
@looks_again
def test_more_seeds_train_what_is_missing(found, whole, capsys):
    assert ends(["sweep", *SMALL, "--seeds", "2", "--out", found], capsys)[0] == 0
    np.testing.assert_array_equal(jreg.load_results(found).scores[..., :1], jreg.load_results(whole).scores)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["resume", "found"], "runs only where it is named: jreg resume found mine.py"),
        (["resume", "nothing"], "there is no folder nothing"),
        (["resume", "."], "there are no results in .: a study writes study.db there"),
        (["resume", "found", "mine.py", "--data", "lost.csv"], "there is no file lost.csv"),
        (["predict", "found", "lost.csv"], "there is no file lost.csv"),
        (["predict", "found", "mine.py"], "mine.py is no data to predict for"),
        (["predict", "nothing", "points.csv"], "there is no folder nothing"),
        (["predict", ".", "points.csv"], "there is neither a study nor a network in ."),
        (["predict", "found"], "(see jreg predict --help)"),
        (["predict", "found", "points.csv", "--out", ""], "--out is empty"),
        (["doctor", "nothing"], "there is no folder nothing"),
        (["doctor", "."], "there is no study in ."),
        (["doctor", "--salvage", "out"], "--salvage needs the folder of the study before it"),
        (["doctor", "found", "--salvage", "found"], "found exists already: name a new folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_two(found, arguments, sentence, capsys):
    code, out, err = ends(arguments, capsys)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert sentence in err


def test_data_that_moved_are_named(found, whole, capsys):
    # The note has the place where the fixture's data were.
    place = whole.parent / "points.csv"
    place.rename(whole.parent / "hidden.csv")
    try:
        code, _, err = ends(["resume", found, "mine.py"], capsys)
        assert (code, err) == (
            2,
            f"jreg: the data of found are no longer at {place}: say where they are, --data PATH\n",
        )
        assert ends(["resume", found, "mine.py", "--data", "points.csv"], capsys)[0] == 0
        assert ends(["resume", found, "mine.py"], capsys)[0] == 0
        Path("points.csv").write_text(Path("points.csv").read_text().replace("1,", "2,"))
        code, _, err = ends(["resume", found, "mine.py"], capsys)
        assert (code, "the data were others" in err) == (2, True), err
    finally:
        (whole.parent / "hidden.csv").rename(place)


def predicted(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predictions_are_those_of_the_network_by_the_names_of_columns(found, capsys):
    network = jreg.load(found / "final")
    rows = [line.split(",") for line in Path("points.csv").read_text().splitlines()[:6]]
    # In another order, with the target, and with a column that nobody knows.
    Path("new.csv").write_text("\n".join(",".join([kind, "x" if kind == "kind" else "1", b, a]) for a, b, kind in rows))
    code, out, err = ends(["predict", found, "new.csv"], capsys)
    assert code == 0, err
    assert err == "new.csv has columns that the network wasn't trained on, which are left out: 'x'\n"
    lines = predicted(out)
    x = np.array([[float(a), float(b)] for a, b, _ in rows[1:]], np.float32)
    expected = [LABELS[number] for number in network.predict(x)]
    assert [line["prediction"].removeprefix("'") for line in lines] == expected
    assert all(line["prediction"][0] == "'" for line, label in zip(lines, expected, strict=True) if label == "=1+1")
    assert list(lines[0]) == ["row", "prediction", *(f"probability_{label}" for label in LABELS)]
    found_probabilities = [[float(line[f"probability_{label}"]) for label in LABELS] for line in lines]
    np.testing.assert_array_equal(found_probabilities, network.predict_proba(x))
    assert "=1+1" in expected
    np.save("new.npy", x)
    assert ends(["predict", found, "new.npy"], capsys) == (0, out, "")
    np.savez("new.npz", x=x)
    code, printed, _ = ends(["predict", found / "final", "new.npz", "--out", "p.csv", "--json"], capsys)
    assert (code, Path("p.csv").read_text()) == (0, out)
    told = json.loads(printed)
    assert (told["rows"], told["out"], told["columns"]["prediction"]) == (5, "p.csv", expected)
    Path("few.csv").write_text("a,c\n1,2\n")
    code, _, err = ends(["predict", found, "few.csv"], capsys)
    assert (code, "few.csv needs the columns of the training table, but lacks 'b'" in err) == (2, True)


def test_a_network_that_leads_out_of_its_folder_is_not_followed(found, tmp_path, capsys):
    (found / "final").rename(tmp_path / "elsewhere")
    (found / "final").symlink_to(tmp_path / "elsewhere")
    code, _, err = ends(["predict", found, "points.csv"], capsys)
    assert (code, "found/final leads out of the folder" in err) == (2, True)


def test_nothing_in_a_strangers_folder_is_run(found, capsys):
    marks = [Path(f"/tmp/jreg-was-run-{os.getpid()}-{name}") for name in ("recipe", "mine", "jreg", "sitecustomize")]
    for mark in marks:
        (found / f"{mark.name.rpartition('-')[2]}.py").write_text(f"open({str(mark)!r}, 'w').close()\n{RECIPE}")
    os.chdir(found)
    assert ends(["doctor", "."], capsys)[0] == 0
    assert ends(["predict", ".", "../points.csv"], capsys)[0] == 0
    assert ends(["resume", "."], capsys)[0] == 2
    assert not any(mark.exists() for mark in marks)
    assert ends(["resume", ".", "recipe.py"], capsys)[0] == 0
    assert marks[0].exists()
    marks[0].unlink()


def test_the_doctor_says_what_a_folder_has(found, capsys):
    code, out, err = ends(["doctor", found], capsys)
    assert (code, err) == (0, "")
    told = {line[:14].strip(): line[14:] for line in out.splitlines()}
    assert told["database"] == "whole"
    assert told["trainings"] == "4 of 4 have ended (4 completed)"
    assert told["lock"] == "free"
    assert told["goes on by"] == "jreg resume found mine.py"
    assert told["final"].startswith("found/final, Network(")
    checkpoint = next((found / "checkpoints").iterdir())
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    code, out, _ = ends(["doctor", found], capsys)
    assert (code, f"the checkpoint {checkpoint} is damaged" in out) == (1, True)


def test_the_doctor_says_what_the_machine_has(capsys):
    code, out, _ = ends(["doctor"], capsys)
    assert code == 0
    told = {line[:14].strip(): line[14:] for line in out.splitlines()}
    assert told.keys() >= {"python", "jax", "sqlite", "devices", "free memory", "cache", "data"}
    assert told["jreg"] == jreg.__version__
    assert told["devices"] == "2 cpu (cpu)"


def damaged(data, rng):
    """Databases that are damaged in many ways."""
    for length in (0, 1, 99, 100, 4096, 5000, *range(20_000, len(data), 20_000), len(data) - 1):
        yield f"truncated to {length}", data[:length]
    for length in (16, 100, 4096):
        yield f"another header of {length}", rng.randbytes(length) + data[length:]
    for flips in (1, 1, 1, 10, 10, 100, 1000):
        found = bytearray(data)
        for _ in range(flips):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        yield f"{flips} bits", bytes(found)
    for page in range(0, len(data), 8192):
        yield f"page {page // 4096}", data[:page] + rng.randbytes(4096) + data[page + 4096 :]


@looks_again
def test_what_can_be_read_of_a_damaged_database_is_saved(found, whole, tmp_path, capsys):
    data, run = (found / "study.db").read_bytes(), tmp_path / "run"
    run.mkdir()
    whole_ones = 0
    for number, (what, content) in enumerate(damaged(data, random.Random(0))):
        (run / "study.db").write_bytes(content)
        out = tmp_path / f"out-{number}"
        try:
            saved = salvage(run, out)
        except ValueError:
            assert not out.exists(), what
            continue
        assert [path.name for path in run.iterdir()] == ["study.db"], what
        assert (run / "study.db").read_bytes() == content, what
        if saved.whole:
            assert len(jreg.load_results(out)) == saved.trainings
            whole_ones += saved.trainings == 4
        if "header" in what or what == "page 0":
            assert (saved.trainings, saved.lost) == (4, ()), what
            same(out, whole)
    assert whole_ones > 8
    code, text, _ = ends(["doctor", found, "--salvage", "saved"], capsys)
    assert (code, text) == (
        0,
        "4 of 4 trainings were saved into saved\nlost: nothing that could be noticed\n",
    )
    assert ends(["resume", "saved", "mine.py"], capsys)[0] == 0
    same("saved", whole)


def test_a_damaged_database_is_named_with_what_helps(found, capsys):
    with (found / "study.db").open("r+b") as file:
        file.truncate(20_000)
    assert examine(found).damaged
    code, out, _ = ends(["doctor", found], capsys)
    assert (code, "jreg doctor found --salvage OUT" in out) == (1, True)
    before = (found / "study.db").read_bytes()
    code, _, err = ends(["resume", found, "mine.py"], capsys)
    assert (code, "jreg doctor found --salvage OUT" in err) == (2, True)
    assert (found / "study.db").read_bytes() == before


def test_a_full_disk_at_the_end_loses_nothing(found, monkeypatch, capsys):
    def full(folder, *_):
        if str(folder) == "found":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(studies, "write_results", full)
    code, out, err = ends(["resume", found, "mine.py"], capsys)
    assert (code, out.startswith("best:")) == (2, True)
    told = re.fullmatch(
        r"jreg: not everything could be written into found \(No space left on device\): it is in (\S+)",
        err.splitlines()[-1],
    )
    assert told
    same(told[1], found)
    shutil.rmtree(Path(told[1]).parent)


def test_a_second_signal_ends_the_process_at_once():
    from jreg._base import interrupt

    ending, ended = interrupt._Ending(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", ended.append)
        patch.setattr(os, "write", lambda *_: None)
        with pytest.raises(interrupt.Terminated):
            ending(signal.SIGTERM, None)
        with pytest.raises(KeyboardInterrupt):
            ending(signal.SIGINT, None)
    assert ended == [130]


LONG = ["mine.py", "--data", "wine", "--cv", "2", "--patience", "100", "--seeds", "10000", "--out", "found"]


def environment(**more):
    return (
        os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "60", "PYTHONPATH": str(Path(jreg.__file__).parents[1])} | more
    )


def started(arguments, before=None, **how):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    command = [sys.executable, "-P", "-m", "jreg", *arguments]
    if before:
        command = ["bash", "-c", f'{before}; exec "$@"', "bash", *command]
    return subprocess.Popen(command, text=True, env=environment(), **streams)


def killed(arguments, pattern, number):
    """Exit code and last line on standard error of a command that gets a signal after a line that matches."""
    process = started(arguments)
    try:
        for line in process.stderr:
            if re.match(pattern, line):
                break
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, err.splitlines()[-1]


@pytest.mark.slow
def test_signals_save_and_say_what_goes_on():
    goes_on = "jreg: interrupted; what had been finished is in found, and this goes on: jreg resume found mine.py"
    resumed = ["resume", "found", "mine.py"]
    assert killed(["sweep", *LONG], "compiling", signal.SIGTERM) == (143, goes_on)
    assert killed(resumed, r"[1-9]\d*/40000", signal.SIGHUP) == (129, goes_on)
    before = len(jreg.load_results("found"))
    assert before > 0
    assert killed(resumed, r"[1-9]\d*/40000", signal.SIGINT) == (130, goes_on)
    assert len(jreg.load_results("found")) >= before


@pytest.mark.slow
def test_ctrl_c_before_the_final_network_trains_says_what_goes_on():
    code, line = killed(["sweep", *SMALL, "--out", "found"], "drawing", signal.SIGINT)
    assert (code, line.endswith("this goes on: jreg resume found mine.py")) == (130, True)
    done = started(["resume", "found", "mine.py"])
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert "the final network in found/final, the report in found/report.html" in out
    assert "nothing was trained again" in err


@pytest.mark.slow
def test_two_sweeps_together_have_two_folders():
    both = [started(["sweep", *SMALL]) for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    same("runs/points", "runs/points-2")
    one = started(["sweep", *LONG])
    for line in one.stderr:
        if re.match(r"\d+/40000", line):
            break
    other = started(["resume", "found", "mine.py"])
    _, err = other.communicate(timeout=120)
    one.kill()
    one.communicate()
    assert (other.returncode, f"found is being written by process {one.pid} on" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_loses_no_study(whole, closed):
    command = f'"$0" -P -m jreg sweep {" ".join(SMALL)} --out found {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable], env=environment(), timeout=300, capture_output=True)
    assert done.returncode == 0, done.stderr
    same("found", whole)
    assert Path("found/study.lock").read_text().startswith("process ")


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_no_error():
    more = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "XDG_CONFIG_HOME": "/proc/nowhere"}
    command = [sys.executable, "-P", "-m", "jreg", "sweep", *SMALL, "--out", "found"]
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert Path("found/final/model.json").exists()


@pytest.mark.slow
def test_a_full_disk_in_the_middle_loses_nothing(whole):
    # No file may become larger than so many blocks of 1,024, which SQLite and Python see as a disk that is full.
    done = started(["sweep", *SMALL, "--out", "found"], before="ulimit -f 40")
    out, err = done.communicate(timeout=300)
    assert (done.returncode, out.startswith("best:")) == (2, True), err
    assert "not everything could be written into found" in err.splitlines()[-1]


@pytest.mark.slow
def test_the_installed_command_never_imports_from_the_working_folder(whole):
    place = Path("stranger")
    shutil.copytree(whole, place)
    for name in ("jreg", "jax", "numpy", "sitecustomize", "recipe", "mine"):
        (place / f"{name}.py").write_text("raise SystemExit('it was run')")
    command = [sys.executable, "-P", "-m", "jreg", "doctor", "."]
    done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 of 4 have ended" in done.stdout
