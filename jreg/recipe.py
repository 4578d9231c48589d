"""A recipe: what a training is made of, as a function of its hyperparameters."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from jreg import metrics
from jreg._base import checks
from jreg._base.types import Array, Key, PyTree
from jreg.data import Preprocessor
from jreg.objective import Penalty
from jreg.search.space import Setting, Space

Metric = Callable[[Array, Array, Array], Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    r"""What one training is made of; a function ``recipe(hp)`` returns it inside the compiled program.

    The training minimizes, over mini-batches B,

    .. math:: \frac1{|B|} \sum_{i \in B} \text{loss}(\text{model}(x_i), y_i) + \text{penalty}(\theta)

    An example passes preprocessing, then augmentation, then mixing on its way to the model; evaluation
    preprocesses alone.

    Args:
      model: a Flax Linen module, or anything with pure init and apply (`jreg.models.as_model`).
      loss: ``(outputs, targets) -> one loss for each example``, such as those in `jreg.losses`; what has more axes
        is averaged over them.
      optimizer: an optax transform; `jreg.project` goes last in its chain. It is given the batch's loss as `value`
        and, as `grad_fn`, ``(params, anything) -> gradients`` of the batch, which `optax.contrib.sam` asks for.
      penalty: what `jreg.on_params` and the other lifts make, times its strengths; None: no penalty.
      metrics: scores by name, ``(outputs, targets, weights) -> number``, the first one ranks the settings;
        None: accuracy for classification, r2 for regression.
      preprocess: of the examples, fitted on the training rows of the fold; None: as they are, in float32.
      targets: preprocessing of the targets of a regression; loss and metrics are then in its units, and
        `jreg.predict` takes it back.
      augment: ``(key, x) -> x`` of one example in training; None: none.
      mixing: ``(key, x, y, weights) -> (x, y)`` of a batch in training, such as `jreg.mixing.mixup`, with targets
        ``(batch, K)``: shares of the classes, which the loss then has to take, or the single number of a regression
        or of a network with one output; `weights` are 0 for padding. None: none.
      reconstruct: whether the target of an example is the example itself, preprocessed and flattened, as an
        autoencoder's is; augmentation is then noise that the network has to take away.
      batch_size: examples a step; None: what the study is told.

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
    metrics: Mapping[str, Metric] | None = None
    preprocess: Preprocessor | None = None
    targets: Preprocessor | None = None
    augment: Callable[[Key, Array], Array] | None = None
    mixing: Callable[[Key, Array, Array, Array], tuple[Array, Array]] | None = None
    reconstruct: bool = False
    batch_size: int | None = None

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
        if self.reconstruct and (self.mixing or self.targets):
            raise ValueError("the recipe reconstructs the examples, so it can have neither mixing nor targets")
        if self.batch_size is not None:
            checks.count(self.batch_size, "the recipe's batch_size")

    def update(
        self, gradients: PyTree, state: PyTree, params: PyTree, value: Array, grad_fn: Callable[..., PyTree]
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer, with the extra arguments that some transforms of optax ask for."""
        update = optax.with_extra_args_support(self.optimizer).update
        return update(gradients, state, params, value=value, grad_fn=grad_fn)

    def losses(self, outputs: Array, targets: Array) -> Array:
        """One loss for each example."""
        if self.reconstruct:
            outputs = outputs.reshape(outputs.shape[0], -1)
        values = self.loss(outputs, targets)
        return values if values.ndim == 1 else jnp.mean(values, axis=tuple(range(1, values.ndim)))

    def scores(self, task: str) -> Mapping[str, Metric]:
        """The metrics by name, with the task's default filled in."""
        classifies = task != "regression" and not self.reconstruct
        return self.metrics or ({"accuracy": metrics.accuracy} if classifies else {"r2": metrics.r2})


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

    def __contains__(self, name: object) -> bool:
        # Mapping would look the name up, which here is reading it.
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def build(recipe: Callable[[Any], Recipe], values: Mapping[str, Any]) -> Recipe:
    """Calls the recipe.

    Raises:
      KeyError: it reads a hyperparameter that is not in `values`.
      TypeError: `recipe` is no function, or doesn't return a `Recipe`.
    """
    hp = values if isinstance(values, Hyperparameters) else Hyperparameters(values)
    if not callable(recipe):
        raise TypeError(f"the recipe is a {type(recipe).__name__}, but must be a function of the hyperparameters")
    try:
        made = recipe(hp)
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
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in setting.items()
    )
