"""Settings: spaces of them, distributions to draw them from, and rules that choose and give up while a study runs."""

from jreg.search.anytime import anytime_elimination
from jreg.search.asking import Asker, Ending, Optuna, SharedAsker
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
from jreg.search.forgiving import forgiving_elimination
from jreg.search.race import History, Race, Round, merits
from jreg.search.racing import hyperband, paired_elimination, successive_halving
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
    "SharedAsker",
    "Space",
    "Uniform",
    "When",
    "anytime_elimination",
    "as_space",
    "choice",
    "forgiving_elimination",
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
