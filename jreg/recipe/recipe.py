"""A recipe: what a training is made of, as a function of its hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jreg import metrics
from jreg._base import checks
from jreg._base.brief import brief
from jreg._base.names import shown
from jreg._base.types import Array, Key, PyTree
from jreg.data import Preprocessor
from jreg.losses import link_of
from jreg.objective import Penalty
from jreg.transforms.withheld import only_updates

# What a recipe's `metrics` may be.
Metrics = Mapping[str, metrics.Metric | metrics.ParamsMetric]


class Steps(NamedTuple):
    """How many updates a training makes, which depends on the rows of its fold: the recipe's second argument.

    Attributes:
      steps_per_epoch: int32, traced.
      total_steps: of all the training's epochs, int32, traced.
    """

    steps_per_epoch: Any
    total_steps: Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    r"""What one training is made of; a function ``recipe(hp)`` returns it inside the compiled program.

    A recipe with a second argument, ``recipe(hp, steps)``, also receives the `Steps` of the training, so that a
    schedule fits every fold and the final training. optax's schedules want plain numbers, so let one fall from 0 to 1
    and scale its count: ``falling = optax.cosine_decay_schedule(hp["learning_rate"], 1.0)`` and
    ``optax.sgd(lambda count: falling(count / steps.total_steps))``.

    The training minimizes, over mini-batches B,

    .. math:: \frac1{|B|} \sum_{i \in B} \text{loss}(\text{model}(x_i), y_i) + \text{penalty}(\theta)

    An example passes preprocessing, then augmentation, then mixing on its way to the model; evaluation
    preprocesses alone.

    Args:
      model: a Flax Linen module, or anything with pure init and apply (`jreg.models.as_model`).
      loss: ``(outputs, targets) -> one loss per example``, such as those in `jreg.losses`; further axes are averaged.
        It may return ``(losses, parts)`` with a dict of named values per example, which become columns of the history.
      optimizer: an optax transform; `jreg.project` goes last in its chain. What it is given beside the gradients is
        said at `Recipe.update`.
      penalty: what `jreg.on_params` and the other lifts make, times its strengths; default: no penalty.
      metrics: `jreg.metrics` by name; the first one of the outputs ranks the settings. Default: accuracy for
        classification, r2 for regression.
      preprocess: of the examples, fitted on the training rows of the fold; default: as they are, floating numbers and
        bytes in float32.
      targets: preprocessing of the targets of a regression; loss and metrics are then in its units, and
        `jreg.predict` takes it back.
      augment: ``(key, x) -> x`` of one example in training; default: no augmentation.
      mixing: ``(key, x, y, weights) -> (x, y)`` of a batch in training, such as `jreg.mixing.mixup`, with targets
        ``(batch, K)``: soft labels, which the loss must accept, or the single number of a regression or of a network
        with one output; `weights` are 0 for padding. Default: no mixing.
      reconstruct: whether the target of an example is the example itself, preprocessed and flattened, as an
        autoencoder's is; augmentation is then noise that the network has to take away.
      class_weight: ``"balanced"`` has all classes count alike in the loss that is minimized, however many of the fold's
        training rows each has: a row counts :math:`n / (K n_k)` times, where n_k of the n training rows, or of the sum
        of their weights, have its class and K classes have any. A mixed example counts by the mix of its classes.
        Columns of the history, train_loss too, the penalty and preprocessing know nothing of it. Default: rows count
        alike. (Weights of one's own are the loss's, ``partial(losses.softmax_cross_entropy, class_weights=...)``.)
      batch_size: examples per step; default: the study's.
      initial: what training begins with, for fine-tuning or for going on: a `Fit` or a `jreg.Network` (with running
        averages; the optimizer begins anew), a tree of parameters, or a function of the parameters that the model draws
        that returns such a tree, where only a part is known. Default: what the model draws.

    Raises:
      TypeError: a part is not what it must be.
      ValueError: `batch_size` is below 1, there are mixing, preprocessed targets or a class weight beside
        `reconstruct`, or `class_weight` is another word.

    >>> import optax
    >>> from jreg import losses, nn
    >>> def recipe(hp):
    ...     return Recipe(nn.MLP((16, 3)), losses.softmax_cross_entropy, optax.adam(hp["learning_rate"]))

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 5.10, a machine learning algorithm
    as a data set, a cost, a model and an optimizer.
    """

    model: Any
    loss: Callable[[Array, Array], Array]
    optimizer: optax.GradientTransformation
    penalty: Penalty | None = None
    metrics: Metrics | None = None
    preprocess: Preprocessor | None = None
    targets: Preprocessor | None = None
    augment: Callable[[Key, Array], Array] | None = None
    mixing: Callable[[Key, Array, Array, Array], tuple[Array, Array]] | None = None
    reconstruct: bool = False
    batch_size: int | None = None
    initial: Any = None
    class_weight: str | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        loss, order = self.loss, "as in Recipe(model, loss, optimizer)"
        self._must("loss", callable(loss) and not hasattr(loss, "apply"), f"a function of (outputs, targets), {order}")
        moves = hasattr(self.optimizer, "update") and not isinstance(self.optimizer, Mapping)
        self._must("optimizer", moves, f"an optax transform, such as optax.adam(1e-3), {order}")
        if not isinstance(self.penalty, Penalty | None):
            raise TypeError(
                f"the recipe's penalty is {shown(self.penalty)}, but must come from jreg.on_params: "
                'hp["l2"] * on_params(penalties.l2)'
            )
        for name in ("augment", "mixing"):
            self._must(name, getattr(self, name) is None or callable(getattr(self, name)), "a function")
        for name in ("preprocess", "targets"):
            fits = isinstance(getattr(self, name), Preprocessor | None)
            self._must(name, fits, "a preprocessor, such as jreg.data.standardize()")
        self._must("metrics", isinstance(self.metrics, Mapping | None), "a dict of names to jreg.metrics")
        for name, metric in (self.metrics or {}).items():
            metrics.as_metric(name, metric)
        if self.class_weight is not None and self.class_weight != "balanced":
            raise ValueError(
                f"the recipe's class_weight is {shown(self.class_weight)}, but must be 'balanced' or None: weights of "
                "your own are the loss's, partial(losses.softmax_cross_entropy, class_weights=...)"
            )
        if self.reconstruct and (self.mixing or self.targets or self.class_weight):
            raise ValueError(
                "the recipe reconstructs the examples, so it can have neither mixing, targets nor a class_weight"
            )
        if self.batch_size is not None:
            checks.count(self.batch_size, "the recipe's batch_size")

    def _must(self, name: str, fits: bool, what: str) -> None:
        if not fits:
            raise TypeError(f"the recipe's {name} is {shown(getattr(self, name))}, but must be {what}")

    def update(
        self,
        gradients: PyTree,
        state: PyTree,
        params: PyTree,
        value: Array,
        value_fn: Callable[[PyTree], Array],
        grad_fn: Callable[..., PyTree],
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer, with the extra arguments that some transforms of optax ask for.

        `value` is the objective of the batch, as `optax.polyak_sgd` and `optax.contrib.reduce_on_plateau` look at it,
        `grad` its gradient, `value_fn` (`obj_fn` too) that of other parameters, as `optax.lbfgs` searches along a line
        and `optax.contrib.sophia` differentiates it twice, and `grad_fn` its gradient at other parameters, as
        `jreg.transforms.sam` asks for it. What goes in a chain behind `optax.MultiSteps`, `optax.apply_every` or
        `optax.apply_if_finite` changes nothing at a step that they make no update at.

        Raises:
          TypeError: a transform doesn't take extra arguments.
        """
        update = optax.with_extra_args_support(self.optimizer).update

        def elsewhere(params: PyTree, grad_fn: Any = None, obj_fn: Any = None) -> Array:
            del grad_fn, obj_fn  # a line search hands the other extra arguments on
            return value_fn(params)

        given = {"value": value, "grad": gradients, "value_fn": elsewhere, "obj_fn": value_fn, "grad_fn": grad_fn}
        try:
            updates, moved = update(gradients, state, params, **given)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise TypeError(
                f"the recipe's optimizer is given {', '.join(given)} beside the gradients, but "
                f"{str(error).splitlines()[0]}: let its update take **extra_args, and use jreg.transforms.sam in the "
                "place of optax.contrib.sam"
            ) from error
        return only_updates(updates, state, moved)

    def losses(self, outputs: PyTree, targets: PyTree) -> Array:
        """One loss per example."""
        return self.losses_and_parts(outputs, targets)[0]

    def losses_and_parts(self, outputs: PyTree, targets: PyTree) -> tuple[Array, dict[str, Array]]:
        """One loss per example, and its named parts where the loss returns some."""
        if self.reconstruct:
            outputs = outputs.reshape(outputs.shape[0], -1)
        found = self.loss(outputs, targets)
        values, parts = found if isinstance(found, tuple) else (found, {})
        if "loss" in parts:
            raise ValueError("the recipe's loss returns a part called 'loss', as the whole is called: rename the part")
        return _per_example(values), {name: _per_example(part) for name, part in parts.items()}

    @property
    def link(self) -> str | None:
        """What the outputs mean: ``"softmax"``, ``"sigmoid"`` or ``"identity"``; None where the loss doesn't say."""
        return link_of(self.loss)

    def metrics_for(self, task: str) -> Metrics:
        """The metrics by name, with the task's default filled in."""
        classifies = task != "regression" and not self.reconstruct
        return self.metrics or ({"accuracy": metrics.accuracy} if classifies else {"r2": metrics.r2})


def _per_example(values: Array) -> Array:
    return values if values.ndim == 1 else jnp.mean(values, axis=tuple(range(1, values.ndim)))
