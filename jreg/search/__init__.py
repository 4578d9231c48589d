"""Settings: spaces of them, distributions to draw them from, and rules that choose and give up while a study runs."""

from jreg.search.asking import Asker, Ending, Optuna
from jreg.search.distributions import (
    Choice,
    Distribution,
    LogUniform,
    Uniform,
    When,
    choice,
    log_uniform,
    uniform,
    when,
)
from jreg.search.racing import History, Race, Round, hyperband, merits, paired_elimination, successive_halving
from jreg.search.sampling import random_space
from jreg.search.space import Setting, Space, as_space, grid, traced_of, values_of

__all__ = [
    "Asker",
    "Choice",
    "Distribution",
    "Ending",
    "History",
    "LogUniform",
    "Optuna",
    "Race",
    "Round",
    "Setting",
    "Space",
    "Uniform",
    "When",
    "as_space",
    "choice",
    "grid",
    "hyperband",
    "log_uniform",
    "merits",
    "paired_elimination",
    "random_space",
    "successive_halving",
    "traced_of",
    "uniform",
    "values_of",
    "when",
]
