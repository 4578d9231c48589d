"""The layers and functions that a saved network may name: what is listed here, and nothing else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen

from jreg import activations, nn
from jreg._base.described import Vocabulary

_JAX_NN = (
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "swish", "mish", "squareplus", "softplus"),
    *("sigmoid", "tanh", "log_sigmoid", "soft_sign", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "glu"),
    *("sparse_plus", "sparse_sigmoid", "softmax", "log_softmax", "identity"),
)
_JAX_NUMPY = ("abs", "arctan", "cos", "exp", "sign", "sin", "square")
_ACTIVATIONS = ("maxout", "prelu")
_NN = (
    *("Linear", "MLP", "CNN", "ResidualMLP", "ResidualCNN", "Autoencoder", "TiedAutoencoder", "Maxout", "Conv"),
    *("Dense", "BatchRenorm", "GhostBatchNorm", "ResponseNorm", "WeightStandardized", "CosineDense", "CosineConv"),
    *("AlphaDropout", "ClassicDropout", "DropBlock", "DropPath", "Dropout", "FeatureAlphaDropout", "FeatureCutout"),
    *("FractionalMaxPool", "GaussianDropout", "GaussianNoise", "SaltAndPepper", "ShakeShake", "SpatialDropout"),
    *("StochasticPool", "UniformNoise", "Zoneout"),
)
# Beside jreg's own layers a network may have these, such as normalization=partial(linen.BatchNorm, momentum=0.9).
_LINEN = (
    *("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "Dense", "Conv", "Embed", "PReLU"),
    *("WeightNorm", "SpectralNorm", "Sequential", "Dropout"),
)

VOCABULARY = Vocabulary(
    functions={
        **{f"jax.nn.{name}": getattr(jax.nn, name) for name in _JAX_NN},
        **{f"jax.numpy.{name}": getattr(jnp, name) for name in _JAX_NUMPY},
        **{f"jreg.activations.{name}": getattr(activations, name) for name in _ACTIVATIONS},
    },
    classes={
        **{f"jreg.nn.{name}": getattr(nn, name) for name in _NN},
        **{f"flax.linen.{name}": getattr(linen, name) for name in _LINEN},
    },
    words={"activation": (*_JAX_NN, "prelu"), "output": (*_JAX_NN, "prelu")},
    makers=("normalization", "noise"),
)
