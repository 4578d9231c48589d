"""JAX as strict as it gets, two CPU devices, and warnings as errors (pyproject.toml)."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator

import jax
import numpy as np
import pytest
import quick

import jreg

# Programs that the command line keeps for the next run belong into no user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="jreg-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

# Thousands of traces leave millions of objects, and looking through them for cycles took a sixth of the time.
gc.freeze()
gc.set_threshold(100_000, 50, 50)

# Where all is started by `nohup ... &`, processes that tests interrupt would ignore it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

jreg.use_cpu_devices(2)
quick.use()
jax.devices()
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)  # before tests are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Most parameter sets of tests marked `some` are slow; the tests of one contract row share what was compiled."""
    mark_the_others_slow(items)
    items[:] = by_contract_row(items)


def mark_the_others_slow(items: list[pytest.Item]) -> None:
    """Of a test that is marked ``some(n)``, n parameter sets that are spread evenly run by default."""
    sets: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("some"):
            sets.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for of_one in sets.values():
        n = of_one[0].get_closest_marker("some").args[0]
        chosen = {len(of_one) * number // n for number in range(n)}
        for number, item in enumerate(of_one):
            if number not in chosen:
                item.add_marker(pytest.mark.slow)


def by_contract_row(items: list[pytest.Item]) -> list[pytest.Item]:
    """The items, so that tests of a row follow each other."""
    rows = {
        n: id(item.callspec.params["case"])
        for n, item in enumerate(items)
        if "test_contract.py::" in item.nodeid and "case" in getattr(item, "fixturenames", ())
    }
    first = {row: n for n, row in reversed(rows.items())}
    ordered = iter(sorted(rows, key=lambda n: first[rows[n]]))
    return [items[next(ordered)] if n in rows else item for n, item in enumerate(items)]


@pytest.fixture(autouse=True)
def strict_dtypes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Strict dtype promotion, but for tests marked `adam`: optax's bias correction raises a float to an int32."""
    with jax.numpy_dtype_promotion("standard" if request.node.get_closest_marker("adam") else "strict"):
        yield


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's cache is a setting of the whole process, so only its own processes use it."""
    monkeypatch.setattr("jreg.cli.commands._keep_programs", lambda: None)


@pytest.fixture
def blobs() -> jreg.Dataset:
    """Three overlapping Gaussian classes in the plane with a test set: small, and not separable."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 2)) + 2.0 * np.eye(3, 2)[y]
    return jreg.Dataset(x[:72], y[:72], x[72:], y[72:], name="blobs")


@pytest.fixture(scope="session")
def counted() -> list[int]:
    """Counts XLA compilations: ``before = counted[0]; ...; counted[0] - before``."""
    seen = [0]

    def listen(event: str, duration: float, **_: object) -> None:
        seen[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen
