"""Scores of a whole set of predictions: ``(outputs, targets, weights) -> one number``, higher is better."""

from jreg.metrics.scores import accuracy, r2

__all__ = ["accuracy", "r2"]
