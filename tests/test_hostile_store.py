"""Folders of studies that a stranger made: nothing in them computes, and nothing outside them is touched."""

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import jreg
from jreg import store
from jreg.results import FoldRows, Found, Results, Spec
from jreg.store import reading
from jreg.training import Column, Status

COLUMN = Column("validation", "metric", "accuracy", True)
SPEC = Spec(
    "points", 6, "classification", jreg.grid(l2=[0.1, 0.3, float("inf")]),
    (
        FoldRows(0, "validation", np.arange(3), np.arange(3, 6)),
        FoldRows(1, "validation", np.array([5, 3]), np.arange(3)),
    ),
    (0, 7), 4, 2, 1, None, None, COLUMN, (Column("train", "loss", "loss"), COLUMN), ("outputs",), {"jax": "1"},
)  # fmt: skip


def results() -> Results:
    found, rng = Results(SPEC), np.random.default_rng(0)
    for setting, fold, seed in np.ndindex(3, 2, 2):
        history = rng.normal(size=(4, 2)).astype(np.float32)
        kept = {"outputs": {"outputs": rng.normal(size=(3, 2)).astype(np.float32)}}
        found.add([Found(setting, fold, (0, 7)[seed], "validation", Status.COMPLETED, 4, 3, history, kept)])
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return store.write(tmp_path_factory.mktemp("written") / "run", results())


@pytest.fixture
def run(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "run"))


def changed(run: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(run / "study.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_what_was_written_is_read(written):
    found, expected = jreg.load_results(written), results()
    np.testing.assert_array_equal(found.history, expected.history)
    for number in range(3):
        for (_, one), (_, other) in zip(found.kept(number, "outputs"), expected.kept(number, "outputs"), strict=True):
            np.testing.assert_array_equal(one["outputs"], other["outputs"])


def test_the_tables_are_read_without_jreg(written):
    with contextlib.closing(sqlite3.connect(f"file:{written}/study.db?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT json_extract(hyperparameters, '$.l2'), avg(score) FROM training JOIN setting USING (setting) "
            "WHERE status = 'completed' GROUP BY setting ORDER BY setting"
        ).fetchall()
        [history] = connection.execute(
            "SELECT history FROM training WHERE setting = 1 AND fold = 1 AND seed = 7"
        ).fetchone()
    expected = results()
    assert [row[0] for row in rows] == [0.1, 0.3, "inf"]
    np.testing.assert_allclose([row[1] for row in rows], expected.scores.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(np.frombuffer(history, "<f4").reshape(4, 2), expected.history[1, 1, 1])


SQL = {
    "another application": (["PRAGMA application_id = 7"], "is no database of a study of jreg's"),
    "a newer version": (["PRAGMA user_version = 99"], "has version 99, but this jreg reads up to version"),
    "a view": (
        ["CREATE VIEW evil AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT * FROM n"],
        "views",
    ),
    "a view for a table": (
        [
            "DROP TABLE log",
            "CREATE VIEW log AS WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number FROM n) SELECT * FROM n",
        ],
        "other tables, indexes, views or triggers",
    ),
    "a trigger": (["CREATE TRIGGER evil AFTER INSERT ON log BEGIN DELETE FROM training; END"], "triggers"),
    "another table": (["CREATE TABLE evil (x)"], "other tables"),
    "an index": (["CREATE INDEX evil ON training (hex(score))"], "other tables, indexes"),
    "a missing table": (["DROP TABLE training"], "other tables"),
    "a generated column": (["ALTER TABLE training ADD COLUMN evil AS (hex(zeroblob(1000000000)))"], "other tables"),
    "a write-ahead log": (["PRAGMA journal_mode = WAL"], "write-ahead log"),
    "an unknown status": (["UPDATE training SET status = 'done' WHERE setting = 0"], "damaged .*done"),
    "a word for a number": (["UPDATE training SET epochs = 'four' WHERE setting = 0"], "damaged"),
    "a fraction for a number": (["UPDATE training SET epochs = 3.5 WHERE setting = 0"], "damaged"),
    "negative epochs": (["UPDATE training SET epochs = -4 WHERE setting = 0"], "damaged .*history"),
    "too many epochs": (["UPDATE training SET epochs = 1000000000000 WHERE setting = 0"], "damaged .*history"),
    "a short history": (["UPDATE training SET history = x'0000' WHERE setting = 0"], "damaged .*history"),
    "no history": (["UPDATE training SET history = NULL WHERE setting = 0"], "damaged"),
    "a best epoch outside": (["UPDATE training SET best_epoch = 4000 WHERE setting = 0"], "damaged .*best"),
    "an unknown fold": (
        ["UPDATE training SET fold = 9 WHERE setting = 0 AND seed = 0 AND fold = 0"],
        "damaged .*fold 9",
    ),
    "an unknown setting": (["UPDATE training SET setting = 9 WHERE setting = 0"], "damaged .*no setting 9"),
    "a missing setting": (["DELETE FROM setting WHERE setting = 1"], "damaged .*settings are missing"),
    "rows outside the data": (["UPDATE fold SET validation = x'ff00000000000000'"], "damaged .*rows that the data"),
    "half a row number": (["UPDATE fold SET validation = x'ff'"], "damaged"),
    "settings that are no JSON": (["UPDATE setting SET hyperparameters = '{' WHERE setting = 1"], "damaged"),
    "settings of other names": (["UPDATE setting SET hyperparameters = '{}' WHERE setting = 1"], "damaged .*l2"),
    "deep JSON": ([f"UPDATE study SET value = '{'[' * 100_000}' WHERE name = 'spec'"], "damaged"),
    "no specification": (["DELETE FROM study WHERE name = 'spec'"], "damaged .*no specification"),
    "layouts that are a list": (["UPDATE study SET value = '[1]' WHERE name = 'layouts'"], "damaged"),
    "times that are text": (["UPDATE study SET value = '{\"nap\": 1}' WHERE name = 'timing'"], "damaged .*nap"),
}


@pytest.mark.parametrize("name", SQL)
def test_a_database_that_is_damaged_or_computes_is_one_sentence(run, name):
    statements, sentence = SQL[name]
    changed(run, *statements)
    before = (run / "study.db").read_bytes()
    with pytest.raises(ValueError, match=sentence) as caught:
        jreg.load_results(run)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert (run / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", 10**13), ("epochs", 10**12), ("seeds", list(range(10**5))), ("columns", [[1]]), ("score", 3)],
)
def test_a_specification_that_asks_for_too_much_is_one_sentence(run, field, value):
    with contextlib.closing(sqlite3.connect(run / "study.db")) as connection:
        [text] = connection.execute("SELECT value FROM study WHERE name = 'spec'").fetchone()
        text = json.dumps(json.loads(text) | {field: value})
        connection.execute("UPDATE study SET value = ? WHERE name = 'spec'", (text,))
        # So that all others are taken for training rows.
        connection.execute("UPDATE fold SET train = NULL")
        connection.commit()
    if field == "seeds":
        assert jreg.load_results(run).shape == (3, 2, 10**5)
        return
    with pytest.raises(ValueError, match="damaged") as caught:
        jreg.load_results(run)
    assert "\n" not in str(caught.value)


def read_all(run: Path) -> None:
    found = jreg.load_results(run)
    for number in range(len(found.spec.settings)):
        found.kept(number, "outputs")


def test_each_truncation_and_many_flipped_bits_are_refused_or_read(run):
    data, rng = (run / "study.db").read_bytes(), np.random.default_rng(0)
    for length in [0, 1, 15, 16, 99, 100, 4095, 4096, *rng.integers(len(data), size=40).tolist()]:
        (run / "study.db").write_bytes(data[:length])
        with pytest.raises((ValueError, FileNotFoundError), match=r"damaged|no SQLite|no database|tables|no results"):
            read_all(run)
    for _ in range(300):
        copy = bytearray(data)
        for place in rng.integers(len(data), size=int(rng.integers(1, 20))):
            copy[place] ^= 1 << int(rng.integers(8))
        (run / "study.db").write_bytes(bytes(copy))
        with contextlib.suppress(ValueError):
            read_all(run)


@pytest.mark.parametrize("data", [b"x", b"PK\x03\x04", b"\x80\x04cos\nsystem\n.", b"x" * 5000, b"SQLite format 3\0"])
def test_what_is_no_database_is_one_sentence(tmp_path, data):
    (tmp_path / "study.db").write_bytes(data)
    for load in (jreg.load_results, store.load_spec):
        with pytest.raises(ValueError, match=r"no SQLite database|write-ahead|damaged") as caught:
            load(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_journal_that_names_a_file_to_delete_is_not_played_back(run, tmp_path):
    # SQLite deletes the journal above several that a journal names at its end, once it has played that back.
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    changed(run, "PRAGMA journal_mode = DELETE")
    name = str(victim).encode()
    end = len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7")
    head = bytes.fromhex("d9d505f920a163d7") + (0).to_bytes(4, "big") * 5
    (run / "study.db-journal").write_bytes(head.ljust(512, b"\0") + b"\0\0\0\1" + name + end)
    for load in (jreg.load_results, lambda folder: store.Folder(folder).__enter__()):
        with pytest.raises(ValueError, match="names another journal"):
            load(run)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["study.db", "study.db-journal", "study.lock"])
def test_links_out_of_the_folder_are_not_followed(run, tmp_path, name):
    victim = tmp_path / "precious"
    victim.write_bytes((run / "study.db").read_bytes() if name == "study.db" else b"mine")
    before = victim.read_bytes()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    with pytest.raises(ValueError, match="is a link"):
        store.Folder(run).__enter__()
    if name != "study.lock":
        with pytest.raises(ValueError, match="is a link"):
            jreg.load_results(run)
    assert victim.read_bytes() == before


def test_checkpoints_that_are_a_link_delete_nothing(run, tmp_path):
    victim = tmp_path / "models"
    victim.mkdir()
    (victim / "000009.safetensors").write_bytes(b"mine")
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    (run / "checkpoints").symlink_to(victim)
    with store.Folder(run) as folder:
        found = folder.open(folder.stored())
        folder.checkpoint([])
        with pytest.warns(RuntimeWarning, match="not everything could be written"):
            folder.close(found)
    assert [path.name for path in victim.iterdir()] == ["000009.safetensors"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(run):
    (run / "study.db").unlink()
    os.mkfifo(run / "study.db")
    with pytest.raises((ValueError, FileNotFoundError), match=r"no results|no file"):
        jreg.load_results(run)


def test_reading_writes_nothing_into_the_folder(run):
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    jreg.load_results(run).kept(0, "outputs")
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_reader_can_only_read(run):
    with (
        reading.reading(run / "study.db") as connection,
        pytest.raises(sqlite3.OperationalError, match=r"readonly|query_only"),
    ):
        connection.execute("DELETE FROM training")
