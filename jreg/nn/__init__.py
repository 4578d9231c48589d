"""Flax Linen layers and networks whose regularization strengths may be traced.

Flax is imported here and nowhere else. `flax.linen.Dropout` compares its rate in Python and so refuses a
swept one; `Dropout` doesn't.
"""

from typing import Any

from jreg.nn.autoencoders import Autoencoder, TiedAutoencoder
from jreg.nn.branches import DropPath, ShakeShake, Zoneout
from jreg.nn.cnn import CNN
from jreg.nn.convolution import Conv
from jreg.nn.dense import Dense, dot_general
from jreg.nn.layers import (
    AlphaDropout,
    ClassicDropout,
    DropBlock,
    Dropout,
    FeatureAlphaDropout,
    FeatureCutout,
    SpatialDropout,
)
from jreg.nn.mlp import MLP, Linear, Maxout
from jreg.nn.noise import GaussianDropout, GaussianNoise, SaltAndPepper, UniformNoise
from jreg.nn.normalization import BatchRenorm, GhostBatchNorm, ResponseNorm
from jreg.nn.pooling import FractionalMaxPool, StochasticPool
from jreg.nn.residual import ResidualCNN, ResidualMLP
from jreg.nn.weights import CosineConv, CosineDense, WeightStandardized

__all__ = [
    "Linear",
    "MLP",
    "CNN",
    "ResidualMLP",
    "ResidualCNN",
    "Autoencoder",
    "TiedAutoencoder",
    "Maxout",
    "Conv",
    "Dense",
    "dot_general",
    "BatchRenorm",
    "GhostBatchNorm",
    "ResponseNorm",
    "WeightStandardized",
    "CosineDense",
    "CosineConv",
    "AlphaDropout",
    "ClassicDropout",
    "DropBlock",
    "DropPath",
    "Dropout",
    "FeatureAlphaDropout",
    "FeatureCutout",
    "FractionalMaxPool",
    "GaussianDropout",
    "GaussianNoise",
    "SaltAndPepper",
    "ShakeShake",
    "SpatialDropout",
    "StochasticPool",
    "UniformNoise",
    "Zoneout",
]


def __getattr__(name: str) -> Any:
    if name == "from_nnx":
        from jreg._base.deprecation import deprecated
        from jreg.models import from_nnx

        deprecated("jreg.nn.from_nnx", "jreg.models.from_nnx", removed_in="0.3.0")
        return from_nnx
    raise AttributeError(f"module 'jreg.nn' has no attribute {name!r}")
