"""What a training ends with and a person uses."""

from jreg.network.ensemble import Ensemble
from jreg.network.greedy import greedy_weights
from jreg.network.loading import load
from jreg.network.network import Network
from jreg.network.onnx import to_onnx
from jreg.network.predictions import labels_of, probabilities_of
from jreg.network.sampling import Sampled

__all__ = ["Ensemble", "Network", "Sampled", "greedy_weights", "labels_of", "load", "probabilities_of", "to_onnx"]
