"""What a training ends with and a person uses."""

from jreg.network.ensemble import Ensemble
from jreg.network.network import Network
from jreg.network.predictions import labels_of, probabilities_of

__all__ = ["Ensemble", "Network", "labels_of", "probabilities_of"]
