"""A study as one HTML page, which `jreg.report.page` makes."""
