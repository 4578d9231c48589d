"""The command line: small but whole runs."""

import csv
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jreg
from jreg.cli import output
from jreg.cli.arguments import options_of
from jreg.cli.commands import main
from jreg.cli.recipes import load_recipe
from jreg.cli.sweep import sweep as sweep_command

FILES = {"results.json", "settings.csv", "trainings.csv", "curves.csv", "scores.png", "differences.png", "curves.png"}
FILES |= {"study.db", "study.lock", "checkpoints", "final", "report.html"}
COMMAND = [sys.executable, "-m", "jreg", "sweep"]
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
WIDTHS = RECIPE.replace("l2=[1e-3, 1e-1]", "width=[2, 4], l2=[1e-3, 1e-1]").replace("(4, 3)", '(hp["width"], 3)')
SMALL = ["--folds", "3", "--epochs", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, and a command line that leaves this process's devices alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jreg, "use_cpu_devices", lambda: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Sweeps in a process of its own, all with one cache for programs; `run.kept` is what it held after each."""
    cache = tmp_path_factory.mktemp("cache")

    def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "60", "XDG_CACHE_HOME": str(cache)}
        command = [*COMMAND, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        # Which of the small programs took long enough to be kept depends on the clock.
        run.kept.append({path.name for path in (cache / "jreg" / "programs").glob("jit__advance*")})
        return done

    run.kept = []
    return run


@pytest.fixture(scope="module")
def swept(run, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The study that comes without a recipe, in a process of its own."""
    folder = tmp_path_factory.mktemp("swept")
    return run(["--data", "wine", "--folds", "3", "--epochs", "3", "--out", "found"], folder), folder / "found"


@pytest.fixture(scope="module")
def printed(run, swept, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The same with --json, in another process after the first one."""
    folder = tmp_path_factory.mktemp("printed")
    return run(["--data", "wine", "--folds", "3", "--epochs", "3", "--json"], folder), folder / "runs" / "wine"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_prints_a_table_and_who_won(swept):
    done, _ = swept
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"^best: +l2=", lines[0])
    assert re.search(r"^l2 +dropout +max_norm +mean +SE +epochs$", done.stdout, re.MULTILINE)
    assert sum(bool(re.match(r"^(0|0.001|0.01) ", line)) for line in lines) == 12
    assert sum(line.endswith(" baseline") for line in lines) == 1
    text = done.stdout
    assert re.search(r"^weakest: +(l2=0 dropout=0 max_norm=inf|the best one)", text, re.MULTILINE)
    assert re.search(r"^baseline: +majority class, val_accuracy 0\.\d{4}", text, re.MULTILINE)
    assert re.search(r"^best: +l2=\S+ dropout=\S+ max_norm=\S+$", text, re.MULTILINE)
    assert re.search(r"val_accuracy [01]\.\d{4} \+- \S+ \(mean and standard error over 3 folds, 1 seed\)", text)
    assert re.search(r"^1-SE rule: l2=", text, re.MULTILINE)
    assert re.search(
        r"^test: +accuracy [01]\.\d{4}, 95% interval .* on all 142 non-test rows for \d epochs?$", text, re.M
    )
    assert re.search(
        r"^time: +36 trainings in .* of compilation, on \d+ CPU x 1 slots one by one; occupancy", text, re.MULTILINE
    )
    assert lines[-3:] == [
        "results and pictures are in found, the final network in found/final, the report in found/report.html",
        "predict:  jreg predict found NEW.npz --out predictions.csv",
        "go on:    jreg resume found",
    ]


def test_a_sweep_shows_progress_on_standard_error(swept):
    lines = swept[0].stderr.splitlines()
    assert lines[0] == "compiling one program for 36 trainings"
    assert re.fullmatch(r"36/36 trainings, best val_accuracy [01]\.\d{4}, \S+ a second, took .*", lines[-3])
    assert lines[-2] == "drawing pictures"
    updates = r"\(\d+ updates; validation chose \d+\.\d\)"
    assert re.fullmatch(rf"refitting on all 142 rows for \d epochs? {updates}", lines[-1])


def test_a_sweep_writes_results_and_pictures(swept):
    _, folder = swept
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(path.stat().st_size > 0 for path in folder.iterdir())
    assert len(rows_of(folder / "settings.csv")) == 12
    trainings = rows_of(folder / "trainings.csv")
    assert len(trainings) == 36
    assert len(rows_of(folder / "curves.csv")) == sum(int(row["epochs"]) for row in trainings)
    assert [path.name for path in folder.parent.iterdir()] == ["found"]


def test_the_results_of_a_sweep_are_read_without_its_recipe(swept):
    done, folder = swept
    results = jreg.load_results(folder)
    assert results.shape == (12, 3, 1)
    assert jreg.report.table(results) in done.stdout
    written = rows_of(folder / "trainings.csv")
    np.testing.assert_array_equal(results.scores.ravel(), [float(row["score"]) for row in written])


def test_json_is_one_object_and_nothing_else(printed):
    done, folder = printed
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    found = json.loads(done.stdout)
    written = json.loads((folder / "results.json").read_text())
    assert written == found
    assert found.keys() >= {
        "best", "best_mean", "best_standard_error", "one_standard_error", "test_accuracy", "trainings",
        "compile_seconds", "run_seconds", "settings",
    }  # fmt: skip
    assert done.stderr.splitlines()[-3].startswith(f"results and pictures are in {Path('runs') / 'wine'}, the final")


def test_json_numbers_follow_from_the_scores(printed):
    found = json.loads(printed[0].stdout)
    assert (found["trainings"], len(found["settings"])) == (36, 12)
    for setting in found["settings"]:
        scores = np.array(setting["scores"])
        assert scores.shape == np.array(setting["epochs"]).shape == (3, 1)
        assert set(setting["hyperparameters"]) == {"l2", "dropout", "max_norm"}
        assert setting["mean"] == pytest.approx(scores.mean(), rel=1e-12)
        assert setting["standard_error"] == pytest.approx(scores[:, 0].std(ddof=1) / np.sqrt(3), rel=1e-12)
    best = max(found["settings"], key=lambda setting: setting["mean"])
    assert found["best_mean"] == best["mean"]
    assert found["best"] in [s["hyperparameters"] for s in found["settings"] if s["mean"] == best["mean"]]
    chosen = next(s for s in found["settings"] if s["hyperparameters"] == found["best"])
    assert found["best_standard_error"] == chosen["standard_error"]
    simple = next(s for s in found["settings"] if s["hyperparameters"] == found["one_standard_error"])
    assert simple["mean"] >= found["best_mean"] - found["best_standard_error"]
    low, high = found["test_interval"]
    assert 0 <= low <= found["test_accuracy"] == found["test"]["accuracy"] <= high <= 1


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    """Without what depends on the clock; how work is cut into calls does."""
    clock = ("compile_seconds", "run_seconds", "device_seconds", "trainings_per_second", "occupancy", "timing")
    return {name: value for name, value in found.items() if name not in clock}


@pytest.mark.slow
def test_the_second_run_finds_its_programs_compiled(run, swept, printed):
    first, second = run.kept
    # The final training runs in the study's program.
    assert len(first) == 1
    assert second == first
    compiling = {process.stderr.splitlines()[0] for process, _ in (swept, printed)}
    assert compiling == {"compiling one program for 36 trainings"}


def test_two_runs_find_the_same_and_json_changes_nothing(swept, printed):
    first, second = (json.loads((folder / "results.json").read_text()) for _, folder in (swept, printed))
    assert timeless(first) == timeless(second)
    told = timeless(json.loads(printed[0].stdout))
    assert {name: first[name] for name in told} == told
    for name in ("settings.csv", "trainings.csv", "curves.csv"):
        assert (swept[1] / name).read_bytes() == (printed[1] / name).read_bytes()


def sweep(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """A sweep in this process; returns what --json prints."""
    main(["sweep", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_seeds_count_on_from_the_first_one(capsys):
    Path("mine.py").write_text(RECIPE)
    wine = jreg.load_dataset("wine")
    np.savez("rows.npz", x=wine.x, y=wine.y, x_test=wine.x_test, y_test=wine.y_test)
    two, second = (
        np.array(
            [setting["scores"] for setting in sweep(["mine.py", "--data", "rows.npz", *o, *SMALL], capsys)["settings"]]
        )
        for o in (["--seeds", "2"], ["--seed", "1"])
    )
    np.testing.assert_array_equal(two[..., 1:], second)
    assert not np.array_equal(two[..., :1], second)


@pytest.mark.slow
def test_static_hyperparameters_train_in_programs_of_their_own(capsys):
    Path("widths.py").write_text(WIDTHS)
    main(["sweep", "widths.py", "--data", "wine", *SMALL, "--json"])
    captured = capsys.readouterr()
    assert captured.err.count("compiling one program for ") == 2
    found = json.loads(captured.out)
    settings = [setting["hyperparameters"] for setting in found["settings"]]
    assert settings == [{"width": width, "l2": l2} for width in (2, 4) for l2 in (1e-3, 1e-1)]
    assert {row["param_width"] for row in rows_of(Path("runs/wine/trainings.csv"))} == {"2", "4"}


def test_a_recipe_and_data_of_ones_own(capsys):
    Path("mine.py").write_text(RECIPE)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez("points.npz", x=rng.normal(size=(60, 2)) + 2 * np.eye(3, 2)[y], y=y)
    found = sweep(["mine.py", "--data", "points.npz", "--test-size", "0", *SMALL], capsys)
    assert found["data"] == "points"
    assert [setting["hyperparameters"] for setting in found["settings"]] == [{"l2": 1e-3}, {"l2": 1e-1}]
    # Without test rows there is nothing to test on.
    assert (found["test"], found["test_accuracy"], found["test_interval"]) == ({}, None, None)
    assert {path.name for path in Path("runs/points").iterdir()} == FILES


@pytest.mark.slow
@pytest.mark.adam
def test_a_regression(capsys):
    main(["sweep", "--data", "diabetes", *SMALL, "--out", "found"])
    out = capsys.readouterr().out
    assert re.match(r" +val_r2 -?\d+\.\d{4} \+- ", out.splitlines()[1])
    assert re.search(r"^baseline: +training mean, val_r2 -0\.\d{4}", out, re.MULTILINE)
    assert re.search(r"^test: +r2 -?\d+\.\d{4}, best setting trained", out, re.MULTILINE)
    found = json.loads(Path("found/results.json").read_text())
    assert (found["score"], found["test_accuracy"], found["test_interval"]) == ("val_r2", None, None)
    assert found["test"].keys() == {"loss", "r2"}


@pytest.mark.slow
@pytest.mark.adam
def test_digits_by_default(capsys):
    main(["sweep", "--folds", "2", "--epochs", "2"])
    out = capsys.readouterr().out
    # Two epochs of a fold have 24 updates, one of all rows 23.
    assert "on all 1437 non-test rows for 1 epoch\n" in out
    where, predict, goes_on = out.splitlines()[-3:]
    assert where.startswith(f"results and pictures are in {Path('runs') / 'digits'}, the final")
    assert predict == f"predict:  jreg predict {Path('runs') / 'digits'} NEW.npz --out predictions.csv"
    assert goes_on == f"go on:    jreg resume {Path('runs') / 'digits'}"


@pytest.mark.slow
def test_no_results_are_overwritten(capsys):
    Path("mine.py").write_text(RECIPE)
    Path("runs/wine").mkdir(parents=True)
    main(["sweep", "mine.py", "--data", "wine", "--folds", "2", "--epochs", "1"])
    assert (
        capsys.readouterr().out.splitlines()[-3].startswith(f"results and pictures are in {Path('runs') / 'wine-2'},")
    )
    assert not list(Path("runs/wine").iterdir())


@pytest.mark.slow
def test_when_all_settings_diverge_the_sweep_still_reports(capsys):
    Path("mine.py").write_text(RECIPE.replace("optax.sgd(0.1)", "optax.sgd(1e30)"))
    main(["sweep", "mine.py", "--data", "wine", *SMALL, "--out", "found"])
    out = capsys.readouterr().out
    assert "6 of 6 trainings diverged" in out
    assert "best:" not in out
    assert json.loads(Path("found/results.json").read_text())["settings"][0]["mean"] is None


def test_the_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"jreg {jreg.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["data", "--help"]], ids=" ".join)
def test_help_ends_with_code_zero(arguments, capsys):
    with pytest.raises(SystemExit) as found:
        main(arguments)
    assert found.value.code in (0, None)
    assert (arguments[0] if arguments[0] != "--help" else "sweep") in capsys.readouterr().out


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    out = capsys.readouterr().out
    assert [
        group for group in ("rows and columns", "folds and seeds", "training") if f"{group} options" not in out
    ] == []
    assert out.splitlines()[-1].strip().startswith("jreg sweep my_recipe.py --shard auto/16")
    options = [
        "data",
        "target",
        "quiet",
        "cv",
        "folds",
        "seeds",
        "epochs",
        "patience",
        "batch-size",
        "seed",
        "test-size",
        "store",
        "out",
        "json",
        "traceback",
    ]
    assert [option for option in options if f"--{option}" not in out] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "a command is missing: jreg sweep, resume, predict, report, merge, data or doctor"),
        (["swep"], "jreg has no command 'swep': did you mean jreg sweep (see jreg --help)?"),
        (["version"], "did you mean jreg --version"),
        (["train", "--data", "mine.csv"], "did you mean jreg sweep (see jreg --help)?"),
        (["mine.csv"], "did you mean jreg sweep mine.csv"),
        (["mine.py"], "did you mean jreg sweep mine.py"),
        (["--data", "wine"], "a command comes before --data"),
        (["sweep", "digits", "--data", "wine"], "digits is data, and so is --data wine: name one of them, and a recip"),
        (["sweep", "mine.csv"], "there is no file mine.csv"),
        (["sweep", "--categories", "a"], "columns of categories are --categorical"),
        (["--tyro-print-completion", "tcsh"], "--tyro-print-completion takes bash or zsh or fish"),
        (["sweep", "--data", "mine.py"], "jreg sweep mine.py"),
        (["sweep", "--fold", "3"], "jreg sweep has no option --fold: did you mean --folds (see jreg sweep --help)?"),
        (["sweep", "--batchsize", "3"], "did you mean --batch-size"),
        (["sweep", "--epoch=3"], "did you mean --epochs"),
        (["sweep", "--recipe", "mine.py"], "jreg sweep RECIPE.py"),
        (["resume", "found", "--recipe", "mine.py"], "jreg resume RUN RECIPE.py"),
        (["resume", "--run", "found"], "jreg resume RUN"),
        (["sweep", "--time-limit", "2 hours"], "--time-limit is '2 hours', but must be seconds above 0"),
        (["sweep", "--time-limit", "0"], "--time-limit is '0', but must be seconds above 0"),
        (["sweep", "--stopping", "3"], "early stopping is --patience"),
        (["sweep", "--zzz"], "it has --help, --data, --recipe-template,"),
        (["sweep", "--cv", "x"], "invalid literal for int() with base 10: 'x' (see jreg sweep --help)"),
        (["sweep", "one.py", "two.py"], "two.py (see jreg sweep --help)"),
        (["sweep", "--store", ""], "--store is empty, but must be the path of a folder"),
        (["data", "wine", "--out", ""], "--out is empty, but must be the path of a picture"),
        (["data", "wine", "--tset-size", "0"], "did you mean --test-size (see jreg data --help)?"),
    ],
)
def test_an_argument_that_means_another_names_it(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as found:
        main(arguments)
    assert found.value.code == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert sentence in err


def test_the_options_have_the_names_of_the_python_arguments():
    own = options_of(sweep_command)
    functions = (jreg.cross_validate, jreg.nested_cross_validate, jreg.load_dataset)
    python = {name for function in functions for name in inspect.signature(function).parameters}
    # Of the command line, and EarlyStopping's.
    others = {"help", "json", "traceback", "restart", "time_limit", "patience", "quiet", "recipe_template"}
    others |= {"ray", "ray_workers"}
    assert {option.replace("-", "_") for option in own.values()} - others <= python
    assert {name: own[name] for name in ("folds", "out", "nested")} == {
        "folds": "cv",
        "out": "store",
        "nested": "outer",
    }


def test_old_and_new_names_of_options_mean_the_same(monkeypatch):
    told = []
    monkeypatch.setattr(jreg, "cross_validate", lambda *given, **options: told.append(options) or 1 / 0)
    for names in (["--cv", "4", "--store", "a"], ["--folds", "4", "--out", "a"], ["--folds=4", "--out=a"]):
        with pytest.raises(ZeroDivisionError):
            main(["sweep", "--data", "wine", "--batch_size", "7", *names])
    assert [(o["cv"], str(o["store"].folder), o["batch_size"]) for o in told] == [(4, "a", 7)] * 3


class Narrow(io.TextIOWrapper):
    """A stream of an encoding that lacks most characters."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict")

    def written(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("ascii")


def test_a_terminal_of_another_encoding_gets_ascii(monkeypatch):
    stream = Narrow()
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare()
    output.say("│ ── ± …\nü \x1b[31m")
    assert stream.written() == "| -- +- ...\n\\xfc \\x1b[31m\n"


def test_closed_streams_are_no_error(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        output.prepare()
        output.say("one")
        output.say("two", aside=True)


class Gone(io.StringIO):
    """A pipe whose reader has ended."""

    def write(self, text):
        raise BrokenPipeError


def test_a_reader_that_has_seen_enough_ends_it_quietly(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Gone())
    main(["--version"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (MemoryError(), 2, "there is not enough memory for this study"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 2, "there is not enough memory"),
        (PermissionError(13, "Permission denied", "runs"), 2, "runs: Permission denied"),
        (ValueError("one\n\x1b[31mtwo"), 2, "one \\x1b[31mtwo"),
        (OSError(), 2, "OSError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_of_a_users_is_a_sentence(error, code, sentence, monkeypatch, capsys):
    def fails(*given, **options):
        raise error

    monkeypatch.setattr(jreg, "load_dataset", fails)
    with pytest.raises(SystemExit) as found:
        main(["data", "wine"])
    assert found.value.code == code
    assert capsys.readouterr().err.startswith(f"jreg: {sentence}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no folder that is in use")
def test_a_deleted_working_folder_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit):
        main(["sweep"])
    monkeypatch.chdir(tmp_path)
    assert capsys.readouterr().err == "jreg: the working directory has been deleted: change to one that exists\n"


def test_ctrl_c_during_the_import_is_one_line(tmp_path):
    # Python has just begun to read JAX, which takes seconds.
    (tmp_path / "jax.py").write_text("import time; print('reading', flush=True); time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "jreg", "sweep"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "jreg: interrupted; nothing had been begun\n")


def test_a_recipe_file_that_ends_the_program_is_named():
    Path("mine.py").write_text("import sys; sys.exit(0)")
    with pytest.raises(ValueError, match=r"mine.py ends the program by sys.exit"):
        load_recipe(Path("mine.py"))


def test_a_recipe_may_list_its_settings():
    Path("mine.py").write_text(RECIPE.replace("jreg.grid(l2=[1e-3, 1e-1])", "[{'l2': 0.5}, {'l2': 0.25}]"))
    recipe, space = load_recipe(Path("mine.py"))
    assert [setting["l2"] for setting in space.settings] == [0.5, 0.25]
    assert isinstance(recipe({"l2": 0.5}), jreg.Recipe)


def test_data_prints_what_is_there_and_draws_images(capsys):
    main(["data", "digits", "--shape", "8", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["digits: classification", "rows       1437, 360 for the test"]
    assert lines[-1] == f"samples are in {Path('runs') / 'digits.png'}"
    assert Path("runs/digits.png").read_bytes()[:4] == b"\x89PNG"


def test_data_as_json_without_a_picture(capsys):
    Path("t.csv").write_text("size,kind,price\n1,a,0.5\n,b,2\n")
    main(["data", "t.csv", "--missing", "keep", "--target", "kind", "--test-size", "0", "--json"])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    found = json.loads(out)
    assert (found["task"], found["missing"], found["picture"]) == ("classification", 1, None)
    assert [row["target"] for row in found["targets"]] == ["a", "b"]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "there is no data set 'nothing': choose one of digits"),
        (["wine", "--shape", "4", "4"], "wine's examples have shape (13,), which shape (4, 4) doesn't fit"),
        (["wine", "--test-size", "2"], "test_size is 2.0, but must lie in [0, 1)"),
    ],
)
def test_a_mistake_about_data_is_one_sentence_and_code_two(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as found:
        main(["data", *arguments])
    assert found.value.code == 2
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert sentence in captured.err


def interrupt(folder: Path, wanted: str, arguments: list[str]) -> tuple[int, str, list[str]]:
    """Ctrl-C after the first line on standard error that matches; returns code, output and the lines after."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        before = []
        for line in process.stderr:
            before.append(line)
            if re.match(wanted, line):
                break
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired as late:
            # Python drops a Ctrl-C that falls into JAX's callback of the garbage collector: press again.
            if b"_xla_gc_callback" not in (late.stderr or b""):
                raise
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
            err = re.sub(r"Exception ignored in: .*?\nKeyboardInterrupt: \n", "", err, flags=re.DOTALL)
    finally:
        process.kill()
    assert re.match(wanted, before[-1]), before
    return process.returncode, out, err.splitlines()


def said(lines: list[str]) -> list[str]:
    """What is left of standard error without progress."""
    return [line for line in lines if not re.match(r"\d+/\d+ trainings|compiling one program|drawing|refitting", line)]


@pytest.mark.slow
def test_ctrl_c_keeps_what_had_been_finished(tmp_path):
    Path("mine.py").write_text(RECIPE)
    # So many trainings that it would go on for minutes.
    options = [
        "mine.py",
        "--data",
        "wine",
        "--folds",
        "2",
        "--epochs",
        "1000",
        "--patience",
        "1000",
        "--seeds",
        "50",
        "--out",
        "found",
    ]
    code, out, lines = interrupt(tmp_path, r"[1-9]\d*/200 trainings", options)
    assert (code, out) == (130, "")
    assert said(lines) == [
        "jreg: interrupted; what had been finished is in found, and this goes on: jreg resume found mine.py"
    ]
    states = [row["status"] for row in rows_of(tmp_path / "found" / "trainings.csv")]
    assert len(states) == 200
    assert set(states) == {"completed", "waiting"}
    first = json.loads((tmp_path / "found" / "results.json").read_text())["settings"][0]
    scores = [score for fold in first["scores"] for score in fold if score is not None]
    assert len(scores) > 0
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.slow
def test_ctrl_c_before_anything_was_finished_says_what_goes_on(tmp_path):
    Path("mine.py").write_text(RECIPE)
    endless = ["--epochs", "10000000", "--patience", "10000000"]
    options = ["mine.py", "--data", "wine", "--folds", "2", *endless, "--out", "found"]
    code, out, lines = interrupt(tmp_path, r"compiling one program|0/4 trainings", options)
    assert (code, out) == (130, "")
    assert said(lines)[0].endswith("and this goes on: jreg resume found mine.py")
    assert len(jreg.load_results(tmp_path / "found")) == 0
