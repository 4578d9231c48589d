"""The versions that a study ran with."""

from __future__ import annotations

import importlib.metadata
import platform


def versions() -> dict[str, str]:
    """The versions of what results depend on."""
    names = ("jreg", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a source tree that isn't installed
            continue
    return {"python": platform.python_version(), **found}
