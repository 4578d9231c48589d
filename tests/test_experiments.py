"""The benchmarks run at a tiny size and write what they should; their times are nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

pytestmark = pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="experiments/ is not part of this copy")


def run(script: str, out: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, EXPERIMENTS / script, "--rounds", "1", "--out", out, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_every_contestant_of_the_speed_benchmark_does_the_same_work(tmp_path: Path) -> None:
    sizes = ["--epochs", "1", "--strengths", "2"]
    found = run("bench_digits.py", tmp_path / "digits.json", *sizes, "--measure", "steady")
    assert list(found["contestants"]) == ["jreg", "flax", "sklearn", "jax"]
    for contestant in found["contestants"].values():
        assert contestant["steps"] == 2 * 5 * 23
        assert len(contestant["scores"]) == 2
        assert 0.3 < contestant["best_accuracy"] <= 1
        assert len(contestant["steady_seconds"]) == 1
    assert {name: one["goal"] for name, one in found["ratios"]["steady"].items()} == {
        "flax": 2.5,
        "sklearn": 2.0,
        "jax": 1.0,
    }
    assert all(one["ratio"] > 0 for one in found["ratios"]["steady"].values())
    assert found["machine"]["cores"] >= 1
    assert {"python", "jax", "flax", "optax", "scikit-learn", "jreg"} <= set(found["versions"])


def test_the_speed_benchmark_times_fresh_processes(tmp_path: Path) -> None:
    arguments = ["--epochs", "1", "--strengths", "1", "--measure", "end_to_end", "--contestants", "jreg"]
    found = run("bench_digits.py", tmp_path / "digits.json", *arguments)
    (ours,) = found["contestants"].values()
    assert ours["end_to_end_seconds"][0] > ours["first_seconds"] > 0


def test_the_memory_benchmark_measures_both_sizes(tmp_path: Path) -> None:
    found = run("bench_memory.py", tmp_path / "memory.json", "--epochs", "1", "--strengths", "1", "2")
    assert [study["trainings"] for study in found["studies"]] == [5, 10]
    assert [study["steps"] for study in found["studies"]] == [5 * 23, 10 * 23]
    assert all(0 < study["imports_mib"][0] <= study["peak_mib"][0] for study in found["studies"])
    assert found["ratio"] > 0.5
    assert found["goal"] == 1.5
