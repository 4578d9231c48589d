"""What users get wrong, through Python and through the command line: one sentence that names the value."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optax
import optuna
import pytest

import jreg
from jreg import losses, nn, penalties
from jreg.cli.commands import main

HEAD = """
import optax
from flax import linen

import jreg
from jreg import losses, nn, penalties

def plain(model=None, optimizer=None, loss=losses.softmax_cross_entropy, **options):
    return jreg.Recipe(model or nn.MLP((3,)), loss, optimizer or optax.sgd(0.1), **options)

class Theirs(linen.Module):
    rate: float

    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dropout(self.rate, deterministic=not train)(linen.Dense(3)(x))

"""
GOOD = """
space = jreg.grid(l2=[0.0, 0.1])
def recipe(hp):
    return plain(penalty=hp["l2"] * jreg.on_params(penalties.l2))
"""


def use(axes: str, body: str) -> str:
    """The source of a recipe file."""
    return f"space = jreg.grid({axes})\ndef recipe(hp):\n    return {body}\n"


def points(**other: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(12, 2)), "y": np.arange(12) % 3} | other


def spoilt(value: float) -> np.ndarray:
    x = points()["x"]
    x[7, 1] = value
    return x


@dataclasses.dataclass
class Case:
    """A study that can't run: what is wrong, and the error and sentence it must end with."""

    name: str
    error: type[Exception]
    sentence: str
    recipe: str = GOOD
    data: str | dict[str, np.ndarray] = dataclasses.field(default_factory=points)
    folds: int = 3
    epochs: int = 2
    patience: int = 2
    batch_size: int = 8
    seeds: int = 1


L2 = 'plain(penalty=hp["l2"] * jreg.on_params(penalties.l2))'
DROPOUT = 'plain(nn.MLP((4, 3), dropout=hp["dropout"]))'
CASES = [
    # the data
    Case("unknown data set", ValueError, "there is no data set 'irsi': choose one of digits, ", data="irsi"),
    Case("missing file", FileNotFoundError, "there is no file nowhere.npz", data="nowhere.npz"),
    Case("no y", ValueError, "mine.npz has no array y: it holds x", data={"x": points()["x"]}),
    Case("negative label", ValueError, "y has label -1, out of range", data=points(y=np.arange(12) % 3 - 1)),
    Case(
        "test label unknown to y",
        ValueError,
        "y_test has label 3, out of range: y has labels 0 to 2",
        data=points(x_test=np.zeros((1, 2)), y_test=np.array([3])),
    ),
    Case(
        "label beyond the outputs",
        ValueError,
        "mine has label 4, out of range: the model has 3 outputs",
        data=points(y=np.repeat([0, 1, 4], 4)),
    ),
    Case("NaN", ValueError, "mine's x has NaN or infinity (first in row 7)", data=points(x=spoilt(np.nan))),
    Case("infinity", ValueError, "mine's x has NaN or infinity (first in row 7)", data=points(x=spoilt(np.inf))),
    Case("NaN as a target", ValueError, "mine's y has NaN", data=points(y=np.full(12, np.nan))),
    Case("complex numbers", ValueError, "must be an array of real numbers", data=points(x=points()["x"] + 1j)),
    Case("other row counts", ValueError, "mine has 12 rows in x but 11 in y", data=points(y=np.arange(11) % 3)),
    # the folds and the numbers of the study
    Case("fewer rows than folds", ValueError, "mine has 12 rows, fewer than the 13 folds asked for", folds=13),
    Case("class smaller than folds", ValueError, "mine's class 0 has 4 examples, fewer than the 5 folds", folds=5),
    Case("one fold", ValueError, "the number of folds is 1, but must be at least 2", folds=1),
    Case("no epochs", ValueError, "epochs is 0, but must be at least 1", epochs=0),
    Case("negative epochs", ValueError, "epochs is -3, but must be at least 1", epochs=-3),
    Case("negative patience", ValueError, "EarlyStopping's patience is -1, but must be at least 0", patience=-1),
    Case("no batch", ValueError, "batch_size is 0, but must be at least 1", batch_size=0),
    # the space
    Case("empty space", ValueError, "the space is empty", recipe=GOOD + "space = []\n"),
    Case("a dict as the space", TypeError, "the space is a dict", recipe=GOOD + "space = {'l2': [0.1]}\n"),
    Case(
        "settings of other names", ValueError, "has other hyper", recipe=GOOD + "space = [{'l2': 0.1}, {'l1': 0.1}]\n"
    ),
    Case(
        "a distribution in a grid",
        TypeError,
        "hyperparameter 'l2' has the value Uniform(low=0.0, high=1.0), a distribution: give it alone, to",
        recipe=GOOD + "space = [{'l2': jreg.search.uniform(0.0, 1.0)}]\n",
    ),
    Case(
        "a drawn rate above one",
        ValueError,
        "MLP's dropout is ",
        recipe=use("dropout=[0.1]", DROPOUT) + "space = jreg.random_space(9, 0, dropout=jreg.search.uniform(2, 3))\n",
    ),
    Case("negative strength", ValueError, "the strength of l2 is -0.1", recipe=use("l2=[0.1, -0.1]", L2)),
    Case("infinite strength", ValueError, "the strength of l2 is inf", recipe=use("l2=[0.1, float('inf')]", L2)),
    Case("rate of one", ValueError, "MLP's dropout is 1, but a rate", recipe=use("dropout=[0.5, 1.0]", DROPOUT)),
    Case("negative rate", ValueError, "dropout is -0.1, but a rate", recipe=use("dropout=[-0.1, 0.5]", DROPOUT)),
    Case(
        "the bad setting is named",
        ValueError,
        "(in the setting l2=0.2 dropout=-0.5)",
        recipe=use("l2=[0.2, 0.3], dropout=[0.0, -0.5]", DROPOUT.replace("dropout=", "dropout=hp['l2'] * 0 + ")),
    ),
    Case(
        "never read",
        ValueError,
        "the recipe never reads hyperparameter 'l1'",
        recipe=use("l2=[0.1], l1=[0.1, 0.2]", L2),
    ),
    Case(
        "not in the space",
        KeyError,
        "the recipe reads hyperparameter 'l2', which is not in the space: it has alpha",
        recipe=use("alpha=[0.1]", L2),
    ),
    # what the recipe returns
    Case("returns nothing", TypeError, "the recipe returns a NoneType, but must", recipe=use("l2=[0.1]", "None")),
    Case(
        "returns a dict", TypeError, "the recipe returns a dict, but must", recipe=use("l2=[0.1]", "dict(l=hp['l2'])")
    ),
    Case(
        "no model",
        TypeError,
        "a recipe's model is a int, but must be",
        recipe=use("lr=[0.1]", "plain(3, optax.sgd(hp['lr']))"),
    ),
    Case(
        "no loss",
        TypeError,
        "the recipe's loss is 'mse', but must be a function",
        recipe=use("lr=[0.1]", "plain(None, optax.sgd(hp['lr']), 'mse')"),
    ),
    Case(
        "no optimizer",
        TypeError,
        "the recipe's optimizer is 0.1, but must be an optax transform",
        recipe=use("lr=[0.1]", "plain(None, hp['lr'])"),
    ),
    Case(
        "a number as penalty",
        TypeError,
        "the recipe's penalty is 0.1, but must come from jreg.on_params",
        recipe=use("l2=[0.1]", "plain(penalty=hp['l2'])"),
    ),
    Case(
        "its batch size",
        ValueError,
        "the recipe's batch_size is 0, but must be at least 1",
        recipe=use("batch_size=[8, 0]", "plain(batch_size=hp['batch_size'])"),
    ),
    Case(
        "an unknown activation",
        ValueError,
        "MLP's activation is 'relux', but jax.nn has no such function",
        recipe=use("activation=['relu', 'relux']", "plain(nn.MLP((4, 3), activation=hp['activation']))"),
    ),
    # a traced value where Python needs a number
    Case(
        "Flax's Dropout",
        TypeError,
        "the recipe puts hyperparameter 'rate' where Python needs a plain number",
        recipe=use("rate=[0.1, 0.5]", "plain(Theirs(hp['rate']))"),
    ),
    Case(
        "optax's exponential_decay",
        TypeError,
        "the recipe puts hyperparameter 'decay' where Python needs a plain number",
        recipe=use("decay=[0.8, 0.9]", "plain(None, optax.sgd(optax.exponential_decay(0.1, 9, hp['decay'])))"),
    ),
    Case(
        "an if",
        TypeError,
        "the recipe puts hyperparameter 'l2' where Python needs a plain number",
        recipe=use("l2=[0.1, 0.2]", "plain(nn.MLP((3,) if hp['l2'] > 0.15 else (4, 3)))"),
    ),
]
table = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, and a command line that leaves this process's devices alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jreg, "use_cpu_devices", lambda: None)


def data_of(case: Case) -> str:
    if isinstance(case.data, str):
        return case.data
    np.savez("mine.npz", **case.data)
    return "mine.npz"


def by_python(case: Case) -> str:
    """The sentence that the study ends with in Python."""
    space: dict[str, Any] = {}
    exec(HEAD + case.recipe, space)
    with pytest.raises(case.error) as found:
        jreg.cross_validate(
            space["recipe"],
            jreg.load_dataset(data_of(case), test_size=0),
            space["space"],
            cv=case.folds,
            seeds=case.seeds,
            epochs=case.epochs,
            batch_size=case.batch_size,
            stopping=jreg.EarlyStopping(case.patience),
            store="stored",
            progress=False,
        )
    assert type(found.value) is case.error
    return found.value.args[0] if case.error is KeyError else str(found.value)


def arguments(case: Case) -> list[str]:
    """The same study on the command line."""
    Path("recipe.py").write_text(HEAD + case.recipe)
    numbers = ("folds", "epochs", "patience", "batch_size", "seeds")
    options = [text for name in numbers for text in (f"--{name.replace('_', '-')}", str(getattr(case, name)))]
    return ["sweep", "recipe.py", "--data", data_of(case), "--test-size", "0", *options]


def refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says, when it ends as it should."""
    with pytest.raises(SystemExit) as found:
        main(given)
    assert found.value.code == 2
    out, err = capsys.readouterr()
    return said(out, err)


def said(out: str, err: str) -> str:
    """The one sentence on standard error, progress left out."""
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("compiling one program for ")]
    assert len(lines) == 1, err
    assert lines[0].startswith("jreg: ")
    assert not list(Path.cwd().glob("*/results.json"))
    assert not Path("runs").exists()
    return lines[0].removeprefix("jreg: ")


@table
def test_python_raises_one_sentence_and_the_command_line_prints_it(case, capsys):
    sentence = by_python(case)
    assert case.sentence in sentence
    assert "\n" not in sentence
    assert not Path("stored").exists()
    assert refused(arguments(case), capsys) == sentence


@pytest.mark.parametrize(
    "name",
    [
        "missing file",
        pytest.param("negative strength", marks=pytest.mark.slow),
        pytest.param("optax's exponential_decay", marks=pytest.mark.slow),
    ],
)
def test_a_real_process_ends_the_same_way(name):
    case = next(case for case in CASES if case.name == name)
    done = subprocess.run(
        [sys.executable, "-m", "jreg", *arguments(case)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert case.sentence in said(done.stdout, done.stderr)


def test_traceback_shows_where_a_mistake_was_noticed():
    with pytest.raises(ValueError, match="there is no data set 'irsi'"):
        main(["sweep", "--data", "irsi", "--traceback"])


DRAWN = [
    ("0, seed=0, l2=[0.1]", "ValueError: random_space's count is 0, but must be at least 1"),
    ("4, l2=[0.1]", "TypeError: random_space() missing 1 required positional argument: 'seed'"),
    (
        "4, 0, method='lhs', l2=[0.1]",
        "ValueError: random_space's method is 'lhs', but must be one of 'random', 'sobol'",
    ),
    ("4, 0, l2=jreg.search.uniform(2, 1)", "ValueError: uniform's low is 2 and its high 1, but low must be below high"),
    ("4, 0, l2=jreg.search.log_uniform(0, 1)", "ValueError: log_uniform's low is 0, but must be above 0"),
    ("4, 0, l2=jreg.search.uniform(0, 1e999)", "ValueError: uniform's high is inf, but must be a finite number"),
    ("4, 0, l2=jreg.search.choice([])", "ValueError: the space is empty: choice has no values"),
    ("4, 0, l2=jreg.search.choice([1], [-1])", "ValueError: a weight of choice is -1, but must be a finite number of"),
    ("4, 0, l2=jreg.search.choice([1], [1, 2])", "ValueError: choice has 2 weights for 1 values: give one weight"),
    (
        "4, 0, l2=jreg.search.when('on', 1, [0.1], otherwise=0)",
        "ValueError: hyperparameter 'l2' depends on 'on', which is not in the space: it has l2",
    ),
]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def recipe(hp: pass", "recipe.py can't be run: SyntaxError: "),
        ("import no_such_module", "recipe.py can't be run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "recipe.py can't be run: ZeroDivisionError: division by zero"),
        *(
            (f"space = jreg.random_space({arguments})", f"recipe.py can't be run: {sentence}")
            for arguments, sentence in DRAWN
        ),
        (use("l2=[]", L2), "recipe.py can't be run: ValueError: the space is empty: hyperparameter 'l2' has no values"),
        ("space = jreg.grid(l2=[0.1])", "recipe.py has no function recipe(hp): define one"),
        ("recipe = 3\nspace = jreg.grid(l2=[0.1])", "recipe.py has no function recipe(hp): define one"),
        ("def recipe(hp): pass", "recipe.py has no space: define one, such as space = jreg.grid("),
        ("", "recipe.py has no function recipe(hp)"),
    ],
)
def test_a_recipe_file_that_does_not_work_is_named(source, sentence, capsys):
    Path("recipe.py").write_text(HEAD + source if source else "")
    assert refused(["sweep", "recipe.py", "--data", "wine"], capsys).startswith(sentence)


def test_a_missing_recipe_file_is_named(capsys):
    assert refused(["sweep", "no.py"], capsys) == "there is no recipe file no.py"
    assert refused(["sweep", "."], capsys) == "there is no recipe file ."


def test_a_recipe_file_ends_in_py(capsys):
    Path("recipe.txt").write_text(HEAD + GOOD)
    assert refused(["sweep", "recipe.txt"], capsys).startswith("recipe.txt is no Python file")


def test_a_recipe_that_raises_its_own_sentence_keeps_it(capsys):
    Path("recipe.py").write_text(
        "import jreg\nspace = jreg.grid(l2=[0.1])\ndef recipe(hp):\n    raise ValueError('no luck')\n"
    )
    assert refused(["sweep", "recipe.py", "--data", "wine"], capsys) == "no luck (in the setting l2=0.1)"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--folds", "x"],
        ["--epochs", "2.5"],
        ["--test-size", "some"],
        ["--no-such-option"],
        ["--patience"],
        ["one.py", "two.py"],
    ],
    ids=" ".join,
)
def test_a_wrong_argument_ends_with_code_two(wrong, capsys):
    with pytest.raises(SystemExit) as found:
        main(["sweep", *wrong])
    assert found.value.code == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert list(Path.cwd().iterdir()) == []


def test_a_share_of_test_rows_outside_its_interval_is_named(capsys):
    for size in ("1.0", "-0.2", "nan"):
        sentence = refused(["sweep", "--data", "wine", "--test-size", size], capsys)
        assert sentence == f"test_size is {float(size)}, but must lie in [0, 1)"


def test_no_command_at_all_ends_with_code_two(capsys):
    with pytest.raises(SystemExit) as found:
        main([])
    assert found.value.code == 2


def recipe(hp):
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["learning_rate"]))


SPACE = jreg.grid(learning_rate=[0.1])


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"epochs": "3"}, TypeError, "epochs is '3', but must be a whole number"),
        ({"epochs": 2.5}, TypeError, "epochs is 2.5, but must be a whole number"),
        ({"batch_size": 8.0}, TypeError, "batch_size is 8.0, but must be a whole number"),
        ({"cv": 3.0}, TypeError, "cv is 3.0, but must be a number of folds"),
        ({"cv": None}, TypeError, "cv is None, but must be a number of folds"),
        ({"seeds": 0}, ValueError, "seeds is 0, but must be at least 1"),
        ({"seeds": 1.5}, TypeError, "seeds is 1.5, but must be a whole number"),
        ({"seeds": []}, ValueError, r"seeds are \(\), but must be one or more different numbers"),
        ({"seeds": [4, 4]}, ValueError, r"seeds are \(4, 4\), but must be one or more different numbers"),
        ({"seeds": [-1]}, ValueError, "a seed is -1, but must be at least 0"),
        ({"seeds": [2**32]}, ValueError, r"seeds are \(4294967296,\), but must be .* below 2\*\*32"),
        ({"score": "val_f1"}, ValueError, "score is 'val_f1', but measured are only: val_loss, val_accuracy"),
        ({"score": "train_loss"}, ValueError, "score is 'train_loss', but measured are only: val_loss, val_accuracy"),
        (
            {"stopping": jreg.EarlyStopping(3, monitor="val_f1")},
            ValueError,
            "EarlyStopping monitors 'val_f1', but measured are only: train_loss, .*val_loss, val_accuracy",
        ),
        ({"recipe": None}, TypeError, "the recipe is a NoneType, but must be a function of the hyperparameters"),
        ({"recipe": recipe({"learning_rate": 0.1})}, TypeError, "the recipe is a Recipe, but must be a function"),
        ({"space": jreg.grid(learning_rate=[0.1]).axes}, TypeError, "the space is a dict, but must come from"),
    ],
)
def test_a_study_checks_what_it_is_told(blobs, options, error, sentence):
    given = {"recipe": recipe, "space": SPACE, "cv": 3, "epochs": 1, "progress": False} | options
    with pytest.raises(error, match=sentence):
        jreg.cross_validate(given.pop("recipe"), blobs, given.pop("space"), **given)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"patience": -1}, ValueError, "EarlyStopping's patience is -1, but must be at least 0"),
        ({"patience": 1.5}, TypeError, "EarlyStopping's patience is 1.5, but must be a whole number"),
        ({"patience": "5"}, TypeError, "EarlyStopping's patience is '5'"),
        ({"patience": 1, "min_delta": -0.1}, ValueError, "EarlyStopping's min_delta is -0.1, but"),
        ({"patience": 1, "min_delta": float("nan")}, ValueError, "EarlyStopping's min_delta is nan, but"),
        ({"patience": 1, "mode": "best"}, ValueError, "EarlyStopping's mode is 'best', but must be 'auto'"),
    ],
)
def test_early_stopping_checks_what_it_is_told(options, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.EarlyStopping(**options)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0, but must be at least 1"),
        ({"epochs": 1.0}, TypeError, "epochs is 1.0, but must be a whole number"),
        ({"batch_size": -8}, ValueError, "batch_size is -8, but must be at least 1"),
        ({"hp": {}}, KeyError, "reads hyperparameter 'learning_rate', which is not in the space: it has none"),
        ({"stopping": jreg.EarlyStopping(1)}, ValueError, "EarlyStopping monitors 'val_loss', but measured are only"),
    ],
)
def test_a_single_training_checks_what_it_is_told(blobs, options, error, sentence):
    given = {"hp": {"learning_rate": 0.1}, "epochs": 1} | options
    with pytest.raises(error, match=sentence):
        jreg.fit(jreg.member_key(0, 0), recipe, blobs, given.pop("hp"), **given)


def test_a_single_training_names_the_traced_value_too(blobs):
    def scheduled(hp):
        schedule = optax.exponential_decay(0.1, 9, hp["decay"])
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(schedule))

    with pytest.raises(TypeError, match="hyperparameter 'decay' where Python needs a plain number"):
        jreg.fit(jreg.member_key(0, 0), scheduled, blobs, {"decay": 0.5}, epochs=1)


@pytest.mark.slow
def test_a_traced_value_that_is_refused_trains_once_it_is_static(blobs):
    def branching(hp):
        return jreg.Recipe(nn.MLP((3,) if hp["l2"] > 0.15 else (4, 3)), losses.softmax_cross_entropy, optax.sgd(0.1))

    space = jreg.grid(l2=[0.1, 0.2]).as_static("l2")
    study = jreg.cross_validate(branching, blobs, space, cv=2, epochs=1, progress=False)
    assert np.isfinite(study.scores).all()


def drop(history):
    return history.kept


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"race": jreg.Race.at([9], drop)}, ValueError, "a race has a rung of 9 epochs, but the study has only 3"),
        ({"race": jreg.successive_halving(5)}, ValueError, "a race's least is 5 epochs, but the study has only 3"),
        (
            {"race": jreg.paired_elimination(0.05, least=4)},
            ValueError,
            "paired_elimination's least is 4, but must be below 3, the study's folds x seeds",
        ),
        ({"race": jreg.successive_halving(1), "epochs": "3"}, TypeError, "epochs is '3', but must be a whole number"),
        ({"race": jreg.successive_halving}, TypeError, "race is a function, but must be a jreg.Race"),
        ({"race": drop}, TypeError, "race is a function, but must be a jreg.Race, such as jreg.successive_halving"),
        (
            {"race": jreg.successive_halving(1), "warm": "l2"},
            ValueError,
            "a warm path trains every setting to its end, so it can't race: give race or warm, not both",
        ),
        ({"warm": "l3"}, KeyError, "the space has no hyperparameter 'l3': it has l2, width"),
        ({"warm": "width"}, ValueError, "a warm path goes along a traced strength, but 'width' is static"),
        ({"warm": 0.5}, KeyError, "the space has no hyperparameter 0.5: it has l2, width"),
        (
            {"warm": "l2", "space": [{"l2": 0.1, "width": 2}, {"l2": 0.2, "width": 2}, {"l2": 0.1, "width": 3}]},
            ValueError,
            "a warm path needs equally many values of 'l2' in each combination of the others",
        ),
    ],
)
def test_races_and_paths_check_what_they_are_told(blobs, options, error, sentence):
    given = {"space": jreg.grid(l2=[0.1, 0.2], width=[2, 3]), "cv": 3, "epochs": 3, "progress": False} | options
    with pytest.raises(error, match=sentence):
        jreg.cross_validate(penalized, blobs, given.pop("space"), **given)


def penalized(hp):
    return jreg.Recipe(
        nn.MLP((hp.get("width", 2), 3)),
        losses.softmax_cross_entropy,
        optax.sgd(0.1),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, r"returned object of shape \(\)"),
        (True, r"returned bool of shape \(\)"),
        ([True], r"returned bool of shape \(1,\)"),
        ([0, 1], r"returned int64 of shape \(2,\)"),
        (np.ones((2, 1), bool), r"returned bool of shape \(2, 1\)"),
    ],
)
def test_a_pruner_that_answers_wrongly_is_told_so(blobs, answer, found):
    race = jreg.Race.at([1], lambda history: answer)
    with pytest.raises(ValueError, match=f"the race's pruner {found}, but must return a flag for each of the 2 setti"):
        jreg.cross_validate(penalized, blobs, jreg.grid(l2=[0.1, 0.2]), cv=2, epochs=2, race=race, progress=False)


class Asker:
    """An asker that gives these settings, or answers wrongly."""

    def __init__(self, *settings, goes_on=True, fault=None):
        self.settings, self.goes_on, self.fault, self.told = list(settings), goes_on, fault, []

    def ask(self):
        return len(self.settings), self.settings.pop(0)

    def report(self, trial, epoch, score):
        return self.goes_on

    def tell(self, trial, score, ending):
        self.told.append(ending)

    def check(self, maximize):
        if self.fault:
            raise ValueError(self.fault)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ([{}], ValueError, r"the asker gave the setting {}, but must give at least one hyperparameter"),
        ([None], TypeError, "the asker gave the setting None, but must give a mapping of names to values"),
        ([{"l2": 0.1}, None], TypeError, "the setting is None, but must be a mapping of names to values"),
        ([{"l2": 0.1}, {"l1": 0.1}], ValueError, "the setting {'l1': 0.1} has other hyperparameters than the first"),
        ([{"l2": 0.1}, {"l2": 0.1, "l1": 0.1}], ValueError, "give those that don't apply a fixed value"),
        ([{"l2": 0.1}, {"l2": 0}], TypeError, "a setting has l2=0 after 0.1, but a hyperparameter is a floating numb"),
        ([{"l2": 0}, {"l2": 0.1}], TypeError, "a setting has l2=0.1 after 0, but a hyperparameter is a floating numb"),
        ([{"l2": float("nan")}], ValueError, "hyperparameter 'l2' has the value NaN"),
        ([{"l2": [0.1]}], TypeError, "hyperparameter 'l2' has the value"),
        ([{"l1": 0.1}], KeyError, "the recipe reads hyperparameter 'l2', which is not in the space: it has l1"),
        ([{"l2": -1.0}], ValueError, r"the strength of l2 is -1, but .*in the setting l2=-1\)"),
    ],
)
def test_a_search_checks_the_settings_it_is_given(blobs, settings, error, sentence):
    asker = Asker(*settings)
    with pytest.raises(error, match=sentence):
        jreg.optimize(penalized, blobs, asker, trials=2, cv=2, epochs=2, progress=False)
    # Whoever asks learns that none of what was asked for came to an end.
    assert set(asker.told) <= {"failed"}
    assert len(asker.told) == len(settings)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"trials": 0}, ValueError, "trials is 0, but must be at least 1"),
        ({"trials": 2.0}, TypeError, "trials is 2.0, but must be a whole number"),
        ({"every": 0}, ValueError, "every is 0, but must be at least 1"),
        ({"epochs": 2.5}, TypeError, "epochs is 2.5, but must be a whole number"),
        ({"seeds": []}, ValueError, r"seeds are \(\), but must be one or more different numbers"),
        ({"cv": None}, TypeError, "cv is None, but must be a number of folds"),
        ({"score": "val_f1"}, ValueError, "score is 'val_f1', but measured are only: val_loss, val_accuracy"),
        ({"asker": Asker({"l2": 0.1}, fault="the wrong way")}, ValueError, "the wrong way"),
        ({"asker": Asker({"l2": 0.1}, goes_on=None)}, TypeError, "the asker's report returned None, but must say whe"),
        ({"asker": None}, TypeError, "the asker is a NoneType, but must have the methods ask, report, tell and check"),
    ],
)
def test_a_search_checks_what_it_is_told(blobs, options, error, sentence):
    given = {"asker": Asker({"l2": 0.1}), "trials": 1, "cv": 2, "epochs": 2, "progress": False} | options
    with pytest.raises(error, match=sentence):
        jreg.optimize(penalized, blobs, given.pop("asker"), **given)


def test_optuna_that_goes_the_wrong_way_is_told_so(blobs):
    study = optuna.create_study(direction="minimize")

    def suggest(trial):
        return {"l2": trial.suggest_float("l2", 0.0, 1.0)}

    with pytest.raises(ValueError, match="Optuna's study has direction='minimize', but the score needs 'maximize'"):
        jreg.optimize(penalized, blobs, jreg.Optuna(study, suggest), trials=1, cv=2, epochs=1, progress=False)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    with pytest.raises(TypeError, match=r"Optuna's study is a dict, but must come from optuna.create_study"):
        jreg.Optuna({}, suggest)
    with pytest.raises(TypeError, match="suggest is a dict, but must be a function of an Optuna trial"):
        jreg.Optuna(study, {})  # ty: ignore[invalid-argument-type]
    several = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(ValueError, match="has the directions maximize, minimize, but there is one score"):
        jreg.Optuna(several, suggest).check(True)
    with pytest.raises(TypeError, match="suggest returned None, but must return a setting"):
        jreg.Optuna(study, lambda trial: None).ask()  # ty: ignore[invalid-argument-type]
