"""jreg: which regularization, how strong, and how sure are we?

Every fold x every setting x every seed of a study trains in one compiled program, and each piece is a pure
function that works alone in other JAX code. See README.md.
"""

from typing import TYPE_CHECKING, Any

# First, since importing the others takes seconds in which Ctrl-C may come.
from jreg._base import interrupt as _interrupt  # noqa: F401

# isort: split
from jreg import (
    activations,
    augment,
    data,
    executors,
    initializers,
    losses,
    metrics,
    mixing,
    models,
    objective,
    penalties,
    projections,
    prox,
    search,
    splits,
    statistics,
    stochastic,
    transforms,
)
from jreg._base.reading import Axes
from jreg.data import Dataset, load_dataset
from jreg.engine import Layout, choose_layout, use_cpu_devices
from jreg.network import Ensemble, Network, load
from jreg.objective import on_activations, on_inputs, on_loss, on_network, on_outputs, on_params, on_passes, where
from jreg.recipe import Recipe
from jreg.results import Results, SettingResult, Spec
from jreg.search import (
    Optuna,
    Race,
    Space,
    anytime_elimination,
    forgiving_elimination,
    grid,
    hyperband,
    paired_elimination,
    random_space,
    successive_halving,
)
from jreg.store import load_results, merge
from jreg.study import (
    Design,
    NestedStudy,
    Study,
    cross_validate,
    nested_cross_validate,
    optimize,
    refit,
    refit_ensemble,
    resume,
)
from jreg.training import EarlyStopping, Fit, evaluate, fit, fit_stream, keep, member_key, predict
from jreg.transforms import decoupled_weight_decay, project, proximal

if TYPE_CHECKING:
    from jreg import estimators, nn

__version__ = "0.1.0"

__all__ = [
    "Axes",
    "Dataset",
    "Design",
    "EarlyStopping",
    "Ensemble",
    "Fit",
    "Layout",
    "NestedStudy",
    "Network",
    "Optuna",
    "Race",
    "Recipe",
    "Results",
    "SettingResult",
    "Space",
    "Spec",
    "Study",
    "activations",
    "anytime_elimination",
    "augment",
    "choose_layout",
    "cross_validate",
    "data",
    "decoupled_weight_decay",
    "estimators",
    "evaluate",
    "executors",
    "fit",
    "fit_stream",
    "forgiving_elimination",
    "grid",
    "hyperband",
    "initializers",
    "keep",
    "load",
    "load_dataset",
    "load_results",
    "losses",
    "member_key",
    "merge",
    "metrics",
    "mixing",
    "models",
    "nested_cross_validate",
    "nn",
    "objective",
    "on_activations",
    "on_inputs",
    "on_loss",
    "on_network",
    "on_outputs",
    "on_params",
    "on_passes",
    "optimize",
    "paired_elimination",
    "penalties",
    "predict",
    "project",
    "projections",
    "prox",
    "proximal",
    "random_space",
    "refit",
    "refit_ensemble",
    "resume",
    "search",
    "splits",
    "statistics",
    "stochastic",
    "successive_halving",
    "transforms",
    "use_cpu_devices",
    "where",
]


def __getattr__(name: str) -> Any:
    # The leaf functions are for programs without Flax too, and importing scikit-learn takes a second.
    if name in ("nn", "estimators"):
        import importlib

        return importlib.import_module(f"jreg.{name}")
    raise AttributeError(f"module 'jreg' has no attribute {name!r}")
