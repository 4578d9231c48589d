"""A recipe: what a training is made of, as a function of its hyperparameters."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jreg import metrics
from jreg._base import checks
from jreg._base.names import qualified_name
from jreg._base.types import Array, Key, PyTree
from jreg.data import Preprocessor
from jreg.losses import link_of
from jreg.objective import Penalty
from jreg.search.space import Setting, Space
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


@dataclasses.dataclass(frozen=True, eq=False)
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
      batch_size: examples per step; default: the study's.
      initial: what training begins with, for fine-tuning or for going on: a `Fit` or a `jreg.Network` (with running
        averages; the optimizer begins anew), a tree of parameters, or a function of the parameters that the model draws
        that returns such a tree, where only a part is known. Default: what the model draws.

    Raises:
      TypeError: a part is not what it must be.
      ValueError: `batch_size` is below 1, or there are mixing or preprocessed targets beside `reconstruct`.

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

    def __post_init__(self) -> None:
        if not callable(self.loss):
            raise TypeError(f"the recipe's loss is {self.loss!r}, but must be a function of (outputs, targets)")
        if not hasattr(self.optimizer, "update"):
            raise TypeError(f"the recipe's optimizer is {self.optimizer!r}, but must be an optax transform")
        if not isinstance(self.penalty, Penalty | None):
            raise TypeError(
                f"the recipe's penalty is {self.penalty!r}, but must come from jreg.on_params: "
                'hp["l2"] * on_params(penalties.l2)'
            )
        for name in ("augment", "mixing"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                raise TypeError(f"the recipe's {name} is {getattr(self, name)!r}, but must be a function")
        for name, metric in (self.metrics or {}).items():
            metrics.as_metric(name, metric)
        if self.reconstruct and (self.mixing or self.targets):
            raise ValueError("the recipe reconstructs the examples, so it can have neither mixing nor targets")
        if self.batch_size is not None:
            checks.count(self.batch_size, "the recipe's batch_size")

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


class Hyperparameters(Mapping[str, Any]):
    """What a recipe is called with: a mapping that knows which of its names have been read."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)
        self.read: set[str] = set()
        self.missing = False

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self.missing = True
            names = ", ".join(self._values) or "nothing"
            raise KeyError(f"the recipe reads hyperparameter {name!r}, which is not in the space: it has {names}")
        self.read.add(name)
        return self._values[name]

    def peek(self) -> dict[str, Any]:
        """The same values for who only compares them, which doesn't count as reading."""
        return dict(self._values)

    def __contains__(self, name: object) -> bool:
        # Mapping would look the name up, which here is reading it.
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def takes_steps(recipe: Callable[..., Recipe]) -> bool:
    """Whether a recipe has a second argument, which then receives the `Steps`.

    >>> takes_steps(lambda hp: None), takes_steps(lambda hp, steps: None), takes_steps(lambda hp, width=3: None)
    (False, True, False)
    """
    try:
        parameters = list(inspect.signature(recipe).parameters.values())
    except (TypeError, ValueError):  # some callables don't tell
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 and positional[1].default is inspect.Parameter.empty


def build(recipe: Callable[..., Recipe], values: Mapping[str, Any], steps: Steps | None = None) -> Recipe:
    """Calls the recipe; `steps` may be left out where nothing trains.

    Raises:
      KeyError: it reads a hyperparameter that is not in `values`.
      TypeError: `recipe` is no function, or doesn't return a `Recipe`.
    """
    hp = values if isinstance(values, Hyperparameters) else Hyperparameters(values)
    if not callable(recipe):
        raise TypeError(f"the recipe is a {type(recipe).__name__}, but must be a function of the hyperparameters")
    try:
        made = recipe(hp, steps or Steps(1, 1)) if takes_steps(recipe) else recipe(hp)
    except (ValueError, TypeError):
        raise
    except Exception as error:
        # A KeyError may be the one above, whose sentence needs nothing added.
        if isinstance(error, KeyError) and hp.missing:
            raise
        raise ValueError(f"the recipe raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Recipe):
        raise TypeError(f"the recipe returns a {type(made).__name__}, but must return a jreg.Recipe")
    return made


def check_read(space: Space, samples: Iterable[Hyperparameters]) -> None:
    """Raises ValueError where no sample of the settings had one of the space's hyperparameters read."""
    read = set().union(*(hp.read for hp in samples))
    unread = [name for name in space.axes if name not in read]
    if unread:
        raise ValueError(f"the recipe never reads hyperparameter {unread[0]!r}: use hp[{unread[0]!r}] or leave it out")


@contextlib.contextmanager
def naming(setting: Mapping[str, Any]) -> Generator[None]:
    """Adds the setting to the sentence of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} (in the setting {describe(setting)})") from error


def extremes(space: Space, group: Sequence[Setting]) -> list[Setting]:
    """The first setting of a group, and it again with each traced hyperparameter at its ends among the group's."""
    first = group[0]
    ends = [(name, end(setting[name] for setting in group)) for name in space.traced for end in (min, max)]
    return [first, *({**first, name: value} for name, value in ends if value != first[name])]


def describe(setting: Mapping[str, Any]) -> str:
    """A setting in a line of text.

    >>> describe({"l2": 1e-4, "activation": "relu"})
    'l2=0.0001 activation=relu'
    """
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={qualified_name(value) or value}"
        for name, value in setting.items()
    )
