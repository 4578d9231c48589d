"""The thread that writes a store: what shares a transaction, what doesn't, and what comes after an error."""

import contextlib
import sqlite3
import threading
from types import SimpleNamespace

import pytest

from jreg.results import Timing
from jreg.store import noted, writer
from jreg.store.writer import Joining, Writer


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE told (number INTEGER)")
    return path


def told(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM told ORDER BY rowid")]


def telling(number):
    return lambda connection: connection.execute("INSERT INTO told VALUES (?)", (number,))


def test_work_that_joins_shares_a_transaction_and_other_work_has_its_own(path, monkeypatch):
    said, may, connected = [], threading.Event(), writer.connected

    def traced(path):
        connection = connected(path)
        connection.set_trace_callback(said.append)
        return connection

    monkeypatch.setattr(writer, "connected", traced)
    monkeypatch.setattr(writer, "_MOST", 4)
    made = Writer(path)
    made.put(lambda connection: may.wait(60))
    for number in range(9):
        made.put(telling(number) if number == 6 else Joining(telling(number)))
    may.set()
    made.end()
    assert told(path) == list(range(9))
    parts = " ".join(word for word in (line.split()[0] for line in said) if word in ("INSERT", "COMMIT")).split(
        "COMMIT"
    )
    # The one that waited, four, the other two before the one that is alone, and the rest.
    assert [part.count("INSERT") for part in parts] == [0, 4, 2, 1, 2, 0]


def test_what_comes_before_work_that_fails_is_written_alone(path):
    may, tried, failed = threading.Event(), [], threading.Event()

    def fails(connection):
        tried.append(told(path))
        if len(tried) == 1:
            failed.set()
            raise OSError("no room")
        telling(1)(connection)

    made = Writer(path)
    made.put(lambda connection: may.wait(60))
    for work in (telling(0), fails, telling(2)):
        made.put(Joining(work))
    may.set()
    assert failed.wait(60)
    while made.error is None:
        pass
    assert told(path) == []
    made.put(Joining(telling(3)))
    made.end()
    assert made.error is None
    assert told(path) == list(range(4))
    assert tried == [[], [0]]


def test_times_are_noted_once_in_a_second_and_layouts_at_once(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(noted, "time", SimpleNamespace(monotonic=lambda: now[0]))
    results = SimpleNamespace(timing=Timing(), baseline=None, layouts={})
    found = noted.Noted()
    assert found.changed(results).keys() == {"timing", "stretches", "baseline", "layouts"}
    results.timing.useful = 3
    assert found.changed(results) == {}
    results.layouts = {"{}": (2, 1)}
    assert found.changed(results)["layouts"] == {"{}": (2, 1)}
    assert found.changed(results) == {}
    now[0] += 1.0
    assert found.changed(results)["timing"]["useful"] == 3
