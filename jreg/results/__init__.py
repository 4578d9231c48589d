"""What was asked and what was found: numbers and names, without code and data."""

from jreg.results.results import Results, Timing
from jreg.results.selection import Baseline, SettingResult
from jreg.results.spec import FoldRows, Spec
from jreg.results.trained import Found, Trained
from jreg.results.values import canonical

__all__ = ["Baseline", "FoldRows", "Found", "Results", "SettingResult", "Spec", "Timing", "Trained", "canonical"]
