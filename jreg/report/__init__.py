"""Results as tables, pictures and progress."""

from jreg.report.figures import augmented, curves, samples, scores
from jreg.report.progress import Display, Progress, describe
from jreg.report.text import settings_table

__all__ = ["Display", "Progress", "augmented", "curves", "describe", "samples", "scores", "settings_table"]
