"""Studies: cross-validation of many settings in one compiled program, searches, and the final training."""

from jreg.study.cross_validation import cross_validate
from jreg.study.optimization import optimize
from jreg.study.refit import Refit, refit
from jreg.study.result import SettingResult, Study

__all__ = ["Refit", "SettingResult", "Study", "cross_validate", "optimize", "refit"]
