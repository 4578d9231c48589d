"""Several processes that search with one Optuna study, by one after the other here and by real ones."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

import jreg
from jreg import losses, nn, penalties
from jreg.training import Status

TRIALS = 8
# Run as a user's script: the journal, the store, the epochs, where this file is.
SCRIPT = """
import sys, jax, optuna
sys.path.insert(0, sys.argv[4])
from test_shared_search import TRIALS, conduct

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    conduct(sys.argv[1], sys.argv[2], epochs=int(sys.argv[3]), every=200)
"""


def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)


def suggest(trial):
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    return {"l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True), "rate": rate}


def journal(path):
    return JournalStorage(JournalFileBackend(str(path)))


def searched(storage):
    """One process's view of the study that all share, with the same seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=4)
    named: dict = {
        "study_name": "mine",
        "pruner": optuna.pruners.NopPruner(),
        "direction": "maximize",
        "load_if_exists": True,
    }
    return optuna.create_study(storage=storage, sampler=sampler, **named)


def conduct(path, store, trials=TRIALS, **changes):
    storage = journal(path) if isinstance(path, str | Path) else path
    asker = jreg.Optuna(searched(storage), suggest, storage=storage)
    layout = jreg.Layout((jax.local_devices()[0],), 3)
    asked = {"trials": trials, "cv": 3, "epochs": 4, "layout": layout, "progress": False, "store": store}
    return jreg.optimize(recipe, jreg.load_dataset("wine"), asker, **asked | changes)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def states(storage):
    return [trial.state.name for trial in searched(storage).trials]


def assert_nothing_is_lost_or_done_twice(storage, stores, trials=TRIALS):
    """Every trial of Optuna's is in the store that asked for it, complete, with the value that Optuna knows."""
    found = [trial for trial in searched(storage).trials if trial.state.name != "FAIL"]
    assert [trial.state.name for trial in found] == ["COMPLETE"] * trials
    results = {str(Path(store).resolve()): jreg.load_results(store) for store in stores}
    assert sum(len(one.spec.settings) for one in results.values()) == trials
    assert len({tuple(trial.params.values()) for trial in found}) == trials
    for trial in found:
        own = results[trial.user_attrs["jreg"]["store"]]
        setting = own.spec.settings.index({"l2": trial.params["l2"], "rate": trial.params["rate"]})
        assert (own.status[setting] == Status.COMPLETED).all()
        np.testing.assert_allclose(own.scores[setting].mean(), trial.value, rtol=1e-6)


def test_two_processes_share_the_trials_and_one_that_was_ended_goes_on_with_its_own(tmp_path):
    path = tmp_path / "journal"
    progressed = []

    def stop(progress):
        progressed.append(progress.done)
        if progress.done >= 6:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        conduct(path, tmp_path / "0", progress=stop)
    before = states(journal(path))
    assert before.count("RUNNING") == 1
    assert 1 <= before.count("COMPLETE") < TRIALS - 1
    other = conduct(path, tmp_path / "1")
    assert len(other.spec.settings) == TRIALS - len(before)
    assert states(journal(path)).count("RUNNING") == 1
    finished = jreg.load_results(tmp_path / "0")
    study = conduct(path, tmp_path / "0")
    assert len(study.spec.settings) == len(before)
    for row in finished:
        np.testing.assert_array_equal(study.results.get(*row[:3]).history, row.history)
    trained = sum(part.completed for part in study.results.timing.stretches)
    assert trained == 3 * len(before)
    assert_nothing_is_lost_or_done_twice(journal(path), [tmp_path / "0", tmp_path / "1"])
    best = searched(journal(path)).best_trial
    storage = journal(path)
    asker = jreg.Optuna(searched(storage), suggest, storage=storage)
    where = best.user_attrs["jreg"]["store"]
    found = jreg.resume(where, recipe, jreg.load_dataset("wine"), asker=asker, progress=False)
    assert dict(found.best.hyperparameters) == {name: best.params[name] for name in ("l2", "rate")}


def test_a_study_that_has_all_its_trials_leaves_nothing_and_more_may_be_asked_for(tmp_path):
    path = tmp_path / "journal"
    conduct(path, tmp_path / "0", trials=2)
    with pytest.raises(ValueError, match="have asked for 2 trials already, so nothing is left for this one"):
        conduct(path, tmp_path / "1", trials=2)
    assert not (tmp_path / "1").exists()
    assert len(conduct(path, tmp_path / "1", trials=3).spec.settings) == 1
    assert len(conduct(path, tmp_path / "0", trials=5).spec.settings) == 4
    assert_nothing_is_lost_or_done_twice(journal(path), [tmp_path / "0", tmp_path / "1"], 5)


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_no_more_trials_count_than_wanted_when_two_ask_at_once(tmp_path, kind):
    made = journal if kind == "journal" else lambda path: RDBStorage(f"sqlite:///{path}")
    storages = [made(tmp_path / kind) for _ in range(2)]
    one, two = (jreg.Optuna(searched(storage), suggest, storage=storage) for storage in storages)
    owner = {"id": "a", "store": ""}
    assert one.ask_within(3, owner) is not None
    second = two.ask_within(3, owner)
    assert second is not None
    ask = one._study.ask

    def late():
        assert two.ask_within(3, owner) is not None
        return ask()

    one._study.ask = late
    assert one.ask_within(3, owner) is None
    assert states(storages[1]) == ["RUNNING", "RUNNING", "RUNNING", "FAIL"]
    # A process that won't come back: its trial is failed by hand, and another one asked for in its place.
    searched(storages[1]).tell(1, state=optuna.trial.TrialState.FAIL)
    replaced = two.ask_within(3, owner)
    assert replaced is not None
    assert two.ask_within(3, owner) is None
    # One with a training that diverged counts.
    two.tell(replaced[0], None, "failed")
    assert two.ask_within(3, owner) is None
    assert two.report(second[0], 1, 0.5) is False
    assert two.report(two.recall(1), 1, 0.5) is False


def test_a_process_without_a_store_gives_its_open_trials_up(tmp_path):
    def stop(progress):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        conduct(tmp_path / "journal", None, progress=stop)
    assert set(states(journal(tmp_path / "journal"))) == {"FAIL"}
    conduct(tmp_path / "journal", tmp_path / "1", trials=2)
    assert_nothing_is_lost_or_done_twice(journal(tmp_path / "journal"), [tmp_path / "1"], 2)


def test_what_was_asked_for_in_the_moment_of_a_kill_is_dropped(tmp_path):
    path = tmp_path / "journal"
    conduct(path, tmp_path / "0", trials=2)
    storage = journal(path)
    owner = searched(storage).trials[0].user_attrs["jreg"]
    assert jreg.Optuna(searched(storage), suggest, storage=storage).ask_within(3, owner) is not None
    study = conduct(path, tmp_path / "0", trials=3)
    assert states(journal(path)) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert len(study.spec.settings) == 3


def test_a_process_that_was_killed_while_it_compiled_asks_for_its_first_trial_again(tmp_path):
    path, store = tmp_path / "journal", tmp_path / "0"
    conduct(path, store, trials=1)
    storage = journal(path)
    # As it is then: the store knows the study and nothing of its trial, which is open.
    with sqlite3.connect(store / "study.db") as database:
        for table in ("training", "log"):
            database.execute(f"DELETE FROM {table}")
    database.close()
    owner = searched(storage).trials[0].user_attrs["jreg"]
    asker = jreg.Optuna(searched(storage), suggest, storage=storage)
    assert asker.ask_within(2, owner) is not None
    study = conduct(path, store, trials=2)
    assert states(journal(path)) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert len(study.spec.settings) == 1
    assert np.isfinite(study.scores).all()


def test_a_storage_that_is_none_is_a_sentence(tmp_path):
    storage = journal(tmp_path / "journal")
    with pytest.raises(TypeError, match=r"Optuna's storage is 'sqlite:///x.db', but must be the object"):
        jreg.Optuna(searched(storage), suggest, storage="sqlite:///x.db")


@pytest.mark.slow
def test_two_real_processes_of_which_one_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = os.pathsep.join([str(Path(jreg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])

    def start(number, epochs=1000):
        words = [str(tmp_path / "journal"), str(tmp_path / str(number)), str(epochs)]
        command = [sys.executable, "script.py", *words, str(Path(__file__).parent)]
        return subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths})

    processes = [start(0), start(1)]
    for _ in range(3000):
        time.sleep(0.1)
        # Its file is there before its first transaction is.
        with contextlib.suppress(FileNotFoundError):
            if len(jreg.load_results(tmp_path / "0")):
                break
    processes[0].send_signal(signal.SIGKILL)
    assert processes[0].wait() == -signal.SIGKILL
    assert "RUNNING" in states(journal(tmp_path / "journal"))
    assert processes[1].wait(timeout=300) == 0
    again = start(0)
    assert again.wait(timeout=300) == 0
    assert_nothing_is_lost_or_done_twice(journal(tmp_path / "journal"), [tmp_path / "0", tmp_path / "1"])
