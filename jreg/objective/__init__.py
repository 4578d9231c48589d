r"""The objective :math:`\tilde J(\theta) = J(\theta) + \sum_k \alpha_k \Omega_k(\theta)`.

The lifts make a `Penalty` of a leaf function; penalties add, and scale by numbers that may be traced and by
schedules: ``hp["l2"] * on_params(l2) + hp["sparsity"] * on_activations(kl, "hidden_*")``.
"""

from jreg.objective.choice import Choice, Choices, where
from jreg.objective.lifts import (
    on_activations,
    on_inputs,
    on_loss,
    on_network,
    on_outputs,
    on_params,
    on_passes,
)
from jreg.objective.terms import Forward, Penalty, Term

__all__ = [
    "on_params",
    "on_outputs",
    "on_activations",
    "on_inputs",
    "on_passes",
    "on_network",
    "on_loss",
    "where",
    "Choice",
    "Choices",
    "Penalty",
    "Term",
    "Forward",
]
