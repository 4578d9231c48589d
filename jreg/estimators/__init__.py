"""Estimators of scikit-learn's: one network, or a whole study inside `fit`.

They take arrays and data frames, work in pipelines, searches and cross-validation, and give labels of any type back.
"""

from jreg.estimators.networks import MLPClassifier, MLPRegressor
from jreg.estimators.studies import StudyClassifier, StudyRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "StudyClassifier", "StudyRegressor"]
