"""Recipe files: the user's own code, which runs only where the command line names it."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jreg import losses
from jreg._base.names import qualified_name
from jreg.data import Dataset
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


_TEMPLATE = '''"""A recipe: what is trained on {name}, and in which settings.

    jreg sweep THIS_FILE.py --data {data}
"""

import numpy as np
import optax

import jreg
from jreg import losses, nn, on_params, penalties


def recipe(hp):
    """One training. hp["l2"] and so on are numbers of the space below, a setting of them at a time."""
    return jreg.Recipe(
        # Two hidden layers, and an output for {outputs_are}. Convolutions: nn.CNN.
        model=nn.MLP((64, 64, {outputs}), dropout=hp["dropout"]),
        loss=losses.{loss},
        # penalties.l1, group_lasso and others stand here, too; terms add up: hp["l1"] * on_params(penalties.l1) + ...
        penalty=hp["l2"] * on_params(penalties.l2),
        # Any transform of optax's. Max-norm: optax.chain(..., jreg.project(...)).
        optimizer=optax.adam(hp["learning_rate"]),
        # Learned from the training rows of each fold alone.
        preprocess={preprocess},
{targets}    )


# Every combination is trained on every fold. along(...) says in which direction regularization grows, so that the most
# regularized setting within one standard error of the best can be named.
space = jreg.grid(
    l2=[0.0, *np.logspace(-4, -2, 3)],
    dropout=[0.0, 0.5],
    learning_rate=[1e-3],
).along("l2", "dropout")
'''


def template_for(data: Dataset, name: str) -> str:
    """A recipe file with comments, to begin with."""
    task = losses.for_task("multiclass" if data.task == "classification" else data.task)
    outputs = max(2, data.classes) if data.task == "classification" else data.classes
    steps = [f"jreg.data.{step}" for step in ("impute()",) if data.missing == "keep"]
    steps.append("jreg.data.scale(255)" if data.x.dtype == np.uint8 else "jreg.data.standardize()")
    what = {"classification": "each class", "multilabel": "each label", "regression": "each number to predict"}
    return _TEMPLATE.format(
        name=data.name,
        data=shlex.quote(name),
        outputs=outputs,
        outputs_are=what[data.task],
        loss=(qualified_name(task.loss) or "").rpartition(".")[2],
        preprocess=steps[0] if len(steps) == 1 else f"jreg.data.chain({', '.join(steps)})",
        targets="        targets=jreg.data.standardize(),\n" if data.task == "regression" else "",
    )
