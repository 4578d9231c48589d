"""The benchmarks run at a tiny size and write what they should; their times are nobody's business here."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

pytestmark = pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="experiments/ is not part of this copy")


def run(script: str, *arguments: str | Path, data: Path | None = None) -> str:
    command = [sys.executable, EXPERIMENTS / script, "--rounds", "1", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "JREG_DATA_DIR"}
    if data:
        environment["JREG_DATA_DIR"] = str(data)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def speed(task: str, out: Path, *arguments: str, data: Path | None = None) -> dict[str, Any]:
    sizes = ["--task", task, "--peak-size", "256", "--out", out]
    run("bench/speed.py", *sizes, *arguments, data=data)
    return json.loads((out / f"speed_{task}.json").read_text())


def write_mnist(folder: Path, images: int) -> None:
    """Files in MNIST's format with a bright block for each class."""
    labels = np.arange(images, dtype=np.uint8) % 10
    pixels = np.zeros((images, 28, 28), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 8] = 200
    (folder / "mnist").mkdir()
    for name, header, values in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
        content = bytes(header) + values.tobytes()
        (folder / "mnist" / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(content))


@pytest.mark.bench
def test_contestants_of_the_speed_benchmark_do_the_same_work(tmp_path: Path) -> None:
    names = ["jreg", "jax", "jax+val", "flax", "sklearn"]
    sizes = ["--epochs", "1", "--settings", "2", "--measure", "steady"]
    found = speed("digits", tmp_path, *sizes, "--contestants", *names)
    assert list(found["contestants"]) == names
    for contestant in found["contestants"].values():
        assert contestant["steps"] == 2 * 5 * 23
        assert contestant["epochs"] == 2 * 5
        assert contestant["does"]
        assert len(contestant["scores"]) == 2
        assert 0.3 < contestant["best_accuracy"] <= 1
        assert len(contestant["steady_seconds"]) == 1
    # One epoch each: after it all validate once, and jreg once more for the outputs that it keeps.
    validations = {name: one["validations"] for name, one in found["contestants"].items()}
    assert validations == {"jreg": 20, "jax": 10, "jax+val": 10, "flax": 10, "sklearn": 10}
    assert found["contestants"]["jax"]["scores"] == pytest.approx(found["contestants"]["jax+val"]["scores"])
    goals = {name: one["goal"] for name, one in found["ratios"]["steady"].items()}
    assert goals == {"jax": None, "jax+val": 1.2, "flax": None, "sklearn": None, "library": 2.5}
    # The fastest library's ratio is the smallest.
    peers = found["ratios"]["steady"]
    assert peers["library"]["ratio"] == min(peers["flax"]["ratio"], peers["sklearn"]["ratio"]) > 0
    # 64-128-128-10: 6 operations a weight and training example, 2 a validation example, once after the training.
    weights, trainings, rows = 64 * 128 + 128 * 128 + 128 * 10, 10, 1797 / 5
    operations = trainings * weights * rows * (6 * 4 + 2)
    assert found["contestants"]["jax"]["operations"] == pytest.approx(operations)
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["peak_flops"] > 0
    assert {"cpu", "avx", "memory_gib"} <= set(found["machine"])
    assert set(found["checkout"] or {}) in (set(), {"commit", "dirty"})
    assert {"python", "jax", "flax", "optax", "scikit-learn", "jreg"} <= set(found["versions"])


@pytest.mark.bench
def test_slices_of_tiny_are_extrapolated(tmp_path: Path) -> None:
    sizes = ["--epochs", "1", "--settings", "4", "--seeds", "1", "--measure", "steady"]
    found = speed("tiny", tmp_path, *sizes, "--contestants", "jreg", "jax", "flax")["contestants"]
    assert {name: one["share"] for name, one in found.items()} == {"jreg": 1, "jax": 1, "flax": 0.5}
    assert {name: one["steps"] for name, one in found.items()} == {"jreg": 640, "jax": 640, "flax": 320}
    assert all(one["best_accuracy"] > 0.4 for one in found.values())


@pytest.mark.bench
def test_stopping_times_are_those_that_the_task_asks_for(tmp_path: Path) -> None:
    found = speed("stopping", tmp_path, "--settings", "4", "--rows", "320")
    stops = {name: found["contestants"][name]["stops"] for name in ("jreg", "jax", "naive")}
    for one in stops.values():
        # 3 of 4 settings are active for 3 to 7 epochs, one for 85 to 95, and all have a patience of 5.
        assert one["early_share"] == 0.75
        assert 7 <= one["smallest"] <= one["median"] <= 12
        assert 90 <= one["largest"] <= 100
    assert stops["jax"] == stops["naive"]
    assert 0.5 < found["ideal"]["occupancy"] <= 1
    assert found["ideal"]["of_ideal"]["ratio"] > 0
    assert found["ideal"]["largest_to_mean_stop"] > 2


@pytest.mark.bench
@pytest.mark.parametrize(("task", "steps", "names"), [("mnist", 12, ["jax"]), ("cnn", 24, ["jreg", "jax"])])
def test_the_tasks_on_images_read_the_files_of_mnist(task: str, steps: int, names: list[str], tmp_path: Path) -> None:
    write_mnist(tmp_path, 300)
    sizes = ["--epochs", "2", "--settings", "1", "--rows", "300", "--measure", "steady"]
    found = speed(task, tmp_path, *sizes, "--contestants", *names, data=tmp_path)
    assert [one["steps"] for one in found["contestants"].values()] == [steps] * len(names)
    assert all(one["best_accuracy"] > 0.3 for one in found["contestants"].values())


def test_the_speed_benchmark_says_that_mnist_is_missing(tmp_path: Path) -> None:
    said = run("bench/speed.py", "--task", "mnist", "--out", tmp_path)
    assert "mnist is left out: set JREG_DATA_DIR" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.bench
def test_the_speed_benchmark_times_fresh_processes(tmp_path: Path) -> None:
    arguments = ["--epochs", "1", "--settings", "1", "--measure", "end_to_end", "--contestants", "jreg"]
    (ours,) = speed("digits", tmp_path, *arguments)["contestants"].values()
    assert ours["end_to_end_seconds"][0] > ours["first_seconds"] > 0


@pytest.mark.bench
def test_two_commits_take_turns(tmp_path: Path) -> None:
    if subprocess.run(["git", "-C", EXPERIMENTS, "rev-parse", "HEAD"], capture_output=True).returncode:
        # An unpacked archive has no commits to compare; whoever can give --against one runs this.
        pytest.skip("this copy is no git checkout")
    arguments = ["--task", "digits", "--epochs", "1", "--settings", "1", "--peak-size", "256", "--out", tmp_path]
    printed = run("bench/speed.py", "--against", "HEAD", *arguments)
    found = json.loads((tmp_path / "against_digits.json").read_text())
    old, new = found["studies"]["old"], found["studies"]["new"]
    assert Path(old["jreg"]).parts[-3:] == ("old", "jreg", "__init__.py")
    assert Path(new["jreg"]).parts[-3:] == ("new", "jreg", "__init__.py")
    # The temporary worktree is gone.
    assert not Path(old["jreg"]).exists()
    assert (old["steps"], old["epochs"], old["trainings"]) == (5 * 23, 5, 5)
    for key, rounds in (("steady", 1), ("program", 1), ("compile", 2), ("end_to_end", 1)):
        one = found["ratios"][f"{key}_seconds"]
        assert len(one["rounds"]) == rounds
        assert 0 < one["lowest"] <= one["ratio"] <= one["highest"]
        assert (one["interval"] is None) == (rounds == 1)
    assert len(found["against"]["commit"]) == 40
    assert "whole call, steady" in printed


def test_a_commit_that_git_does_not_know_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, EXPERIMENTS / "bench/speed.py", "--against", "no-such-commit", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "no-such-commit" in done.stderr


@pytest.mark.bench
def test_quick_runs_three_contestants_and_says_so(tmp_path: Path) -> None:
    sizes = ["--task", "digits", "--epochs", "1", "--settings", "1", "--peak-size", "256", "--out", tmp_path]
    printed = run("bench/speed.py", "--quick", *sizes)
    assert printed.splitlines()[:2] == [
        "the contestants: 1 rounds steady, 1 of fresh processes",
        "  digits   epochs 1, settings 1",
    ]
    found = json.loads((tmp_path / "speed_digits.json").read_text())["contestants"]
    assert list(found) == ["jreg", "jax", "jax+val"]
    assert all(len(one["end_to_end_seconds"]) == 1 for one in found.values())


@pytest.mark.bench
def test_tabpacks_networks_differ_in_depth_and_stop_by_themselves(tmp_path: Path) -> None:
    sizes = ["--settings", "3", "--rows", "640", "--epochs", "3", "--measure", "steady"]
    found = speed("tabpack", tmp_path, *sizes)
    for one in found["contestants"].values():
        # 512 training rows are two batches; nobody has run out of patience after 3 epochs.
        assert (one["steps"], one["epochs"], one["trainings"]) == (3 * 3 * 2, 9, 3)
        assert one["stops"]["smallest"] == one["stops"]["largest"] == 3
        assert len(one["scores"]) == 3
    weights = 3 * 11 * 384 + (0 + 1 + 2) * 384 * 384 + 3 * 384
    operations = 3 * weights * (6 * 512 + 2 * 128) + weights * 2 * 128
    assert found["contestants"]["jax"]["operations"] == pytest.approx(operations)
    assert set(found["member_steps"]["per_second"]) == {"jreg", "jax"}
    assert sorted(found["member_steps"]["published"].values()) == [540, 3600]


@pytest.mark.bench
def test_realmlp_trains_the_folds_of_each_setting(tmp_path: Path) -> None:
    pytest.importorskip("pytabkit")
    sizes = ["--epochs", "2", "--settings", "2", "--measure", "steady"]
    (found,) = speed("digits", tmp_path, *sizes, "--contestants", "realmlp")["contestants"].values()
    # It drops an epoch's last, smaller batch: 22 of 23.
    assert found["steps"] == 2 * 5 * 2 * 22
    assert (found["epochs"], found["validations"], found["trainings"]) == (20, 20, 10)
    assert len(found["scores"]) == 2
    assert 0.5 < found["best_accuracy"] <= 1


@pytest.mark.bench
def test_the_scaling_benchmark_measures_sizes_and_devices(tmp_path: Path) -> None:
    sizes = ["--trainings", "50", "100", "--size-epochs", "1", "--repeats", "1"]
    more = ["--settings", "1", "--device-epochs", "1"]
    parts = ["size", "devices"] if hasattr(os, "sched_setaffinity") else ["size"]
    run("bench/scaling.py", *sizes, *more, "--part", *parts, "--out", tmp_path / "scaling.json")
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert found["size"]["trainings"] == [50, 100]
    assert found["size"]["growth"]["run_seconds"] > 0
    if "devices" in parts:
        assert list(found["devices"]["studies"]) == ["2 devices", "1 device, 1 core", "1 device, all cores"]
        assert found["devices"]["speedup"] > 0


@pytest.mark.bench
def test_the_memory_benchmark_measures_both_sizes(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    several = ["--devices", "1", "2", "--rows", "300"]
    run("bench/memory.py", "--epochs", "1", "--strengths", "1", "2", *several, "--out", out)
    found = json.loads(out.read_text())
    assert [study["trainings"] for study in found["studies"]] == [5, 10]
    assert [study["steps"] for study in found["studies"]] == [5 * 23, 10 * 23]
    assert all(0 < study["imports_mib"][0] <= study["peak_mib"][0] for study in found["studies"])
    assert found["ratio"] > 0.5
    assert found["goal"] == 1.5
    one, two = found["devices"]["runs"]
    expected = sum(one["formula"].values())
    # Beside it lies what a call has counted.
    for run_, count in ((one, 1), (two, 2)):
        assert len(run_["device_bytes"]) == count
        assert all(expected <= size < expected + 100 for size in run_["device_bytes"])
        assert run_["account_bytes"] > expected


@pytest.mark.bench
def test_the_estimators_fit_the_same_grid(tmp_path: Path) -> None:
    out = tmp_path / "estimators.json"
    run("bench/estimators.py", "--smoke", "--out", out)
    found = json.loads(out.read_text())
    assert list(found["contestants"]) == ["jreg", "sklearn"]
    for one in found["contestants"].values():
        assert one["trainings"] == 10
        assert 0.3 < one["test_accuracy"] <= 1
        assert one["end_to_end_seconds"][0] > one["again_seconds"][0] > 0
    assert found["ratios"]["end_to_end_seconds"]["ratio"] > 0


@pytest.mark.bench
def test_the_script_for_gpus_runs_at_a_tiny_size(tmp_path: Path) -> None:
    tasks = ["tiny", "mnist", "tabpack"]
    printed = run("bench/gpu.py", "--smoke", "--task", *tasks, "--rows", "300", "--out", tmp_path / "gpu.json")
    assert "mnist is left out" in printed
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["tasks"]) == ["tiny", "tabpack"]
    # 270 training rows of tiny in batches of 32, 240 of tabpack in batches of 256.
    for task, steps in (("tiny", 9), ("tabpack", 1)):
        one, two = found["tasks"][task]
        assert (one["slots"], two["slots"]) == (1, 2)
        assert one["ratio"] == 1
        assert (two["one_by_one"]["batch"], two["batch"]["batch"]) == (1, 2)
        assert two["ratio"] > 0
        for measured in (one["batch"], two["one_by_one"], two["batch"]):
            (rate,), (member_steps,) = measured["epochs_per_second"], measured["member_steps_per_second"]
            assert member_steps == pytest.approx(steps * rate)
            assert measured["memory_mib"] > 0
            assert measured["compile_seconds"] > 0
    (loop,) = found["loops"]
    assert set(loop["seconds_per_epoch"]) == {"unknown", "blocks", "known"}
    # All three take the same steps.
    assert loop["biases_apart"] < 1e-3
    assert found["hardware"] == "not measured on a GPU" or found["device"]["platform"] != "cpu"


@pytest.mark.bench
def test_the_benchmark_of_masks_compares_their_shares_of_a_step(tmp_path: Path) -> None:
    run("bench/masks.py", "--smoke", "--out", tmp_path / "masks.json")
    assert json.loads((tmp_path / "masks.json").read_text())


@pytest.mark.bench
def test_the_augmentation_benchmark_compares_and_finds_its_share(tmp_path: Path) -> None:
    run("bench/augment.py", "--smoke", "--out", tmp_path / "augment.json")
    found = json.loads((tmp_path / "augment.json").read_text())
    assert {"jreg", "step", "step and jreg", "scipy"} <= set(found["milliseconds"])
    assert found["ratios"]["scipy"] > 0
