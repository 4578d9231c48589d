"""Importing jreg does nothing that could be seen, in a fresh process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jreg


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a folder that is also the home."""
    # Where caches and settings would go is all below the folder.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "JAX_", "MPL"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=kept | {"HOME": str(folder), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_import_is_silent_starts_nothing_and_writes_nothing(tmp_path):
    code = """
import flax.linen, jax, optax, sys
theirs = set(sys.modules)  # flax, for one, imports rich
import jreg
heavy = {"sklearn", "matplotlib", "rich", "pooch", "scipy.stats", "pandas", "tyro", "jreg.cli.commands"}
assert not heavy & (set(sys.modules) - theirs), heavy & set(sys.modules)
assert not {"sklearn", "matplotlib", "pooch"} & set(sys.modules)
# This fails once a backend has started.
jax.config.update("jax_num_cpu_devices", 3)
assert len(jax.devices()) == 3
assert not jax.config.jax_enable_x64
"""
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_import_brings_jax_and_optax_and_no_package_beside_them(tmp_path):
    # What -X importtime lists, without the times: those of JAX and optax are theirs.
    code = """
import sys
import jax, jax.extend, jax.export, jax.experimental, optax
theirs = {name.split(".")[0] for name in sys.modules}
import jreg
ours = {name.split(".")[0] for name in sys.modules} - theirs - set(sys.stdlib_module_names)
print(*sorted(ours))
"""
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("jreg\n", "")


@pytest.mark.slow
def test_use_cpu_devices_sets_their_number(tmp_path):
    done = run("import jreg, jax; jreg.use_cpu_devices(3); print(len(jax.devices()))", tmp_path)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.slow
def test_by_default_there_is_one_device_a_core(tmp_path):
    code = "import jreg, jax, os; jreg.use_cpu_devices(); print(len(jax.devices()) - len(os.sched_getaffinity(0)))"
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system doesn't say which cores a process may use")
    assert run(code, tmp_path).stdout == "0\n"


def test_use_cpu_devices_is_too_late_once_jax_has_started(tmp_path):
    code = """
import jreg, jax
jreg.use_cpu_devices(2)
jax.devices()
jreg.use_cpu_devices(2)
try:
    jreg.use_cpu_devices(3)
except RuntimeError as error:
    print(error)
"""
    done = run(code, tmp_path)
    assert done.stdout == (
        "JAX has already started, so its number of CPU devices is fixed: call jreg.use_cpu_devices() first\n"
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (1.5, TypeError)], ids=repr
)
def test_the_number_of_devices_is_checked(count, error):
    with pytest.raises(error, match=f"use_cpu_devices' count is {count!r}, but must be"):
        jreg.use_cpu_devices(count)


def test_the_package_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jreg", "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"jreg {jreg.__version__}\n", "", 0)


def test_the_leaf_functions_work_where_there_is_no_flax(tmp_path):
    code = """
import sys
sys.modules["flax"] = None  # every import of it fails from here on
import jax, jax.numpy as jnp
from jreg import activations, augment, initializers, losses, metrics, mixing, penalties, projections, prox, stochastic
key, w = jax.random.key(0), jnp.ones((3, 2))
print(penalties.l2(w), projections.max_norm(w, 1.0).shape, prox.l1(w, 2.0).sum(), stochastic.dropout(key, w, 0.5).shape)
import jreg
def recipe(hp):
    model = (lambda key, x: jnp.zeros((13, 3)), lambda w, x, train, rngs: x @ w)
    import optax
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(0.1))
print(jreg.fit(key, recipe, jreg.load_dataset("wine"), epochs=1).epochs)
try:
    jreg.nn
except ImportError:
    print("no nn")
"""
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3.0 (3, 2) 0.0 (3, 2)\n1\nno nn\n", "")
