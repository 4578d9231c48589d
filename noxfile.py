"""What is checked and how: ``nox`` runs the default sessions, ``nox -l`` lists all.

The dependencies come from the groups in pyproject.toml, and so do the Python versions of `tests_core` and `tests_all`.
"""

import os
from pathlib import Path

import nox

# Tests start many processes, each of which would compile thousands of modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

# One process has a file's programs and fixtures, which the other would compile again.
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
# Examples run once, so programs needn't be fast: tests/quick.py.
DOCTESTS = ("-p", "quick", "-n", "2", "--doctest-modules", "jreg")
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)


def install(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Installs the project and dependency groups."""
    packages = nox.project.dependency_groups(PROJECT, *groups)
    session.install(*(["-e", "."] if project else []), *packages)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style."""
    install(session, "lint", project=False)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    install(session, "types")
    session.run("ty", "check")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on this Python."""
    install(session, "test")
    session.run("pytest", "-n", "2", *BY_FILE, "-m", "not bench and not slow", *session.posargs)


@nox.session(default=False, python=PYTHONS)
def tests_core(session: nox.Session) -> None:
    """Run the contract, the engine and the scheduler on every Python, where the newest JAX and NumPy are."""
    install(session, "test")
    core = [f"tests/test_{name}.py" for name in ("contract", "engine", "scheduler")]
    session.run("pytest", "-n", "2", *BY_FILE, "-m", "not bench and not slow", *core, *session.posargs)


@nox.session(default=False)
def tests_slow(session: nox.Session) -> None:
    """Run the tests that take long and are variants of others, and the examples of long pages."""
    install(session, "test")
    session.run("pytest", "-n", "2", "-m", "slow", *session.posargs)


@nox.session(default=False)
def tests_bench(session: nox.Session) -> None:
    """Run the benchmarks at a tiny size."""
    install(session, "test", "bench")
    session.run("pytest", "-n", "2", "-m", "bench", *session.posargs)


@nox.session
def doctest(session: nox.Session) -> None:
    """Run the examples in docstrings."""
    install(session, "test")
    session.run("pytest", *DOCTESTS, *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def docs(session: nox.Session) -> None:
    """Draw the pictures of the pages and build the documentation; a warning is an error."""
    install(session, "docs")
    session.run("python", "docs/pictures.py")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")
    session.log("the documentation is in docs/_build/html/index.html")


@nox.session(default=False, python=PYTHONS)
def tests_all(session: nox.Session) -> None:
    """Run the tests and the docstrings' examples on every Python."""
    install(session, "test")
    session.run("pytest", "-n", "2", "-m", "not bench", *session.posargs)
    session.run("pytest", *DOCTESTS, env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def oracles(session: nox.Session) -> None:
    """Compare with PyTorch and Keras, and use parameters of Equinox and Haiku."""
    install(session, "oracles")
    session.run("pytest", "tests/oracles", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Read 10,000 damaged and invented files with each loader, or as many as JREG_FUZZ_INPUTS says."""
    install(session, "fuzz")
    session.run("pytest", "tests/fuzz", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Look at the report in headless Chromium, where it is installed; screenshots go to runs/browser."""
    install(session, "browser")
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session(default=False)
def ray(session: nox.Session) -> None:
    """Train on a local Ray cluster whose workers die, and check Kubernetes' manifests."""
    install(session, "ray")
    files = ["tests/cluster", "tests/test_manifests.py"]
    session.run("pytest", "-m", "not slow", *files, *session.posargs, env={"RAY_USAGE_STATS_ENABLED": "0"})


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Kill a hundred studies at random moments, read one while it is written; a quarter of an hour."""
    install(session, "test")
    session.run("pytest", "-s", "tests/faults", *session.posargs)


@nox.session(default=False)
def x64(session: nox.Session) -> None:
    """Run the contract of every leaf function, trainings and studies with 64-bit numbers enabled."""
    install(session, "test")
    files = [f"tests/test_{name}.py" for name in ("contract", "engine", "scheduler", "design", "stopping", "stream")]
    chosen = ["-n", "2", "-m", "not bench and not slow", *files]
    session.run("pytest", *chosen, *session.posargs, env={"JAX_ENABLE_X64": "1"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed and memory beside the alternatives; JSON goes to runs/bench. experiments/bench/gpu.py is apart."""
    install(session, "bench", "bench-realmlp")
    names = ("speed", "estimators", "scaling", "memory", "masks", "augment")
    for script in (f"bench/{name}.py" for name in names):
        session.run("python", f"experiments/{script}", *session.posargs)


@nox.session(default=False)
def experiments(session: nox.Session) -> None:
    """Run the experiments whole; each says at its top how long it takes, and skips what its JSON has."""
    install(session)
    for script in sorted(Path("experiments").glob("*/run.py")):
        session.run("python", str(script), *session.posargs)
