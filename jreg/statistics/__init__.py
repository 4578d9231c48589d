"""Functions of scores: standard errors, the choice of a setting, intervals."""

from jreg.statistics.conformal import cross_conformal, cv_plus, label_scores
from jreg.statistics.scores import (
    best_of,
    binomial_interval,
    mean_and_standard_error,
    one_standard_error,
)

__all__ = [
    "best_of",
    "binomial_interval",
    "cross_conformal",
    "cv_plus",
    "label_scores",
    "mean_and_standard_error",
    "one_standard_error",
]
