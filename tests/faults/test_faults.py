"""A hundred studies killed at random moments, and studies that are read while they train: nox -s faults."""

import random
import threading

import numpy as np
import pytest
from resuming import Server, assert_same

import jreg

KILLS = 25


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("programs"))
    yield server
    server.close()


@pytest.mark.parametrize("kind", ["grid", "race", "warm", "search"])
def test_killed_studies_end_with_the_bits_of_one_that_was_not(kind, server, tmp_path):
    rng = random.Random(kind)
    compiled, _ = server.run(kind, tmp_path / "compiled")
    code, seconds = server.run(kind, tmp_path / "whole")
    assert (compiled, code) == (0, 0)
    whole = jreg.load_results(tmp_path / "whole")
    assert_same(whole, jreg.load_results(tmp_path / "compiled"))
    print(f"{kind}: {len(whole)} trainings in {seconds:.1f} s")
    kills = trained = studies = 0
    while kills < KILLS:
        folder, begun = tmp_path / f"killed-{studies}", kills
        while True:
            # Every fifth at any moment, also before anything trains; four times at most, so that every study ends.
            last = kills - begun == 4
            moment = ("begin", 3.0) if rng.random() < 0.2 else ("training", 0.6 * seconds)
            code, took = server.run(kind, folder, "" if last else moment[0], rng.uniform(0.0, moment[1]))
            assert code in (0, -9)
            if code == 0:
                break
            kills, trained = kills + 1, trained + (took > 0)
        assert_same(whole, jreg.load_results(folder))
        studies += 1
    print(f"{kind}: {kills} kills, {trained} of them while it trained, of {studies} studies: all equal bit for bit")
    assert trained > KILLS // 2


def test_a_hundred_reads_of_studies_that_train(server, tmp_path):
    reads = lengths = 0
    for number in range(20):
        folder, seen, at = tmp_path / f"live-{number}", [], []
        thread = threading.Thread(target=server.run, args=("grid", folder))
        thread.start()
        while thread.is_alive():
            try:
                results = jreg.load_results(folder)
            except FileNotFoundError:
                continue
            at.append(len(results))
            seen += [results.get(*key) for key in map(tuple, zip(*_last(results), strict=True))]
        final = jreg.load_results(folder)
        for row in seen:
            other = final.get(row.setting, row.fold, row.seed)
            assert row[:7] == other[:7]
            np.testing.assert_array_equal(row.history, other.history)
            np.testing.assert_array_equal(row.kept["outputs"], other.kept["outputs"])
        assert at == sorted(at)
        reads, lengths = reads + len(at), lengths + len(set(at))
        if reads >= 100:
            break
    print(f"{reads} reads of {number + 1} studies, {lengths} different states, all as at the end")
    assert reads >= 100
    assert lengths > 3


def _last(results: jreg.Results) -> tuple[list[int], ...]:
    """Two of the trainings that were added last."""
    found = results.trained()
    return tuple(part[-2:].tolist() for part in (found.setting, found.fold, found.seed))
