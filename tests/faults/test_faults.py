"""A hundred studies killed at random moments; nox -s faults runs them."""

import random

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
