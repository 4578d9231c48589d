"""Results as tables, pictures and progress."""

from jreg.report.html.page import page, write_page
from jreg.report.html.view import Beside, Predictions
from jreg.report.images import augmented, samples
from jreg.report.nested import nested
from jreg.report.pictures import curves, differences, save_pictures, scores
from jreg.report.progress import Display, Progress, describe
from jreg.report.summary import summary, table, test_result
from jreg.report.text import number, settings_table

__all__ = [
    "Beside",
    "Display",
    "Predictions",
    "Progress",
    "augmented",
    "curves",
    "describe",
    "differences",
    "nested",
    "number",
    "page",
    "samples",
    "save_pictures",
    "scores",
    "settings_table",
    "summary",
    "table",
    "test_result",
    "write_page",
]
