"""A trained network that a person uses."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import checks
from jreg._base.files import write_bytes
from jreg._base.types import Array, Key, PyTree
from jreg.data import Dataset, Encoder
from jreg.data.reading import is_table
from jreg.network.examples import as_examples, as_targets, as_weights
from jreg.network.onnx import to_onnx
from jreg.network.predictions import labels_of, probabilities_of, values_of
from jreg.network.sampling import Sampled, sampled
from jreg.network.saving import save_network
from jreg.recipe import Recipe, build
from jreg.search.space import Setting
from jreg.training import doors, measure
from jreg.training.plan import MOST_ROWS

Static = tuple[tuple[str, Any], ...]


@functools.partial(jax.jit, static_argnums=(0, 1))
def outputs_of(recipe: Callable[..., Recipe], static: Static, hp: Any, network: Any, x: PyTree) -> PyTree:
    """The outputs of a network, which is (parameters, running averages, statistics), for rows of the data."""
    made = build(recipe, {**dict(static), **hp})
    return values_of(measure.outputs_for(made, *network, x), network[2][1], made.targets)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _scores(
    recipe: Callable[..., Recipe], static: Static, task: str, hp: Any, network: Any, x: PyTree, y: PyTree, w: Array
) -> dict[str, Array]:
    return measure.scores_for(build(recipe, {**dict(static), **hp}), task, network, x, y, w)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A trained network with what it needs to be used, and how it came to be.

    Attributes:
      recipe: the function of the hyperparameters, which knows the architecture.
      hyperparameters: with which it was trained.
      traced: the names of those that are numbers inside the compiled program.
      params: its parameters.
      model_state: its running averages; {} for most networks.
      statistics: of the preprocessing of examples and targets.
      task: ``"classification"``, ``"multilabel"`` or ``"regression"``.
      link: how its loss reads outputs, ``"softmax"``, ``"sigmoid"``, ``"identity"`` or None.
      classes: the names of the classes, in the order of the outputs, where there are any.
      target_shape: of one row's target, () for a number.
      epochs: how long it trained.
      history: by label, ``(epochs,)`` each.
      test: loss and metrics on the test set by name; empty where there is none.
      interval: the 95% binomial interval of the test accuracy, see `jreg.refit`; None where test rows are no
        independent trials with one label each that count alike, and without a test set.
      encoder: of the table that it was trained on, where there was one, or of its labels (`jreg.data.Encoder`).
        Examples may then be given as a table, too, such as the path of a CSV file or a data frame: columns go by name
        and are coded as those of the training table, and what is predicted are labels as that table has them.
      example: one example as `jax.ShapeDtypeStruct`, or a tree of them; None where it isn't known.
      features: the names of the features, where examples are rows of features that have any.
      more: plain values that `save` writes with it, such as a fingerprint of its study.
    """

    recipe: Callable[..., Recipe]
    hyperparameters: Setting
    traced: tuple[str, ...]
    params: PyTree
    model_state: PyTree
    statistics: PyTree
    task: str
    link: str | None
    classes: tuple[str, ...] = ()
    target_shape: tuple[int, ...] = ()
    epochs: int = 0
    history: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    test: Mapping[str, float] = dataclasses.field(default_factory=dict)
    interval: tuple[float, float] | None = None
    encoder: Encoder | None = None
    example: PyTree = None
    features: tuple[str, ...] = ()
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        recipe: Callable[..., Recipe],
        setting: Setting,
        traced: tuple[str, ...],
        network: tuple[PyTree, PyTree, PyTree],
        data: Dataset,
        **more: Any,
    ) -> Network:
        """The network of a training; `network` is (parameters, running averages, preprocessing statistics)."""
        shape = data.y.shape[1:] if isinstance(data.y, np.ndarray) else ()
        link = build(recipe, setting).link
        names = tuple(data.labels) if data.task != "regression" else ()
        example = jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape[1:], part.dtype), data.x)
        more |= {"encoder": data.encoder, "example": example, "features": tuple(data.features)}
        return cls(recipe, setting, traced, *network, data.task, link, names, shape, **more)

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        test = "".join(f", test {name} {value:.4f}" for name, value in self.test.items() if name != "loss")
        return f"Network({count} parameters, {self.task}, {self.epochs} epochs{test})"

    def given(self) -> tuple[Static, dict[str, Any], tuple[PyTree, PyTree, PyTree]]:
        """Static hyperparameters, traced ones, and the three trees of the network, as its programs take them."""
        hp = self.hyperparameters
        static = tuple((name, value) for name, value in hp.items() if name not in self.traced)
        numbers = {name: jnp.asarray(hp[name], jnp.float32) for name in self.traced if name in hp}
        return static, numbers, (self.params, self.model_state, self.statistics)

    def save(self, folder: str | Path, *, program: bool | None = None, more: Mapping[str, Any] | None = None) -> Path:
        """Writes weights.safetensors and model.json into a folder, for `jreg.load` and for programs without jreg.

        A network of `jreg.nn` with preprocessing of `jreg.data` is described by names and arguments. Of any other one
        the forward pass is written, too, as program.bin, which `jax.export` makes for CPUs, CUDA and TPUs; JAX
        promises to read it for some months.

        Args:
          folder: made where it isn't there. A network in it is replaced, other files stay.
          program: whether to write program.bin; default: where the network can't be described. Without it such a
            network needs its recipe when it is loaded.
          more: plain values that model.json has as well.

        Returns:
          The folder.

        Raises:
          ValueError: the folder can't be written, or has a model.json of something else; the program was asked for and
            can't be exported.
          TypeError: parameters are neither dicts, lists nor tuples of arrays.
          OSError: the disk is full, for one.
        """
        return save_network(self, folder, program, more)

    def to_onnx(self, path: str | Path) -> Path:
        """Writes a file for ONNX runtimes, see `jreg.network.to_onnx`.

        Raises:
          ImportError: onnx isn't installed: ``pip install "jreg[onnx]"``.
          ValueError: the network is none that ONNX can have.
        """
        path = Path(path)
        write_bytes(path, to_onnx(self))
        return path

    def outputs(self, x: PyTree) -> PyTree:
        """The network's outputs for examples ``(n, ...)``: logits, or numbers in the targets' units in a regression.

        Raises:
          ValueError: the examples have another shape than those that it was trained on.
          TypeError: they hold no numbers.
        """
        static, hp, network = self.given()
        x = x if (encoder := self.encoder_for(x)) is None else encoder.encode(x)
        return outputs_of(self.recipe, static, hp, network, as_examples(x, self.example))

    def encoder_for(self, x: Any) -> Encoder | None:
        """The encoder where examples are a table that it codes; None where they are arrays."""
        return self.encoder if self.encoder is not None and self.encoder.columns and is_table(x) else None

    def predict(self, x: PyTree) -> np.ndarray:
        """Class numbers ``(n,)``, flags of labels ``(n, k)``, or values in their own units; of a table its labels."""
        found = labels_of(self.outputs(x), self.task, self.target_shape)
        return found if (encoder := self.encoder_for(x)) is None else encoder.decode(found)

    def predict_proba(self, x: PyTree) -> np.ndarray:
        """Probabilities of the classes ``(n, K)``.

        Raises:
          ValueError: it is a regression, or its loss says nothing of probabilities.
        """
        return probabilities_of(self.outputs(x), self.link, self.task)

    def sample(self, key: Key, x: PyTree, samples: int) -> Sampled:
        """What passes with the noise of training predict, known as Monte-Carlo dropout, and how they differ.

        Every row has noise of its own in every pass. Noise is that of the model, such as dropout or noise on weights,
        and not the recipe's augmentation or mixing. A network that is loaded by its description or with its recipe has
        it, too; a program evaluates only.

        Args:
          key: a JAX random key.
          x: examples ``(n, ...)``.
          samples: the number of passes, at least 2; each costs as much as a prediction.

        Returns:
          A `jreg.network.Sampled`: the passes, their mean, and their standard deviation, or entropy and mutual
          information of classes.

        Raises:
          ValueError: the model has no noise, or running averages, as of batch normalization, so that a pass in training
            would mix rows; or the examples don't fit.
          TypeError: `key` is no random key, or `samples` no whole number.

        Source: Gal and Ghahramani, Dropout as a Bayesian approximation, ICML (2016).
        """
        doors.check_key(key)
        static, hp, network = self.given()
        x = x if (encoder := self.encoder_for(x)) is None else encoder.encode(x)
        keys = jax.random.split(key, checks.count(samples, "samples", least=2))
        given = (self.recipe, static, hp, network)
        kind = (self.task, self.link, self.target_shape)
        return sampled(given, keys, as_examples(x, self.example), MOST_ROWS, kind)

    def evaluate(self, x: PyTree, y: PyTree = None, weights: Any = None) -> dict[str, float]:
        """Loss and metrics on examples by name, in the units in which the loss was minimized.

        Targets are as in the `Dataset` that it was trained on; those of a table are in its target column, so that `y`
        is left out. Beside arrays labels are class numbers, or texts where those of the training data were. `weights`
        ``(n,)`` say how much each row counts; default: all alike.

        Raises:
          ValueError: the table has other columns than the training table, a label is none of the training data's, the
            shapes don't fit, or a weight is negative or no number.
          TypeError: the examples hold no numbers.
        """
        static, hp, network = self.given()
        if (encoder := self.encoder_for(x)) is not None:
            read = encoder.read(x)
            # Where the encoder has no labels, targets are numbers already.
            y = encoder.encode_target(read if y is None else y) if y is None or encoder.labels else y
            x = encoder.encode(read)
        x = as_examples(x, self.example)
        count = jax.tree.leaves(x)[0].shape[0]
        shape = None
        if self.task == "classification" and self.link in ("softmax", "sigmoid"):
            shape = jax.eval_shape(functools.partial(outputs_of, self.recipe, static), hp, network, x)
        y = as_targets(y, self.task, count, getattr(shape, "shape", None), self.encoder)
        found = _scores(self.recipe, static, self.task, hp, network, x, y, as_weights(weights, count))
        known = sorted(found, key=lambda name: name != "loss")
        return {name: float(found[name]) for name in known}
