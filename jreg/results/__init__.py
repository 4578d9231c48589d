"""What was asked and what was found: numbers and names, without code and data."""

from jreg.results.checks import Check, check
from jreg.results.comparison import Comparison, compare, indistinguishable
from jreg.results.nested import Estimate, Nested
from jreg.results.results import Results
from jreg.results.selection import Baseline, SettingResult
from jreg.results.spec import FoldRows, Spec
from jreg.results.timing import Stretch, Timing
from jreg.results.trained import Found, Trained
from jreg.results.values import canonical

__all__ = [
    "Baseline",
    "Check",
    "Comparison",
    "Estimate",
    "FoldRows",
    "Found",
    "Nested",
    "Results",
    "SettingResult",
    "Spec",
    "Stretch",
    "Timing",
    "Trained",
    "canonical",
    "check",
    "compare",
    "indistinguishable",
]
