"""Each experiment runs at a tiny size, says what it should at its top, and has its results beside it."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import jreg

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SCRIPTS = sorted(EXPERIMENTS.glob("*/run.py"))
PAGE = EXPERIMENTS.parent / "docs" / "gallery.md"

pytestmark = pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="experiments/ is not part of this copy")
each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.parent.name)


def loaded(script):
    spec = importlib.util.spec_from_file_location(f"experiment_{script.parent.name}", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.mark.adam
@each
def test_it_runs_at_a_tiny_size(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # stores go to runs/
    monkeypatch.delenv("JREG_DATA_DIR", raising=False)  # a newcomer has no MNIST
    monkeypatch.setattr(jreg, "use_cpu_devices", lambda *_: None)  # JAX has started
    out = tmp_path / "out"
    loaded(script).main(["--smoke", "--out", str(out)])
    assert capsys.readouterr().out.splitlines()[-1] == f"results are in {out}"
    written = {path.name for path in out.glob("*.json")}
    assert all(json.loads((out / name).read_text()) for name in written)
    # The whole run has written the same.
    assert written <= {path.name for path in script.parent.iterdir()}


@each
def test_it_says_what_it_asks_what_it_takes_and_what_it_gave(script):
    top = loaded(script).__doc__
    assert "?" in top.splitlines()[0]
    for word in ("Command:", "Hardware:", "Result:", f"experiments/{script.parent.name}/run.py", "--smoke"):
        assert word in top
    assert (script.parent / "README.md").is_file()
    assert list(script.parent.glob("*.json"))
    assert f"experiments/{script.parent.name}" in PAGE.read_text()
