"""A study in shards, whose stores merged are the whole study, whatever happened to the shards."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import pytest
from resuming import Server, assert_same_study

import jreg
from jreg import losses, nn, penalties
from jreg.cli import main
from jreg.results import Found
from jreg.store import write
from jreg.study import Shard
from jreg.training import Status, keep

SPACE = jreg.grid(l2=[0.0, 1e-3, 1e-2], rate=[1e-2, 1e-1])
RECIPE = """
import optax, jreg
from jreg import losses, nn, penalties

def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)

space = jreg.grid(l2=[0.0, 1e-3, 1e-2], rate=[1e-2, 1e-1])
"""


def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


def conduct(folder, wine, shard=None, **changes):
    asked = {"cv": 3, "seeds": 2, "epochs": 4, "stopping": jreg.EarlyStopping(patience=2), "keep": [keep.outputs]}
    asked |= {"progress": False, "store": folder, "shard": shard}
    return jreg.cross_validate(recipe, wine, SPACE, **asked | changes)


@pytest.fixture(scope="module")
def whole(wine, tmp_path_factory):
    return conduct(tmp_path_factory.mktemp("whole"), wine)


def test_sixteen_shards_in_any_order_three_of_them_interrupted_are_the_whole_study(whole, wine, tmp_path):
    order = list(range(16))
    random.Random(0).shuffle(order)
    for number in order:
        folder, shard = tmp_path / str(number), f"{number}/16"
        if number in order[:3]:
            with pytest.raises(RuntimeError, match="enough"):
                conduct(folder, wine, shard, progress=stop)
        conduct(folder, wine, shard)
    merged = jreg.merge([tmp_path / str(number) for number in order], tmp_path / "all")
    assert (merged.missing, merged.disagreements) == (0, ())
    assert_same_study(merged.results, whole.results)


@pytest.mark.slow
def test_shards_of_which_three_are_killed_and_resumed_are_the_whole_study(tmp_path):
    """Processes that end without a word in the middle of their share, and others that go on in the same folder."""
    of, server = 16, Server(tmp_path / "programs")
    assert server.run(f"grid:0/1:{of // 4}", tmp_path / "whole")[0] == 0
    order = list(range(of))
    random.Random(of).shuffle(order)
    for number in order[:3]:
        folder = tmp_path / str(number)
        assert server.run(f"grid:{number}/{of}:{of // 4}", folder, "training", 0.05)[0] == -signal.SIGKILL
        left, share = Shard(number, of).left(jreg.load_results(folder))
        print(f"shard {number} was killed with {left} of {share} trainings left")
        assert 0 < left <= share
    random.Random(-of).shuffle(order)
    for number in order:
        assert server.run(f"grid:{number}/{of}:{of // 4}", tmp_path / str(number))[0] == 0
    server.close()
    merged = jreg.merge([tmp_path / str(number) for number in order], tmp_path / "all")
    assert (merged.missing, merged.disagreements) == (0, ())
    assert_same_study(merged.results, jreg.load_results(tmp_path / "whole"))


def stop(progress):
    if progress.done:
        raise RuntimeError("enough")


def test_every_training_is_in_one_shard_and_their_sizes_differ_by_one(whole, wine, tmp_path):
    found = [conduct(tmp_path / str(number), wine, Shard(number, 5)).results for number in range(5)]
    keys = [some[:3] for results in found for some in results]
    assert len(keys) == len(set(keys)) == whole.results.status.size == 36
    assert sorted(len(results) for results in found) == [7, 7, 7, 7, 8]


def test_a_missing_shard_is_counted_and_resume_trains_it(whole, wine, tmp_path):
    for number in (0, 2):
        conduct(tmp_path / str(number), wine, f"{number}/3")
    merged = jreg.merge([tmp_path / "0", tmp_path / "2"], tmp_path / "all")
    assert merged.missing == 12
    study = jreg.resume(tmp_path / "all", recipe, wine, progress=False)
    assert_same_study(study.results, whole.results)
    assert jreg.merge([tmp_path / "0"], tmp_path / "all").missing == 0


def test_resume_trains_a_shard_and_no_more(wine, tmp_path):
    with pytest.raises(RuntimeError, match="enough"):
        conduct(tmp_path, wine, "1/3", progress=stop)
    assert len(jreg.resume(tmp_path, recipe, wine, progress=False).results) == 12


def test_stores_that_overlap_are_compared(whole, wine, tmp_path):
    conduct(tmp_path / "own", wine, "0/2")
    results = jreg.load_results(tmp_path / "own")
    first = next(iter(results))
    other = jreg.Results(results.spec)
    other.add(list(results)[1:])
    other.add([first._replace(history=first.history + 1)])
    write(tmp_path / "other", other)
    merged = jreg.merge([tmp_path / "own", tmp_path / "other"], tmp_path / "all")
    assert [one[:3] for one in merged.disagreements] == [first[:3]]
    assert merged.disagreements[0].kept == tmp_path / "own"
    np.testing.assert_array_equal(merged.results.get(*first[:3]).history, first.history)
    assert merged.missing == 18


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 5}, "epochs is 4 and 5"),
        ({"seeds": 1}, r"seeds is \[0, 1\] and \[0\]"),
        ({"cv": 2}, "the folds differ"),
    ],
)
def test_stores_of_other_studies_are_refused_and_nothing_is_written(whole, wine, tmp_path, changes, sentence):
    conduct(tmp_path / "one", wine, "0/9")
    conduct(tmp_path / "two", wine, "1/9", **changes)
    with pytest.raises(ValueError, match=sentence):
        jreg.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_nested_studies_are_dealt_by_outer_fold(wine, tmp_path):
    def nested(folder, shard=None):
        asked = {"outer": 3, "inner": 2, "epochs": 2, "progress": False, "store": tmp_path / folder, "shard": shard}
        return jreg.nested_cross_validate(recipe, wine, SPACE, **asked)

    expected = nested("whole")
    parts = [nested(str(number), f"{number}/2") for number in range(2)]
    assert [[c is not None for c in part.choices] for part in parts] == [[True, False, True], [False, True, False]]
    merged = jreg.merge([tmp_path / "1", tmp_path / "0"], tmp_path / "all")
    assert merged.missing == 0
    assert_same_study(merged.results, expected.results)
    np.testing.assert_array_equal(merged.results.nested.scores, expected.nested.scores)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("16/16", "shard is 16/16, but 16 shards are numbered 0 to 15"),
        ("0/0", "shard is 0/0, but 0 shards are none"),
        ("3", "shard is '3', but must be a number from 0 and how many there are, such as '3/16', or 'auto/16'"),
        ("auto/16", "nothing says which shard is this process's: give the number, such as '3/16'"),
        ("-1/4", "but must be a number from 0"),
    ],
)
def test_a_shard_that_is_none_is_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Shard.named(given, {})


def test_the_number_comes_from_whoever_started_the_process():
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_PROCID": "0"}
    assert Shard.named("auto/16", array) == (4, 16)
    assert Shard.named("auto/16", {"SLURM_PROCID": "5"}) == (5, 16)
    assert Shard.named("auto/16", {"JOB_COMPLETION_INDEX": "15"}) == (15, 16)
    with pytest.raises(ValueError, match="SLURM_PROCID is 'x' and no number"):
        Shard.named("auto/16", {"SLURM_PROCID": "x"})


@pytest.mark.parametrize("option", [{"race": jreg.successive_halving(1)}, {"warm": "l2"}])
def test_what_decides_by_all_results_is_not_dealt_out(wine, tmp_path, option):
    with pytest.raises(ValueError, match="its trainings can't be dealt out"):
        conduct(tmp_path / "none", wine, "0/2", **option)
    assert not (tmp_path / "none").exists()


def test_the_command_line_trains_shards_merges_them_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(RECIPE)
    small = ["mine.py", "--data", "wine", "--folds", "3", "--epochs", "2", "--out", "runs/mine"]
    for number in (2, 0):
        main(["sweep", *small, "--shard", f"{number}/3"])
        out = capsys.readouterr().out.splitlines()
        folder = f"runs/mine/shard-{number}-of-3"
        assert out == [
            f"shard {number}/3: 6 of its 6 trainings are in {folder}",
            "join all: jreg merge runs/mine/shard-* --out runs/mine/all",
        ]
    shards = sorted(map(str, Path("runs/mine").glob("shard-*")))
    main(["merge", *shards, "--out", "runs/mine/all"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "12 of 18 trainings are in runs/mine/all, from 2 folders"
    assert out[1].startswith("missing:  6 trainings: l2=0 rate=0.01 on fold 1 with seed 0, ")
    assert out[-1] == "go on:    jreg resume runs/mine/all mine.py"
    main(["resume", "runs/mine/all", "mine.py", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["trainings"] == 18
    assert 0 <= found["test_accuracy"] <= 1
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *small, "--shard", "3/3"])
    assert ended.value.code == 2
    assert "shard is 3/3, but 3 shards are numbered 0 to 2" in capsys.readouterr().err
    main(["merge", *shards, "--out", "runs/mine/again", "--json"])
    assert json.loads(capsys.readouterr().out)["missing"] == 6


@pytest.mark.slow
def test_the_job_array_of_the_page_runs_as_it_is_written(tmp_path):
    """Slurm's own commands stand for themselves: srun runs what it is given."""
    page = (Path(__file__).parents[1] / "docs" / "slurm.md").read_text()
    [script] = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    (tmp_path / "my_recipe.py").write_text(RECIPE)
    tools = {"srun": 'exec "$@"', "jreg": f'exec {sys.executable} -m jreg "$@"', "scontrol": "exit 1"}
    (tmp_path / "bin").mkdir()
    for name, text in tools.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    python = {"PYTHONPATH": str(Path(jreg.__file__).parents[1]), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    for task in (20, 22):
        own = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "20"}
        subprocess.run(["bash", "-c", script], cwd=tmp_path, env=os.environ | python | own, check=True, timeout=300)
    merge = "jreg merge runs/mine/shard-* --out runs/mine/all"
    done = subprocess.run(
        ["bash", "-c", merge], cwd=tmp_path, env=os.environ | python, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("4 of 30 trainings are in runs/mine/all, from 2 folders")
    assert merge in page


@pytest.mark.slow
def test_sigterm_before_the_limit_leaves_a_shard_that_resume_ends(whole, tmp_path):
    """As Slurm does before a job's time is over."""
    (tmp_path / "mine.py").write_text(RECIPE)
    options = ["mine.py", "--data", "wine", "--epochs", "2000", "--seeds", "20", "--patience", "2000"]
    command = [sys.executable, "-m", "jreg", "sweep", *options, "--out", "runs", "--shard", "auto/4"]
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "3", "PYTHONPATH": str(Path(jreg.__file__).parents[1])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "runs" / "shard-3-of-4"
    for _ in range(1200):
        time.sleep(0.1)
        if (folder / "study.db").exists() and len(jreg.load_results(folder)):
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.splitlines()[-1].endswith("and this goes on: jreg resume runs/shard-3-of-4 mine.py")
    assert {found.status for found in jreg.load_results(folder)} <= {Status.COMPLETED, Status.WAITING}
    assert isinstance(next(iter(jreg.load_results(folder))), Found)
