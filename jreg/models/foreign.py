"""Networks of other libraries that are given as they are: which library it is, and what to write instead."""

from __future__ import annotations

from typing import Any

# Said of a network by the library of its class, or of one that the class inherits from.
_REMEDIES = {
    "flax.nnx": "models.from_nnx takes a function that builds one, "
    "models.from_nnx(lambda rngs: {name}(..., rngs=rngs))",
    "flax.linen": "give one that is made of the class, {name}(...)",
    "equinox": "models.from_equinox takes a function that builds one, "
    "models.from_equinox(lambda key: {name}(..., key=key))",
    "haiku": "models.from_haiku takes what haiku.transform returns, "
    "models.from_haiku(haiku.transform(lambda x: {name}(...)(x)))",
    "torch": "JAX can't train a PyTorch network: write it in Flax, such as nn.MLP((128, 10))",
    "keras": "JAX can't trace a Keras model: write it in Flax, such as nn.MLP((128, 10))",
    "tensorflow": "JAX can't train a TensorFlow network: write it in Flax, such as nn.MLP((128, 10))",
    "sklearn": "a scikit-learn estimator trains by itself: write the network in Flax, such as nn.MLP((128, 10))",
    "optax": "Recipe(model, loss, optimizer) takes its parts in this order",
}
_FORM = "must be a Flax Linen module or have pure init(key, x) and apply(variables, x, train, rngs)"


def library_of(value: Any) -> str | None:
    """The library that a network is of, or one that is built from its class; None for others.

    >>> from flax import linen
    >>> library_of(linen.Dense(3)), library_of(linen.Dense), library_of(3)
    ('flax.linen', 'flax.linen', None)
    """
    modules = [base.__module__ for base in _class_of(value).__mro__]
    return next((name for module in modules for name in _REMEDIES if f"{module}.".startswith(f"{name}.")), None)


def _class_of(value: Any) -> type:
    made = getattr(value, "func", value)  # of a functools.partial
    return made if isinstance(made, type) else type(value)


def no_model(model: Any) -> str:
    """The sentence about what can't stand as a recipe's model."""
    library, kind = library_of(model), _class_of(model)
    found = f"the class {kind.__name__}" if isinstance(model, type) else f"a {kind.__name__}"
    if library is None:
        return f"a recipe's model is {found}, but {_FORM}"
    remedy = _REMEDIES[library].format(name=kind.__name__)
    if kind.__name__.startswith("Transformed"):
        remedy = "give what haiku.transform returns as models.from_haiku(transformed)"
    return f"a recipe's model is {found} of {library}, which can't stand there as it is: {remedy}"


def check_makes(make: Any, library: str) -> None:
    """Raises TypeError where an adapter is given a module itself and not a function that builds one."""
    name = library.split(".")[-1]
    if library_of(make) == library and not isinstance(getattr(make, "func", make), type):
        kind = _class_of(make).__name__
        raise TypeError(
            f"from_{name} got a {kind} itself, but needs a function: {_REMEDIES[library].format(name=kind)}"
        )
    if not callable(make):
        raise TypeError(f"from_{name} got a {type(make).__name__}, but needs a function that builds the module")
