"""Functions of scores: standard errors, the choice of a setting, intervals, e-values."""

from jreg.statistics.evalues import betting_evalue, mcnemar_evalue
from jreg.statistics.scores import (
    best_of,
    binomial_interval,
    mean_and_standard_error,
    one_standard_error,
)

__all__ = [
    "best_of",
    "betting_evalue",
    "binomial_interval",
    "mcnemar_evalue",
    "mean_and_standard_error",
    "one_standard_error",
]
