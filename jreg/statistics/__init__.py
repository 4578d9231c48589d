"""Functions of scores: standard errors, the choice of a setting, comparisons, intervals, plans."""

from jreg.statistics.calibration import temperature
from jreg.statistics.conformal import cross_conformal, cv_plus, label_scores
from jreg.statistics.evalues import betting_evalue, mcnemar_evalue
from jreg.statistics.multiple import benjamini_hochberg, holm
from jreg.statistics.paired import (
    CorrectedT,
    PairedDifference,
    Posterior,
    corrected_t,
    correlated_t,
    paired_difference,
)
from jreg.statistics.planning import Needed, VarianceComponents, needed, power, variance_components
from jreg.statistics.rows import BootstrapDifference, McNemar, mcnemar, paired_bootstrap
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
    "corrected_t",
    "CorrectedT",
    "paired_difference",
    "PairedDifference",
    "correlated_t",
    "Posterior",
    "mcnemar",
    "McNemar",
    "paired_bootstrap",
    "BootstrapDifference",
    "holm",
    "benjamini_hochberg",
    "variance_components",
    "VarianceComponents",
    "power",
    "needed",
    "Needed",
    "betting_evalue",
    "mcnemar_evalue",
    "temperature",
]
