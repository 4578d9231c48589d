"""What a store survives: full disks, files that go or are damaged, errors in the middle, and readers at any moment."""

import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import resuming
from resuming import SMALL, Seldom, assert_same, conduct, digest, small

import jreg
from jreg import metrics
from jreg.engine.pool import Pool
from jreg.results import Trained
from jreg.store import schema
from jreg.store.writer import Writer
from jreg.training import Status

pytestmark = pytest.mark.adam


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "_epochs", lambda self, given: 3)


@pytest.fixture(scope="module")
def wine() -> jreg.Dataset:
    return resuming.data()


@pytest.fixture(scope="module")
def whole(wine) -> jreg.Study:
    return conduct("grid", None, data=wine, **SMALL | {"epochs": 12})


@pytest.fixture
def room() -> Iterator[Any]:
    """Says how many bytes a file may have; None for any number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))

    yield limit
    limit(None)


def at(calls: int, do: Any) -> Any:
    """An observer that does something when it is called for the n-th time."""
    count = iter(range(1000))

    def observe(progress: Any) -> None:
        if not progress.compiling and next(count) == calls:
            do()

    return observe


def written(folder: Path) -> bool:
    """Whether a first transaction is over."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        return bool(jreg.load_results(folder).spec.settings)
    return False


def begun(folder: Path, wine: jreg.Dataset, every: int = 1) -> None:
    """A study that ended after some calls, with two checkpoints."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct("grid", Seldom(folder, every), data=wine, progress=at(5, stop), **SMALL | {"epochs": 12})


def go_on(folder: Any, wine: jreg.Dataset, **changes: Any) -> jreg.Study:
    return conduct("grid", folder, data=wine, **SMALL | {"epochs": 12} | changes)


def test_a_full_disk_loses_neither_study_nor_table(room, whole, wine, tmp_path):
    store = Seldom(tmp_path / "full", 10**9)
    with pytest.warns(RuntimeWarning, match=r"not everything could be written into .*study.save\(folder\)"):
        study = go_on(store, wine, progress=at(2, lambda: (store.settle(), room(4096))))
    room(None)
    assert_same(whole.results, study.results)
    assert "l2" in study.table()
    study.save(tmp_path / "elsewhere")
    assert_same(whole.results, jreg.load_results(tmp_path / "elsewhere"))
    # What came before is whole, and is gone on with.
    assert len(jreg.load_results(tmp_path / "full")) < len(whole.results)
    assert_same(whole.results, go_on(tmp_path / "full", wine).results)


def test_a_disk_that_has_room_again_gets_everything(room, whole, wine, tmp_path):
    calls = iter([None, 4096, 4096, 4096, *[None] * 100])

    def change(progress: Any) -> None:
        if not progress.compiling:
            room(next(calls))

    go_on(tmp_path / "full", wine, progress=change)
    assert_same(whole.results, jreg.load_results(tmp_path / "full"))


@pytest.mark.parametrize("what", ["the folder", "its files"])
def test_a_folder_that_is_deleted_while_it_is_written(what, whole, wine, tmp_path):
    folder = tmp_path / "gone"

    def delete() -> None:
        # Before the first transaction there would be nothing to lose, and everything would be written afterwards.
        while not written(folder):
            time.sleep(0.01)
        while folder.exists():
            # The thread that writes may make a file while others are deleted.
            shutil.rmtree(folder, ignore_errors=True)
        if what == "its files":
            folder.mkdir()

    with pytest.warns(RuntimeWarning, match="not everything could be written"):
        study = go_on(folder, wine, progress=at(2, delete))
    assert_same(whole.results, study.results)


def test_a_folder_that_becomes_read_only(whole, wine, tmp_path, monkeypatch):
    """Root may write anywhere, so SQLite is made to say what it would say."""

    def refuse() -> None:
        def connected(path: Path) -> Any:
            raise sqlite3.OperationalError("attempt to write a readonly database")

        monkeypatch.setattr("jreg.store.writer.connected", connected)
        monkeypatch.setattr("jreg.store.schema.write_study", lambda *_: connected(tmp_path))

    with pytest.warns(RuntimeWarning, match="readonly database"):
        study = go_on(tmp_path, wine, progress=at(2, refuse))
    assert_same(whole.results, study.results)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "deleted"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_damaged_checkpoint(damage, count, whole, wine, tmp_path, monkeypatch):
    begun(tmp_path, wine)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert len(files) == 2
    for file in files[-count:]:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data if damage == "flipped" else data[:-1])
        if damage == "deleted":
            file.unlink()
    restored = []
    put = Pool.restore
    monkeypatch.setattr(Pool, "restore", lambda self, *given: (restored.append(given), put(self, *given))[1])
    with pytest.warns(RuntimeWarning, match="the study goes on") as warned:
        study = go_on(tmp_path, wine)
    assert len(warned) == count
    assert "goes on from the one before" in str(warned[0].message)
    if count == 2:
        assert "goes on without it: trainings under way start again" in str(warned[1].message)
    assert len(restored) == 2 - count
    assert_same(whole.results, study.results)


@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.95, "half"])
def test_a_damaged_database_is_refused_and_left_alone(where, wine, tmp_path):
    go_on(tmp_path, wine)
    path = tmp_path / "study.db"
    data = bytearray(path.read_bytes())
    if where == "half":
        del data[len(data) // 2 :]
    else:
        begin = int(where * len(data)) // 4096 * 4096
        data[begin : begin + 4096] = os.urandom(4096)
    path.write_bytes(data)
    before = digest(tmp_path)
    with pytest.raises(ValueError, match=r"study.db is damaged \(") as caught:
        go_on(tmp_path, wine)
    assert str(path) in str(caught.value)
    assert f"jreg doctor {tmp_path} --salvage OUT" in str(caught.value)
    assert digest(tmp_path) == before


def test_a_newer_version_is_refused(wine, tmp_path):
    go_on(tmp_path, wine)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = digest(tmp_path)
    for act in (lambda: go_on(tmp_path, wine), lambda: jreg.load_results(tmp_path)):
        with pytest.raises(
            ValueError, match=r"has version 3, but this jreg reads up to version 2: install a newer jreg"
        ):
            act()
    assert digest(tmp_path) == before


def test_an_older_version_is_read_and_gone_on_with(whole, wine, tmp_path, monkeypatch):
    begun(tmp_path, wine)
    before = digest(tmp_path)
    monkeypatch.setattr(schema, "FORMER", {2: dict(schema.TABLES)})
    new = "CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT)"
    monkeypatch.setattr(schema, "TABLES", schema.TABLES | {"note": new})
    monkeypatch.setattr(schema, "VERSION", 3)
    monkeypatch.setattr(schema, "UPGRADES", {2: lambda connection: connection.execute(new)})
    assert 0 < len(jreg.load_results(tmp_path)) < len(whole.results)
    assert digest(tmp_path) == before
    assert_same(whole.results, go_on(tmp_path, wine).results)
    assert_same(whole.results, jreg.load_results(tmp_path))
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()


def test_a_device_that_runs_out_of_memory(whole, wine, tmp_path, monkeypatch):
    advance, count = Pool.advance, iter(range(100))

    def full(self: Pool, budget: int | None = None) -> Any:
        if next(count) == 6:
            raise MemoryError("RESOURCE_EXHAUSTED: out of memory")
        return advance(self, budget)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "advance", full)
        with pytest.raises(MemoryError, match="RESOURCE_EXHAUSTED"):
            go_on(tmp_path, wine)
    assert 0 < len(jreg.load_results(tmp_path)) < len(whole.results)
    assert_same(whole.results, go_on(tmp_path, wine).results)


FAILS = [False]


def counting(outputs: Any, y: Any) -> Any:
    """A metric that asks the host, which may raise."""

    def check(shown: np.ndarray) -> np.ndarray:
        if FAILS[0]:
            raise RuntimeError("the metric has had enough")
        return np.float32(0) * shown

    hits = (outputs.argmax(-1) == y).astype(np.float32)
    return hits + jax.pure_callback(check, jax.ShapeDtypeStruct(hits.shape, np.float32), hits)


def measured(hp: Any) -> jreg.Recipe:
    return dataclasses.replace(small(hp), metrics={"own": metrics.average(counting, maximize=True)})


@pytest.mark.slow
def test_an_exception_in_a_metric(wine, tmp_path):
    whole = go_on(tmp_path / "whole", wine, recipe=measured)
    with pytest.raises(Exception, match="the metric has had enough"):
        go_on(tmp_path / "cut", wine, recipe=measured, progress=at(5, lambda: FAILS.__setitem__(0, True)))
    FAILS[0] = False
    assert 0 < len(jreg.load_results(tmp_path / "cut")) < len(whole.results)
    assert_same(whole.results, go_on(tmp_path / "cut", wine, recipe=measured).results)


def test_a_second_process_is_refused_and_a_dead_one_is_not_waited_for(whole, wine, tmp_path):
    code = (
        "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print(f'process {os.getpid()} on here', file=f, flush=True); print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "study.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            ValueError, match=f"is being written by process {other.pid} on here: wait until it has ended"
        ):
            go_on(tmp_path, wine)
        other.send_signal(signal.SIGKILL)
    assert_same(whole.results, go_on(tmp_path, wine).results)


def test_a_second_thread_is_refused(whole, wine, tmp_path):
    said = []

    def second() -> None:
        try:
            go_on(tmp_path, wine)
        except ValueError as error:
            said.append(str(error))

    def begin() -> None:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()

    study = go_on(tmp_path, wine, progress=at(1, begin))
    assert len(said) == 1
    assert f"is being written by process {os.getpid()}" in said[0]
    assert_same(whole.results, study.results)


def killed_within(path: Path, statements: list[str]) -> None:
    """A process that is killed in the midst of a transaction, when part of it is in the file."""
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE'); "
        "[c.execute(s) for s in sys.argv[2:]]; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path), *statements], check=False).returncode == -9
    assert path.with_name("study.db-journal").stat().st_size > 0


def test_a_transaction_that_was_not_ended_is_taken_back(whole, wine, tmp_path):
    go_on(tmp_path, wine)
    before = digest(tmp_path)
    fill = "INSERT INTO kept VALUES (1000 + (SELECT count(*) FROM kept), randomblob(9000))"
    killed_within(tmp_path / "study.db", ["DELETE FROM training WHERE setting < 2", *[fill] * 20])
    after = digest(tmp_path)
    assert after != before
    assert_same(whole.results, jreg.load_results(tmp_path))
    assert digest(tmp_path) == after
    assert_same(whole.results, go_on(tmp_path, wine).results)
    assert not (tmp_path / "study.db-journal").exists()


def test_killed_before_anything_was_written(whole, wine, tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    with pytest.raises(FileNotFoundError, match="there are no results"):
        jreg.load_results(tmp_path)
    assert_same(whole.results, go_on(tmp_path, wine).results)
    path.unlink()
    fill = "INSERT INTO kept VALUES ((SELECT count(*) FROM kept), randomblob(9000))"
    killed_within(path, [f"PRAGMA application_id = {schema.APPLICATION}", *schema.TABLES.values(), *[fill] * 20])
    assert path.stat().st_size > 0
    with pytest.raises(FileNotFoundError, match="there are no results"):
        jreg.load_results(tmp_path)
    assert_same(whole.results, go_on(tmp_path, wine).results)


def block(setting: int) -> Trained:
    """Trainings whose numbers can be told from their setting."""
    folds = np.arange(3)
    history = np.full((3, 2, 1), setting, np.float32) + folds[:, None, None].astype(np.float32)
    kept = {"outputs": np.full((3, 500), setting, np.float32)}
    numbers = np.full(3, setting), folds, np.zeros(3, int), np.full(3, int(Status.COMPLETED)), np.full(3, 2), folds % 2
    return Trained(*numbers, history, kept)


def test_a_reader_sees_whole_transactions(tmp_path, wine):
    design = jreg.Design.of(small, wine, jreg.grid(l2=np.linspace(0, 1, 150), lr=[1e-2, 1e-1]), cv=3, epochs=2)
    column = design.spec.columns[:1]
    spec = dataclasses.replace(design.spec, columns=column, score=column[0])
    store, begun, over = Seldom(tmp_path, 10**9), threading.Event(), threading.Event()

    def write() -> None:
        with store:
            results = store.open(spec)
            store.settle()
            begun.set()
            for setting in range(300):
                found = block(setting)
                results.add(found)
                store.append(results, [found])
                if over.wait(0.01):
                    break
            store.close(results)

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(60)
    lengths = []
    try:
        while len(lengths) < 12:
            results = jreg.load_results(tmp_path)
            lengths.append(len(results))
            # What was kept is read later, perhaps from a database that has grown.
            rows = [results.get(len(results) // 3 - 1, fold, 0) for fold in range(3) if len(results)]
            for row in rows:
                assert row is not None
                assert (row.history == row.setting + row.fold).all()
                assert (row.kept["outputs"] == row.setting).all()
    finally:
        over.set()
        writer.join()
    assert all(length % 3 == 0 for length in lengths)
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 2


def test_tables_and_what_is_asked_come_in_one_transaction(wine, tmp_path):
    """Between two a process may be killed, and would leave what nobody can read."""
    design = jreg.Design.of(small, wine, SMALL["space"], cv=3, epochs=1)
    written = []
    with Seldom(tmp_path, 10**9) as store:
        put = Writer.put
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Writer, "put", lambda self, work: (written.append(work), put(self, work))[1])
            store.open(design.spec)
        store.settle()
    assert len(written) == 1
    assert jreg.load_results(tmp_path).spec.settings == design.spec.settings
