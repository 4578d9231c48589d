"""The observers in docs/callbacks.md, each against a small stand-in for its package."""

import re
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scored import results_of
from sklearn.base import BaseEstimator, ClassifierMixin

import jreg
from jreg import estimators
from jreg.report.progress import Progress
from jreg.study.answers import Answers
from jreg.training import Epoch, Status

PAGE = (Path(__file__).parents[1] / "docs" / "callbacks.md").read_text()
SECTIONS = {
    title.strip(): "\n".join(re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for title, text in re.findall(r"^##? (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
DONE = 9  # three settings on three folds
SCORES = np.linspace(0.7, 0.9, DONE).reshape(3, 3, 1)


class Run:
    """A writer of any kind: what it was told, by the name of the method."""

    def __init__(self, told=None):
        self.told = defaultdict(list) if told is None else told

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.told["closed"].append(error[0])

    def __getattr__(self, name):
        return lambda *given, **named: self.told[name].append((given, named))


def tell(progress):
    """Tells an observer what a study of nine trainings does."""
    best = float(SCORES.mean(axis=(1, 2)).max())
    progress(Progress(0, DONE, None, "val_accuracy", 0.0, None, compiling=DONE))
    progress(Progress(4, DONE, None, "val_accuracy", 1.0, 1.0, running=2, queued=3))
    progress(Progress(DONE, DONE, best, "val_accuracy", 2.0, 0.0))


class Told(Answers):
    """A study that has scores and was never trained."""

    def __init__(self, recipe, data, space, *, cv, epochs, progress):
        tell(progress)
        self.results = results_of(space, SCORES, epochs=epochs)


def told_of_epochs(key, recipe, data, hp, *, epochs, progress):
    losses = np.linspace(2.0, 1.0, epochs)
    for epoch, loss in enumerate(losses, 1):
        progress(Epoch(epoch, epochs, {"train_loss": loss}, Status.RUNNING))
    return types.SimpleNamespace(history={"train_loss": losses})


class ToldClassifier(ClassifierMixin, BaseEstimator):
    """Has the arguments of jreg's that the page uses, and no network."""

    def __init__(self, recipe=None, space=None, *, cv=5, epochs=100, patience=10, progress=False, random_state=None):
        self.recipe, self.space, self.cv, self.epochs = recipe, space, cv, epochs
        self.patience, self.progress, self.random_state = patience, progress, random_state

    def fit(self, X, y):  # noqa: N803
        tell(self.progress)
        self.study_ = "a study"
        return self


@pytest.fixture(params=["told", pytest.param("trained", marks=pytest.mark.slow)])
def shared(request, monkeypatch):
    """What the page's first block defines; the default studies train nothing, since jreg's own tests do."""
    if request.param == "told":
        blobs = jreg.Dataset(np.zeros((6, 2), np.float32), np.arange(6) % 3, name="points")
        stand_in = vars(jreg) | {"cross_validate": Told, "fit": told_of_epochs, "load_dataset": lambda name: blobs}
        monkeypatch.setattr(estimators, "StudyClassifier", ToldClassifier)
        monkeypatch.setitem(sys.modules, "jreg", types.SimpleNamespace(**stand_in))
    names = {}
    exec(SECTIONS["Callbacks"], names)
    return names


def run(section, shared, monkeypatch, **modules):
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    names = dict(shared)
    exec(SECTIONS[section], names)
    return names


def of_package(name, **values):
    module = types.ModuleType(name)
    vars(module).update(values)
    return module


def test_every_section_with_code_is_run_here():
    assert {title for title, code in SECTIONS.items() if code} == {
        "Callbacks", "TensorBoard", "Weights & Biases", "MLflow", "Callbacks of scikit-learn's"
    }  # fmt: skip


def test_tensorboard_gets_the_best_score_and_the_curves(shared, monkeypatch):
    writer = Run()
    module = of_package("tensorboardX", SummaryWriter=lambda folder: writer)
    names = run("TensorBoard", shared, monkeypatch, tensorboardX=module)
    told = defaultdict(dict)
    for (name, value, step), _ in writer.told["add_scalar"]:
        told[name][step] = float(value)
    study = names["study"]
    assert told["best val_accuracy"][DONE] == pytest.approx(study.best.mean, abs=1e-6)
    assert max(told["trainings"].values()) == DONE
    means = study.curve("val_accuracy")[study.best.number].mean(axis=(0, 1))
    assert [told["val_accuracy"][epoch] for epoch in range(5)] == pytest.approx(means.tolist())
    fitted = names["fitted"].history["train_loss"].tolist()
    assert [told["fit/train_loss"][epoch] for epoch in (1, 2)] == pytest.approx(fitted)
    assert writer.told["closed"] == [None, None]


def test_weights_and_biases_gets_progress_and_the_table(shared, monkeypatch):
    writer = Run()
    writer.summary = Run(writer.told)
    module = of_package("wandb", init=lambda **given: writer, Table=lambda columns, data: (columns, data))
    study = run("Weights & Biases", shared, monkeypatch, wandb=module)["study"]
    *lines, table = [given[0] for given, _ in writer.told["log"]]
    assert lines[-1] == {
        "trainings": DONE, "running": 0, "best val_accuracy": pytest.approx(study.best.mean, abs=1e-6)
    }  # fmt: skip
    columns, rows = table["settings"]
    assert len(columns) == len(rows[0])
    assert [row[1] for row in rows] == [result.mean for result in study.ranking]
    assert writer.told["update"] == [((study.best.hyperparameters,), {})]


def test_mlflow_gets_metrics_parameters_and_the_picture(shared, monkeypatch):
    writer = Run()
    functions = ("log_metric", "log_params", "log_figure")
    module = of_package("mlflow", start_run=lambda: writer, **{name: getattr(writer, name) for name in functions})
    study = run("MLflow", shared, monkeypatch, mlflow=module)["study"]
    *best, (error, _) = writer.told["log_metric"]
    assert best[-1] == (("best_val_accuracy", pytest.approx(study.best.mean, abs=1e-6)), {"step": DONE})
    assert error == ("standard_error", study.best.standard_error)
    assert [given[0] for given, _ in writer.told["log_params"]] == [shared["options"], study.best.hyperparameters]
    ((figure, name), _) = writer.told["log_figure"][0]
    assert (figure.get_suptitle().split(":")[0], name) == (study.spec.data, "scores.png")


def test_a_stage_has_no_best_score_and_does_no_harm(monkeypatch):
    writer = Run()
    monkeypatch.setitem(sys.modules, "mlflow", of_package("mlflow", log_metric=writer.log_metric))
    names = {}
    exec(SECTIONS["MLflow"].partition("\n\n\nwith ")[0], names)
    names["track"](Progress.of_stage("refitting"))
    assert not writer.told


def test_scikit_learns_callbacks_see_each_training(shared, monkeypatch):
    callbacks = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")

    class Recorder:
        """Follows scikit-learn's FitCallback."""

        def __init__(self):
            self.told = []

        def setup(self, estimator, context):
            self.told.append("setup")

        def teardown(self, estimator, context):
            self.told.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None):  # noqa: N803
            self.told.append(("begin", context.task_name))

        def on_fit_task_end(self, estimator, context, *, X=None, y=None):  # noqa: N803
            self.told.append(("end", context.task_name))

    recorder = Recorder()
    monkeypatch.setattr(callbacks, "ProgressBar", lambda: recorder)
    study = run("Callbacks of scikit-learn's", shared, monkeypatch)["study"]
    training = [("begin", "training"), ("end", "training")]
    assert recorder.told == ["setup", ("begin", "fit"), *training * DONE, ("end", "fit"), "teardown"]
    assert study.progress is False
    assert study.study_
    if shared["jreg"] is jreg:
        assert study.score(shared["data"].x, shared["data"].y) > 0.5
