"""Studies that JAX's own processes share: by calling them one after the other here, and in processes of their own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import optax
import pytest
from resuming import assert_same_study

import jreg
from jreg import losses, nn, penalties
from jreg.study import pods
from jreg.training import keep

SPACE = {"l2": [0.0, 1e-3, 1e-2], "rate": [1e-2, 1e-1]}


def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)


# What a user's script looks like; the first two lines are told which process it is, as a cluster tells JAX.
SCRIPT = """
import sys, jax
jax.distributed.initialize(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), heartbeat_timeout_seconds=10)

import optax
import jreg
from jreg import losses, nn, penalties

def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)

space = jreg.grid(l2=[0.0, 1e-3, 1e-2], rate=[1e-2, 1e-1])
layout = jreg.Layout(tuple(jax.local_devices()), 1)
asked = {"cv": 3, "seeds": 2, "epochs": int(sys.argv[4]), "layout": layout, "progress": False}
study = jreg.cross_validate(recipe, jreg.load_dataset("wine"), space, store="runs/x", **asked)
assert all(device.process_index == jax.process_index() for device in study.layout.devices) if study.layout else True
trained = sum(part.completed for part in study.results.timing.stretches)
print("trained", trained, "of", len(study.results), len(jax.devices()), flush=True)
"""


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def whole(wine, tmp_path_factory):
    return conduct(tmp_path_factory.mktemp("whole"), wine)[0]


@pytest.fixture
def process(monkeypatch):
    """Makes the calls that follow those of one of JAX's processes, which don't wait long for each other."""
    monkeypatch.setattr(pods, "_PATIENCE", 0.0)

    def become(number, of):
        own = {"process_index": lambda: number, "process_count": lambda: of}
        monkeypatch.setattr(pods, "jax", SimpleNamespace(distributed=SimpleNamespace(is_initialized=lambda: of), **own))

    return become


def conduct(folder, wine, **changes):
    """A study, and how many trainings have been trained in its folder."""
    asked = {"cv": 3, "seeds": 2, "epochs": 4, "stopping": jreg.EarlyStopping(patience=2), "keep": [keep.outputs]}
    of = changes.pop("recipe", recipe)
    study = jreg.cross_validate(of, wine, jreg.grid(**SPACE), **asked | {"progress": False, "store": folder} | changes)
    return study, trained_in(study.results)


def trained_in(results):
    return sum(part.completed + part.stopped for part in results.timing.stretches)


def stop(progress):
    if progress.done:
        raise RuntimeError("enough")


def test_each_process_takes_its_share_and_process_0_joins_them(whole, wine, tmp_path, process):
    sizes = []
    for number in (1, 2, 0):
        process(number, 3)
        study, trained = conduct(tmp_path, wine)
        assert study.folder == tmp_path / f"shard-{number}-of-3"
        assert trained == len(study.results)
        sizes.append(trained)
    assert sizes == [12, 12, 12]
    assert_same_study(jreg.load_results(tmp_path), whole.results)


def test_another_number_of_processes_trains_nothing_twice(whole, wine, tmp_path, process):
    """Two, of which one ends in the middle and the other goes on with less; then three, then one."""
    one_by_one = {"layout": jreg.Layout(tuple(jax.local_devices()), 1)}
    process(0, 2)
    with pytest.raises(RuntimeError, match="enough"):
        conduct(tmp_path, wine, progress=stop, **one_by_one)
    finished = len(jreg.load_results(tmp_path / "shard-0-of-2"))
    assert 0 < finished < 18
    sums = 0
    for number in (2, 1, 0):
        process(number, 3)
        study, trained = conduct(tmp_path, wine, **one_by_one)
        assert len(study.results) == 12
        sums += trained
    assert sums == 36 - finished
    assert_same_study(jreg.load_results(tmp_path), whole.results)
    process(0, 1)
    study, trained = conduct(tmp_path, wine, **one_by_one)
    assert (trained, study.folder) == (0, tmp_path)
    assert_same_study(study.results, whole.results)


def test_one_process_takes_over_what_shards_have_that_were_never_joined(whole, wine, tmp_path, process):
    process(1, 2)
    conduct(tmp_path, wine)
    process(0, 1)
    study, trained = conduct(tmp_path, wine)
    assert trained == 18
    assert_same_study(study.results, whole.results)
    assert study.out_of_fold().outputs.shape[:2] == (2, len(wine))


def test_process_0_says_what_joins_shards_that_are_not_there(wine, tmp_path, process):
    process(0, 2)
    with pytest.warns(RuntimeWarning, match=r"of 1 of 2 shards .*: jreg merge .*/shard-\*-of-2 --out .* joins"):
        conduct(tmp_path, wine)
    assert not (tmp_path / "study.db").exists()
    with pytest.warns(RuntimeWarning) as warned:
        conduct(tmp_path, wine, seeds=3, timeout=1e-6)
    assert [str(one.message).partition(" ")[0] for one in warned] == ["the", "the"]


@pytest.mark.slow
def test_a_study_that_grows_grows_in_every_shard(whole, wine, tmp_path, process):
    for seeds in (1, 2):
        sums = 0
        for number in (1, 0):
            process(number, 2)
            sums += conduct(tmp_path, wine, seeds=seeds)[1]
        assert sums == 18 * seeds
    assert_same_study(jreg.load_results(tmp_path), whole.results)


def test_shards_of_another_study_are_refused(wine, tmp_path, process):
    process(1, 2)
    conduct(tmp_path, wine)
    process(0, 3)
    with pytest.raises(ValueError, match=r"has a study of which epochs was 4 and is now 5"):
        conduct(tmp_path, wine, epochs=5)
    with pytest.raises(ValueError, match="the recipe trained otherwise"):
        conduct(tmp_path, wine, recipe=lambda hp: recipe({"l2": hp["l2"], "rate": 2 * hp["rate"]}))
    assert sorted(path.name for path in tmp_path.glob("shard-*")) == ["shard-1-of-2"]


@pytest.mark.slow
def test_nested_studies_are_shared_by_outer_fold(wine, tmp_path, process):
    def nested(folder):
        asked = {"outer": 3, "inner": 2, "epochs": 2, "progress": False, "store": folder}
        study = jreg.nested_cross_validate(recipe, wine, jreg.grid(**SPACE), **asked)
        return study, trained_in(study.results)

    whole, count = nested(tmp_path / "whole")
    sums = 0
    for number, of in ((1, 2), (2, 3), (1, 3), (0, 3)):
        process(number, of)
        sums += nested(tmp_path / "pod")[1]
    assert sums == count
    assert_same_study(jreg.load_results(tmp_path / "pod"), whole.results)


def test_what_is_not_shared_is_trained_whole(wine, tmp_path, process):
    process(1, 2)
    assert conduct(None, wine)[1] == 36
    assert conduct(tmp_path / "own", wine, shard="0/1")[1] == 36
    with pytest.raises(ValueError, match=r"shard is 1/2, but a race decides by all scores.*: shard='0/1'"):
        conduct(tmp_path / "race", wine, race=jreg.successive_halving(1))
    assert not (tmp_path / "race").exists()
    with pytest.warns(RuntimeWarning, match="the study ended"):
        conduct(tmp_path / "own", wine, shard="0/1", seeds=3, timeout=1e-6)
    study = jreg.resume(tmp_path / "own", recipe, wine, progress=False)
    assert study.results.shape == (6, 3, 3)
    assert study.finished


def test_devices_of_other_processes_are_refused():
    other = SimpleNamespace(platform="cpu", process_index=1)
    with pytest.raises(ValueError, match=r"of process 1, but process 0 trains on its own devices: jax.local_devices"):
        jreg.Layout((jax.local_devices()[0], other), 1)


class Pod:
    """Real processes on this machine.

    Args:
      folder: where they work.
      of: how many.
      epochs: of each training.
    """

    def __init__(self, folder, of, epochs):
        self.folder = folder
        (folder / "script.py").write_text(SCRIPT)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        environment = os.environ | {"PYTHONPATH": str(Path(jreg.__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "script.py", address, str(of), str(number), str(epochs)],
                cwd=folder,
                env=environment,
                **pipes,
            )
            for number in range(of)
        ]

    def wait(self):
        """The exit codes, and the first numbers that the processes have printed."""
        said = [process.communicate(timeout=400) for process in self.processes]
        print(*(err[-2000:] for _, err in said), sep="\n")
        return [process.returncode for process in self.processes], [
            int(out.split()[1]) if out else 0 for out, _ in said
        ]

    def finished(self):
        """How many trainings each shard has."""
        found = []
        for number in range(len(self.processes)):
            found.append(0)
            with contextlib.suppress(FileNotFoundError):
                found[-1] = len(jreg.load_results(self.folder / f"runs/x/shard-{number}-of-{len(self.processes)}"))
        return found


def expected(wine, epochs, folder):
    layout = jreg.Layout((jax.local_devices()[0],), 1)
    asked = {"cv": 3, "seeds": 2, "epochs": epochs, "layout": layout, "progress": False, "store": folder}
    return jreg.cross_validate(recipe, wine, jreg.grid(**SPACE), **asked).results


def test_two_processes_of_jax_train_one_study(wine, tmp_path):
    codes, trained = Pod(tmp_path, 2, 4).wait()
    assert (codes, trained) == ([0, 0], [18, 18])
    assert_same_study(jreg.load_results(tmp_path / "runs/x"), expected(wine, 4, tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(2, 3, 1), (4, 2)])
def test_a_killed_process_ends_all_and_another_number_goes_on(wine, tmp_path, numbers):
    """SIGKILL; JAX then ends the others, as it says, and what they had is there."""
    epochs = 3000
    pod = Pod(tmp_path, numbers[0], epochs)
    while min(pod.finished()) < 2:
        assert all(process.poll() is None for process in pod.processes), pod.wait()
        time.sleep(0.1)
    pod.processes[-1].send_signal(signal.SIGKILL)
    codes, _ = pod.wait()
    assert codes[-1] == -signal.SIGKILL
    assert 0 not in codes
    finished = sum(pod.finished())
    assert 2 * numbers[0] <= finished < 36
    for of in numbers[1:]:
        codes, trained = Pod(tmp_path, of, epochs).wait()
        assert codes == [0] * of
        assert sum(trained) == 36 - finished
        finished += sum(trained)
    assert_same_study(jreg.load_results(tmp_path / "runs/x"), expected(wine, epochs, tmp_path / "whole"))
