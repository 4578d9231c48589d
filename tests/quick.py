"""Options of XLA with which what runs once is soon compiled, for tests and, as a plugin of pytest's, for docstrings."""

import os

import jax


def use() -> None:
    """Sets the options for this process, before JAX starts, and for those that it starts."""
    # The compiler's last effort makes programs faster, which tests run once, and its emitters of fusions take more than
    # half of the time. An unknown flag would end the process, so versions of which nothing is known get the old one.
    flags = "--xla_backend_optimization_level=0"
    if jax.__version_info__ < (0, 11):
        flags += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"


def pytest_configure() -> None:
    """What ``pytest -p quick`` does."""
    use()
