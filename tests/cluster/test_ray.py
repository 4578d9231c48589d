"""Studies on a local Ray cluster with two workers: equal to the local ones, whatever happens to the workers.

nox -s ray
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from studies import ASKED, SPACE, TRAININGS, Counted, make, wine, workers

import jreg
from jreg.executors.crew import RayCrew
from jreg.executors.messages import Answered
from jreg.training import Status

ray = pytest.importorskip("ray")
HERE = Path(__file__).parent
RECIPE = """
import optax, jreg
from jreg import losses, nn, penalties

def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((160, 3)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)

space = jreg.grid(l2=[0.0, 1e-3, 1e-2], rate=[1e-2])
"""
# What the processes of a cluster warn of when they are forked, and what its sockets do when it is left.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A GPU that is promised and isn't there.
        ray.init(
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            object_store_memory=200 * 2**20,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def data():
    return wine()


def two(**options):
    return jreg.executors.Ray(num_workers=2, resources={"CPU": 1}, **options)


@pytest.fixture(scope="module")
def local(data):
    return jreg.cross_validate(make(), data, SPACE, **ASKED)


def assert_same(one, two):
    for name in ("status", "epochs", "best_epochs", "history"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.fixture
def sent(monkeypatch):
    """Which trainings were sent to whom, and which answers came, in order."""
    found, send, receive = [], RayCrew.send, RayCrew.receive

    def noted(self, worker, step, plans):
        ids = [number for _, jobs in step.blocks for number in jobs.id.ravel().tolist()]
        found.append(("sent", worker, step.generation, ids))
        send(self, worker, step, plans)

    def heard(self, seconds):
        events = receive(self, seconds)
        for event in events:
            if isinstance(event, Answered):
                ids = [number for outcome in event.answer.outcomes for number in outcome.id.tolist()]
                found.append(("answered", event.worker, event.answer.generation, ids))
            else:
                found.append((type(event).__name__, event.worker, None, []))
        return events

    monkeypatch.setattr(RayCrew, "send", noted)
    monkeypatch.setattr(RayCrew, "receive", heard)
    return found


def often(sent):
    return Counter(number for what, *_, ids in sent if what == "sent" for number in ids)


def test_a_grid_is_the_local_one_bit_for_bit_and_each_training_is_sent_once(data, local, sent):
    study = jreg.cross_validate(make(), data, SPACE, executor=two(), **ASKED)
    assert_same(study.results, local.results)
    assert study.layout.batch == local.layout.batch == 1
    assert often(sent) == Counter(range(TRAININGS))
    assert {worker for what, worker, *_ in sent if what == "answered"} == {0, 1}


def test_a_race_is_the_local_one_bit_for_bit(data):
    race = jreg.successive_halving(least=50)
    studies = [
        jreg.cross_validate(make(), data, SPACE, race=race, executor=executor, **ASKED) for executor in (None, two())
    ]
    assert (studies[0].status == Status.PRUNED).any()
    assert_same(*(study.results for study in studies))


def test_a_search_loses_nothing_and_does_nothing_twice(data):
    optuna = pytest.importorskip("optuna")
    asked = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    asker = jreg.Optuna(asked, lambda trial: {"l2": trial.suggest_float("l2", 1e-4, 1e-1, log=True)})
    counted, options = Counted(), {"cv": 3, "epochs": 60, "progress": False}
    study = jreg.optimize(make(), data, asker, trials=6, every=20, executor=two(), store=counted, **options)
    assert (study.status == Status.COMPLETED).all()
    assert sorted(counted.seen.values()) == [1] * 18
    same = jreg.cross_validate(make(), data, list(study.spec.settings), **options)
    assert_same(study.results, same.results)


def test_a_worker_killed_in_the_middle_costs_its_unfinished_trainings(data, local, sent):
    killed = []

    def kill(progress):
        if progress.done >= 10 and not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    counted = Counted()
    asked = {**ASKED, "progress": kill}
    study = jreg.cross_validate(make(), data, SPACE, executor=two(), store=counted, **asked)
    assert_same(study.results, local.results)
    assert sorted(counted.seen.values()) == [1] * TRAININGS
    (lost,) = [place for place, (what, *_) in enumerate(sent) if what == "Lost"]
    worker = sent[lost][1]
    had = {number for what, whose, _, ids in sent[:lost] if (what, whose) == ("sent", worker) for number in ids}
    finished = {
        number for what, whose, _, ids in sent[:lost] if (what, whose) == ("answered", worker) for number in ids
    }
    again = {number for number, times in often(sent).items() if times == 2}
    assert max(often(sent).values()) == 2
    assert again == had - finished
    assert 0 < len(again) < TRAININGS // 2


def test_a_stopped_workers_trainings_go_to_the_other_and_its_late_answer_is_dropped(data, sent):
    asked, space = {**ASKED, "stopping": None}, jreg.grid(l2=np.logspace(-5, -1, 20).tolist())
    local = jreg.cross_validate(make(), data, space, **asked)
    stopped, gone_on = [], []

    def stop(progress):
        if progress.done >= 10 and not stopped:
            stopped.append(workers()[0])
            os.kill(stopped[0], signal.SIGSTOP)
        if stopped and not gone_on and max(often(sent).values()) == 2:
            gone_on.append(True)
            os.kill(stopped[0], signal.SIGCONT)

    counted = Counted()
    study = jreg.cross_validate(
        make(), data, space, executor=two(deadline=8.0), store=counted, **{**asked, "progress": stop}
    )
    assert gone_on
    assert_same(study.results, local.results)
    assert sorted(counted.seen.values()) == [1] * 100
    again = {number for number, times in often(sent).items() if times == 2}
    # Both workers have answered for some of them, and one answer counts.
    assert {worker for what, worker, _, ids in sent if what == "answered" and set(ids) & again} == {0, 1}


def test_a_driver_that_was_killed_goes_on(data, local, tmp_path, sent):
    folder = tmp_path / "run"
    done = subprocess.run([sys.executable, HERE / "studies.py", folder], timeout=300, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = len(jreg.load_results(folder))
    assert 0 < before < TRAININGS
    study = jreg.resume(folder, make(), data, executor=two(), progress=False)
    assert_same(study.results, local.results)
    assert sum(often(sent).values()) == TRAININGS - before


def test_a_worker_out_of_memory_begins_anew(data, local, sent, tmp_path):
    recipe = make("memory", tmp_path / "once")
    study = jreg.cross_validate(recipe, data, SPACE, executor=two(), **ASKED)
    assert (tmp_path / "once").exists()
    assert ("Ready", 0, None, []) in sent or ("Ready", 1, None, []) in sent
    assert_same(study.results, local.results)


def test_a_recipe_that_raises_on_a_worker_shows_its_own_traceback(data):
    with pytest.raises(ValueError, match="the recipe raised ZeroDivisionError: only there") as caught:
        jreg.cross_validate(make("raises"), data, SPACE, executor=two(), **ASKED)
    shown = str(caught.value.__cause__)
    assert "in broken_on_the_worker" in shown
    assert 'raise ZeroDivisionError("only there")' in shown


def refused(data, tmp_path, executor, words, error=ValueError):
    with pytest.raises(error, match=words) as caught:
        jreg.cross_validate(make(), data, SPACE, executor=executor, store=tmp_path / "run", **ASKED)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_worker_that_cannot_import_jreg(data, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['jreg'] = None")
    environment = {"env_vars": {"PYTHONPATH": str(tmp_path)}}
    refused(data, tmp_path, two(runtime_env=environment), r"can't import jreg \(ModuleNotFoundError: ")


def test_a_worker_with_another_jax(data, tmp_path):
    (tmp_path / "jax-0.0.1.dist-info").mkdir()
    (tmp_path / "jax-0.0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: jax\nVersion: 0.0.1\n")
    environment = {"env_vars": {"PYTHONPATH": str(tmp_path)}}
    refused(data, tmp_path, two(runtime_env=environment), "has jax 0.0.1 where this process has")


def test_a_worker_without_the_promised_gpu(data, tmp_path):
    executor = jreg.executors.Ray(num_workers=1, resources={"GPU": 1})
    refused(data, tmp_path, executor, "was promised 1 GPU, but its JAX sees 1 CPU")


def test_more_workers_than_the_cluster_has_room_for(data, tmp_path):
    executor = jreg.executors.Ray(num_workers=3, resources={"CPU": 1}, wait=20.0)
    refused(data, tmp_path, executor, "1 of 3 Ray workers haven't started within 20 seconds", ConnectionError)


def jreg_command(*arguments, folder):
    command = [sys.executable, "-m", "jreg", *map(str, arguments)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.run(command, cwd=folder, env=environment, timeout=500, capture_output=True, text=True)


def test_the_command_line_without_a_cluster(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    found = jreg_command("sweep", "wine", "--ray", address, "--out", "run", "--quiet", folder=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith(f"jreg: there is no Ray cluster at {address} (")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_command_line_on_a_cluster_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text(RECIPE)
    shared = ["sweep", "mine.py", "--data", "wine", "--epochs", "5", "--quiet", "--folds", "2"]
    for name, more in (("ray", ["--ray", "--ray-workers", "2"]), ("here", [])):
        found = jreg_command(*shared, "--out", name, *more, folder=tmp_path)
        assert found.returncode == 0, found.stderr
    assert_same(jreg.load_results(tmp_path / "ray"), jreg.load_results(tmp_path / "here"))
    assert (tmp_path / "ray/final").is_dir()
