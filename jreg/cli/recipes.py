"""Recipe files: the user's own code, which runs only where the command line names it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jreg.recipe import Recipe
from jreg.search.space import Space, as_space


def load_recipe(path: Path) -> tuple[Callable[[Any], Recipe], Space]:
    """The function ``recipe`` and the ``space`` that a Python file defines.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it can't be run, or doesn't define both.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: a recipe file ends in .py and defines recipe(hp) and space")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise ValueError(f"{path} ends the program by sys.exit: a recipe file only defines recipe and space") from error
    except Exception as error:
        raise ValueError(f"{path} can't be run: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "recipe", None)):
        raise ValueError(f"{path} has no function recipe(hp): define one that returns a jreg.Recipe")
    if not hasattr(module, "space"):
        raise ValueError(f"{path} has no space: define one, such as space = jreg.grid(l2=[1e-4, 1e-3])")
    return module.recipe, as_space(module.space)
