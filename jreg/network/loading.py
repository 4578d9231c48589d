"""Saved networks in a process that doesn't have their recipe."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import tensors
from jreg._base.described import Vocabulary
from jreg._base.names import cut
from jreg._base.types import PyTree
from jreg.models import as_model
from jreg.network.describing import rebuildable, recipe_of
from jreg.network.ensemble import Ensemble
from jreg.network.network import Network, outputs_of
from jreg.network.program import model_of
from jreg.network.reading import encoder_of, example_of, inside, read_model, read_program, read_weights
from jreg.network.saving import MODEL, PROGRAM, WEIGHTS, member
from jreg.recipe import Recipe, build
from jreg.training.inputs import examples

Function = Callable[..., Recipe]


def load(
    folder: str | Path, *, recipe: Callable[..., Recipe] | None = None, trust_program: bool = False
) -> Network | Ensemble:
    """A network, or an ensemble of them, that `Network.save`, `Ensemble.save` or `Study.save_networks` wrote.

    A network of `jreg.nn` with preprocessing of `jreg.data` is rebuilt from names and arguments, which are looked up in
    closed lists. Any other network needs its recipe or its program. Nothing that is read is run, but for a program that
    is trusted.

    Args:
      folder: with model.json and weights.safetensors in it.
      recipe: the function with which it was trained; default: what model.json describes.
      trust_program: whether program.bin may be run where a network can't be rebuilt and there is no `recipe`. Whoever
        made that file can do anything on this machine: JAX checks a program's calls when it is exported, and not when
        it is loaded.

    Returns:
      A `Network` or an `Ensemble`, whose outputs are those of the one that was saved, on the same machine to the bit
      where it was rebuilt or has its recipe. `evaluate` needs a loss and metrics of jreg's, or the `recipe`.

    Raises:
      ValueError: there is no network, or a damaged one; its weights don't fit it; it can't be rebuilt, and there is
        neither a `recipe` nor a program that is trusted.
      OSError: the operating system can't read the folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"there is no folder {folder} with a network")
    found = read_model(path)
    recipes: dict[str, Function] = {}
    if found["kind"] == "network":
        return _network(path, found, recipe, trust_program, recipes)
    networks = []
    for number in range(found["members"]):
        place = inside(path, member(number))
        if not place.is_dir():
            raise ValueError(f"{path / MODEL} counts {found['members']} networks, but there is no folder {place}")
        one = read_model(place)
        if one["kind"] != "network":
            raise ValueError(f"{place} is to be a network of an ensemble, but is an ensemble itself")
        networks.append(_network(place, one, recipe, trust_program, recipes))
    with _damaged(path / MODEL):
        # Before ensembles had weights nothing was written for them.
        return Ensemble(networks, found.get("weights"))


def _network(
    folder: Path,
    found: Mapping[str, Any],
    recipe: Function | None,
    trust_program: bool,
    recipes: dict[str, Function],
) -> Network:
    tree = read_weights(folder, found)
    with _damaged(folder / MODEL):
        example, rebuilt = example_of(found["example"]), rebuildable(found["recipe"])
        hp = {name: _hyperparameter(value) for name, value in found["hyperparameters"].items()}
        traced = tuple(found["traced"])
        if not all(isinstance(hp.get(name), int | float) for name in traced):
            raise ValueError("the traced hyperparameters are not all numbers")
        encoder = encoder_of(found["encoder"])
    whole = False
    if recipe is None and rebuilt:
        # The networks of an ensemble share their program.
        with _damaged(folder / MODEL):
            key = json.dumps([found["recipe"], found["link"]])
        recipe = recipes.setdefault(key, recipe_of(found["recipe"], found["link"]))
    elif recipe is None:
        recipe, whole = _of_program(folder, found, example, trust_program), True
    with _damaged(folder / MODEL):
        network = Network(
            recipe,
            hp,
            traced,
            tree["params"],
            tree["model_state"],
            (tree["statistics"], ()) if whole else tree["statistics"],
            task=found["task"],
            link=found["link"],
            classes=tuple(found["classes"]),
            target_shape=tuple(found["target_shape"]),
            epochs=found["epochs"],
            history={name: np.array([float(value) for value in values]) for name, values in found["history"].items()},
            test={name: float(value) for name, value in found["test"].items()},
            interval=None if found["interval"] is None else (found["interval"][0], found["interval"][1]),
            encoder=encoder,
            example=example,
            features=tuple(found["features"]),
            more=found["more"],
        )
    try:
        _check(network, whole)
    except Exception as error:  # tracing what a file describes may raise whatever its parts raise
        raise ValueError(
            f"the weights in {folder / WEIGHTS} don't fit the network: {cut(' '.join(str(error).split()))}"
        ) from None
    params, state, statistics = jax.tree.map(jnp.asarray, (network.params, network.model_state, network.statistics))
    return dataclasses.replace(network, params=params, model_state=state, statistics=statistics)


def _of_program(folder: Path, found: Mapping[str, Any], example: PyTree, trusted: bool) -> Function:
    """The recipe of a network whose program is run."""
    reason = cut("; ".join(f"{name}: {text}" for name, text in found["recipe"]["unnamed"].items()))
    begin = f"the network in {folder} can't be rebuilt from names ({reason})"
    give = "give the recipe that it was trained with, jreg.load(folder, recipe=recipe) (--recipe FILE)"
    program = found["program"]
    if program is None or "sha256" not in program:
        why = "" if program is None else f" ({cut(str(program['error']))})"
        raise ValueError(f"{begin}, and was saved without a program{why}: {give}")
    if not trusted:
        raise ValueError(
            f"{begin}, and {PROGRAM} isn't run, since whoever made it can do anything on this machine: where you trust "
            f"who that was, jreg.load(folder, trust_program=True) (--trust-program); otherwise {give}"
        )
    model = model_of(read_program(folder, found), example, str(folder / PROGRAM))
    with _damaged(folder / MODEL):
        return recipe_of(found["recipe"], found["link"], model)


def _check(network: Network, whole: bool) -> None:
    """Raises unless the weights are those that the network takes, before anything of its size is made."""
    static, hp, trees = network.given()
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), trees)
    x = jax.tree.map(lambda part: jax.ShapeDtypeStruct((2, *part.shape), part.dtype), network.example)
    # Linen compares each parameter with its layer as it comes to it. So what a description asks for is followed only
    # as far as there are weights in the file.
    jax.eval_shape(functools.partial(outputs_of, network.recipe, static), hp, shapes, x)
    if whole:
        return

    def fresh(hp: Any, statistics: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
        made = build(network.recipe, {**dict(static), **hp})
        return as_model(made.model).init(jax.random.key(0), examples(made, statistics, x))

    def fitted(hp: Any, x: PyTree, y: Any) -> tuple[PyTree, PyTree]:
        made, weights = build(network.recipe, {**dict(static), **hp}), jnp.ones(2, jnp.float32)
        preprocess, targets = made.preprocess, made.targets if y is not None else None
        return (preprocess.fit(x, weights) if preprocess else (), targets.fit(y, weights) if targets else ())

    # Of targets that are several arrays the shapes aren't known.
    y = None
    if network.task == "regression" and not isinstance(trees[2][1], dict):
        y = jax.ShapeDtypeStruct((2, *network.target_shape), jnp.float32)
    like = (*jax.eval_shape(fresh, hp, shapes[2], x), jax.eval_shape(fitted, hp, x, y))
    for name, found, expected in zip(("params", "model_state", "statistics"), trees, like, strict=True):
        if name == "statistics" and y is None:
            found, expected = found[0], expected[0]
        tensors.restored(tensors.named(found), expected)


def _hyperparameter(found: Any) -> Any:
    if isinstance(found, Mapping) and "function" in found:
        from jreg.nn.described import VOCABULARY

        return VOCABULARY.rebuilt(found, {})
    return Vocabulary({}).rebuilt(found, {})


@contextmanager
def _damaged(path: Path) -> Generator[None]:
    """Raises ValueError with a sentence for what values of wrong types raise."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {cut(' '.join(str(error).split()))}") from None
