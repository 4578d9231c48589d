"""Data sets, where they come from, and preprocessing fitted on training rows alone."""

from jreg.data.compose import by_part, chain
from jreg.data.dataset import Dataset
from jreg.data.encoding import Encoder
from jreg.data.items import from_items
from jreg.data.load import load_dataset
from jreg.data.missing import impute
from jreg.data.preprocess import min_max, scale, standardize, standardize_samples
from jreg.data.preprocessor import Preprocessor
from jreg.data.summary import summarize
from jreg.data.tables import from_csv, from_frame, from_openml
from jreg.data.transform import permute_pixels, random_labels, subset
from jreg.data.whitening import whiten

__all__ = [
    "Dataset",
    "Encoder",
    "Preprocessor",
    "by_part",
    "chain",
    "from_csv",
    "from_frame",
    "from_items",
    "from_openml",
    "impute",
    "load_dataset",
    "min_max",
    "permute_pixels",
    "random_labels",
    "scale",
    "standardize",
    "standardize_samples",
    "subset",
    "summarize",
    "whiten",
]
