"""Data sets, where they come from, and preprocessing fitted on training rows alone."""

from jreg.data.dataset import Dataset
from jreg.data.load import load_dataset
from jreg.data.preprocess import Preprocessor, scale, standardize

__all__ = ["Dataset", "Preprocessor", "load_dataset", "scale", "standardize"]
