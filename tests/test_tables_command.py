"""What the command line does with tables, and how it helps: options, recipes to begin with, completion, quiet."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jreg
from jreg.cli import load_recipe, main
from jreg.cli.data import load_noted
from jreg.store import load_note

pytestmark = pytest.mark.adam
ROWS = 60
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a table as a European spreadsheet writes it."""
    monkeypatch.chdir(tmp_path)
    lines = ["id;patient;weight;price;city;ill"]
    for n, value in enumerate(RNG.normal(size=ROWS)):
        price = f"{1000 + 100 * value:,.2f}".translate(str.maketrans(",.", ".,"))
        lines.append(f"{n};{n // 3};1;{price};{'Ulm' if n % 2 else 'Bonn'};{'ja' if value > 0 else 'nein'}")
    Path("visits.csv").write_text("\n".join(lines) + "\n")


OPTIONS = [
    *("--target", "ill", "--groups", "patient", "--weights", "weight", "--drop", "id"),
    *("--decimal", ",", "--thousands", "."),
]


def ends(arguments, capsys) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        code = ended.code or 0
    return code, *capsys.readouterr()


def test_each_sentence_leads_to_the_option_that_helps(capsys):
    sentences = {
        (): "'id' has another whole number in every row, .*",
        ("--drop", "id"): "'price' has",
        ("--drop", "id", "--decimal", ","): "--thousands .",
    }
    for options, sentence in sentences.items():
        code, out, err = ends(["data", "visits.csv", *options], capsys)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert sentence.removesuffix(".*") in err
    code, out, err = ends(["data", "visits.csv", *OPTIONS, "--json"], capsys)
    found = json.loads(out)
    assert (code, err, [feature["feature"] for feature in found["features"]]) == (
        0,
        "",
        ["price", "city=Bonn", "city=Ulm"],
    )
    assert (found["groups"] + found["test_groups"], found["weights"]["most"]) == (ROWS // 3, 1)
    assert found["notes"] == ["its columns are separated by ';': delimiter=... (--delimiter) says it otherwise"]


def test_a_sweep_reads_the_table_as_it_is_told(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(jreg, "cross_validate", lambda *given, **options: told.append((given, options)) or 1 / 0)
    for quiet in ([], ["--quiet"]):
        with pytest.raises(ZeroDivisionError):
            main(["sweep", "visits.csv", *OPTIONS, *quiet])
        (_, data, _), options = told[-1]
        assert (data.features, data.labels) == (("price", "city=Bonn", "city=Ulm"), ("ja", "nein"))
        assert options["progress"] is not bool(quiet)
        lines = capsys.readouterr().err.splitlines()
        first = "visits: 48 rows in 16 groups, weighted, 12 for the test, classification into 2 classes: ja, nein"
        assert lines[:1] == ([] if quiet else [f"{first} (target 'ill')"])


@pytest.mark.parametrize("name", ["wine", "diabetes", "digits", "visits.csv"])
def test_a_recipe_to_begin_with_runs_as_it_is(name, capsys):
    options = [*OPTIONS, "--missing", "keep"] if name == "visits.csv" else []
    code, out, err = ends(["sweep", "--recipe-template", "--data", name, *options], capsys)
    assert (code, err, Path("runs").exists()) == (0, "", False)
    Path("mine.py").write_text(out)
    function, space = load_recipe(Path("mine.py"))
    assert len(space.settings) == 8
    recipe = function(space.settings[0])
    assert recipe.model.features[-1] == {"wine": 3, "diabetes": 1, "digits": 10, "visits.csv": 2}[name]
    assert (recipe.targets is not None) == (name == "diabetes")
    made = ["chain" if name == "visits.csv" else "standardize", None if recipe.targets is None else "standardize"]
    assert [part and part.made[0] for part in (recipe.preprocess, recipe.targets)] == made


@pytest.mark.slow
def test_a_sweep_of_that_recipe_is_quiet_and_says_what_is_next(capsys):
    Path("mine.py").write_text(ends(["sweep", "--recipe-template", "--data", "wine"], capsys)[1])
    code, out, err = ends(["sweep", "mine.py", "--data", "wine", "--epochs", "2", "--cv", "2", "--quiet"], capsys)
    assert (code, err, out.splitlines()[-1]) == (
        *(0, ""),
        "results and pictures are in runs/wine, the final network in runs/wine/final, the report in "
        "runs/wine/report.html",
    )
    small = ["--epochs", "2", "--cv", "2", "--store", "found"]
    code, out, _ = ends(["sweep", "visits.csv", *OPTIONS, *small], capsys)
    assert (code, out.splitlines()[-2]) == (0, "predict:  jreg predict found NEW.csv --out predictions.csv")
    Path("new.csv").write_text("city;price\nBonn;1.100,5\nMars;900\n")
    assert "unseen='zeros' (--unseen zeros)" in ends(["predict", "found", "new.csv"], capsys)[2]
    code, out, err = ends(["predict", "found", "new.csv", "--unseen", "zeros"], capsys)
    assert (code, err, len(out.splitlines())) == (0, "", 3)
    assert ends(["resume", "found"], capsys)[0] == 0
    # A study of a version that knew fewer options.
    note = load_note(Path("found"), "command")
    assert load_noted(note, Path("found"), None, None).encoder.thousands == "."


def test_a_note_from_before_says_the_same():
    own = {"target": None, "test": None, "drop": [], "categories": ["code"], "unseen": "error", "task": None}
    lines = "".join(f"{n % 100},{n % 2}\n" for n in range(200))
    Path("codes.csv").write_text("code,y\n" + lines)
    note = {**own, "missing": "reject", "test_size": 0.2, "seed": 0, "data": "codes.csv", "recipe": None}
    assert len(load_noted(note, Path("found"), None, None).features) == 100
    with pytest.raises(ValueError, match="doesn't say which data it trained on"):
        load_noted({**note, "thousands": 3}, Path("found"), None, None)


# How a shell is asked for what it would complete a line to, by a script that it has read; zsh has to have a terminal.
ASKED = {
    "bash": """
source ./jreg.bash
for line in "jreg sw" "jreg sweep --thou" "jreg sweep --missing k" "jreg sweep --target po" "jreg sweep po"; do
    COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$line; COMP_POINT=${#line}; COMPREPLY=()
    _jreg 2> /dev/null
    echo "${COMPREPLY[@]}"
done
""",
    "zsh": "zsh -n jreg.zsh && print sweep --thousands keep points.csv",
    "fish": """
function jreg; end
source jreg.fish
for line in "jreg sw" "jreg sweep --thou" "jreg sweep --missing k" "jreg sweep --target po" "jreg sweep po"
    complete -C $line | string replace -r '\\t.*' ''
end
""",
}


@pytest.mark.parametrize("shell", ASKED)
def test_a_shell_completes_commands_options_and_files(shell, capsys):
    assert ends(["--tyro-write-completion", shell, f"jreg.{shell}"], capsys)[:2] == (0, "")
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}, which the completion is tried in")
    Path("points.csv").touch()
    done = subprocess.run([program, "-c", ASKED[shell]], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["sweep", "--thousands", "keep", "points.csv"], done.stderr


def test_a_completion_is_printed_or_written_for_shells_that_are_known(capsys):
    code, out, _ = ends(["--tyro-print-completion", "zsh"], capsys)
    assert (code, out.splitlines()[0]) == (0, "#compdef jreg")
    assert "None" not in out
    for arguments in (["--tyro-print-completion"], ["--tyro-write-completion", "bash"]):
        code, _, err = ends(arguments, capsys)
        assert (code, f"{arguments[0]} takes bash or zsh or fish" in err) == (2, True)


def test_colours_go_where_no_color_asks_and_lines_fit_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    code, out, _ = ends(["data", "--help"], capsys)
    boxes = [line for line in out.partition("examples:")[0].splitlines() if line.startswith((" ", "│", "╭"))]
    assert (code, max(map(len, boxes))) == (0, 40)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = ends(["data", "--help"], capsys)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    plain = ends(["data", "--help"], capsys)[1]
    assert ("\x1b" in coloured, "\x1b" in plain, "--thousands SIGN" in plain) == (True, False, True)
