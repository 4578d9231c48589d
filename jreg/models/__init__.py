"""What may stand as a recipe's model: pure functions, and adapters of other libraries' networks."""

from jreg._base.types import Model
from jreg.models.equinox import from_equinox, trained
from jreg.models.haiku import from_haiku
from jreg.models.model import as_model, with_weights
from jreg.models.nnx import from_nnx

__all__ = ["Model", "as_model", "from_equinox", "from_haiku", "from_nnx", "trained", "with_weights"]
