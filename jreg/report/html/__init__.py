"""A study as one HTML page."""

from jreg.report.html.page import page, write_page
from jreg.report.html.view import Beside, Predictions

__all__ = ["Beside", "Predictions", "page", "write_page"]
