"""Functions of scores: standard errors, the choice of a setting, intervals, calibration."""

from jreg.statistics.calibration import temperature
from jreg.statistics.scores import (
    best_of,
    binomial_interval,
    mean_and_standard_error,
    one_standard_error,
)

__all__ = ["best_of", "binomial_interval", "mean_and_standard_error", "one_standard_error", "temperature"]
