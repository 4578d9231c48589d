"""What was asked and what was found: numbers and names, without code and data."""

from jreg.results.results import Found, Results, Timing
from jreg.results.selection import Baseline, SettingResult
from jreg.results.spec import FoldRows, Spec
from jreg.results.values import canonical

__all__ = ["Baseline", "FoldRows", "Found", "Results", "SettingResult", "Spec", "Timing", "canonical"]
