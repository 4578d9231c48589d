"""One training run from start to end, and what to do with the network it leaves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jreg._base.names import listed
from jreg._base.types import Array, Key, PyTree
from jreg.data import Dataset
from jreg.data.given import given_rows, given_targets
from jreg.recipe import Recipe, build, takes_steps
from jreg.search.space import values_of
from jreg.splits import Folds, pack
from jreg.training import blame, doors, keys, measure
from jreg.training.check import make_plan, sample_steps, sampled
from jreg.training.columns import labels
from jreg.training.derivatives import forward_only
from jreg.training.inputs import Rows
from jreg.training.observing import Observer, epoch_of, observer
from jreg.training.plan import Plan
from jreg.training.status import Status
from jreg.training.step import Training, TrainState, best_epoch, epoch, final_network, start
from jreg.training.stopping import EarlyStopping


class Fit(NamedTuple):
    """A finished training.

    Attributes:
      params: the parameters; with early stopping those of the best epoch.
      model_state: running averages that belong to them.
      statistics: of the preprocessing.
      history: one ``(epochs,)`` array per column, by its label, NaN where not run; train columns are means over the
        epoch while it trained (with dropout), val columns are evaluated after it.
      epochs: how many were run.
      best_epoch: the zero-based epoch that the parameters are from.
      status: a `jreg.training.Status`.
    """

    params: PyTree
    model_state: PyTree
    statistics: PyTree
    history: dict[str, Array]
    epochs: Array
    best_epoch: Array
    status: Array

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        what = f"{count} parameters, columns {listed(list(self.history))}"
        shape = np.shape(self.status)
        if isinstance(self.status, Tracer) or shape:
            return f"Fit({f'{shape} trainings' if shape else 'traced'}: {what})"
        ended = f"{Status(int(self.status)).word}, {int(self.epochs)} epochs, best epoch {int(self.best_epoch)}"
        return f"Fit({ended}, {what})"


@functools.partial(jax.jit, static_argnames="plan")
def _fit(plan: Plan, key: Key, hp: dict[str, Array], fold: Folds, epochs: Any, rows: Rows) -> Fit:
    training = Training(keys.streams(key), hp, fold, epochs)
    state = jax.lax.while_loop(
        lambda state: state.status == Status.RUNNING,
        lambda state: epoch(plan, state, training, rows),
        start(plan, training, rows),
    )
    return forward_only(fit_of(plan, state))


@functools.partial(jax.jit, static_argnames="plan")
def _started(plan: Plan, key: Key, hp: dict[str, Array], fold: Folds, epochs: Any, rows: Rows) -> TrainState:
    return start(plan, Training(keys.streams(key), hp, fold, epochs), rows)


@functools.partial(jax.jit, static_argnames="plan", donate_argnames="state")
def _advanced(
    plan: Plan, key: Key, hp: dict[str, Array], fold: Folds, epochs: Any, rows: Rows, state: TrainState
) -> TrainState:
    return epoch(plan, state, Training(keys.streams(key), hp, fold, epochs), rows)


def _watched(observe: Observer, plan: Plan, *given: Any) -> Fit:
    """The same training, an epoch a call."""
    state = _started(plan, *given)
    while int(state.status) == Status.RUNNING:
        state = _advanced(plan, *given, state)
        observe(epoch_of(plan, state, given[3]))
    return fit_of(plan, state)


def fit_of(plan: Plan, state: TrainState) -> Fit:
    """What a training leaves that has ended."""
    params, model_state = final_network(state)
    history = {label: state.history[:, number] for number, label in enumerate(labels(plan.columns))}
    return Fit(params, model_state, state.statistics, history, state.epoch, best_epoch(state), state.status)


def fit(
    key: Key,
    recipe: Callable[[Any], Recipe],
    data: Dataset,
    hp: Mapping[str, Any] | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    train: Any = None,
    validation: Any = None,
    static: Iterable[str] = (),
    progress: Observer | Sequence[Observer] = (),
) -> Fit:
    """Trains one network: the same pure function that a study maps over its trainings.

    It can itself be jitted and vmapped over `key` and over the floating values of `hp`, and differentiated with respect
    to these by `jax.jvp` and `jax.jacfwd`. What it begins with other than fresh weights is said by the recipe,
    ``Recipe(initial=...)``.

    Args:
      key: a JAX random key; `member_key(seed, fold)` gives that of a study's training.
      recipe: a function of the hyperparameters that returns a `Recipe`.
      data: the data set; its test set is not touched.
      hp: the hyperparameters; floating ones are traced, others static.
      epochs: the most passes over the training rows.
      batch_size: examples per step, unless the recipe says otherwise; the last step of an epoch takes the rest.
      stopping: early stopping on the validation rows.
      train: numbers of the rows to train on, or a mask; default: all but `validation`.
      validation: numbers of the rows to validate on, or a mask; default: no validation.
      static: names of floating hyperparameters that Python needs to know, and so are not traced.
      progress: a function, or several, called with a `jreg.training.Epoch` after each epoch. Each epoch is then a
        program's call of its own, so that the last bits may differ, and `fit` can't be transformed.

    Returns:
      A `Fit`.

    Raises:
      KeyError: the recipe reads a hyperparameter that is not in `hp`.
      ValueError: a number is out of range, or `stopping` monitors what is not measured.

    >>> import jax, optax
    >>> from jreg import Recipe, load_dataset, losses, nn
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.adam(hp["learning_rate"]))
    >>> fitted = fit(jax.random.key(0), recipe, load_dataset("wine"), {"learning_rate": 0.1}, epochs=2)
    >>> int(fitted.epochs), sorted(fitted.history)
    (2, ['penalty', 'train_accuracy', 'train_loss'])

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), algorithms 8.1 and 7.1.
    """
    doors.check_key(key)
    doors.check_data(data)
    setting, traced, fixed = divided(hp, static)
    observe = observer(progress, (key, traced)) if progress else None
    rows, chosen = doors.rows_given(train, validation, len(data), "fit's ")
    folds = pack([(rows, chosen)])
    samples = sampled(recipe, [setting], sample_steps(data, folds, epochs, batch_size))
    plan = make_plan(recipe, samples, fixed, data, folds, epochs, batch_size, stopping)
    with named_tracers(plan, traced, data, folds):
        given = (key, traced, first_fold(folds), np.int32(epochs), rows_of(data))
        return _watched(observe, plan, *given) if observe else _fit(plan, *given)


def rows_of(data: Dataset) -> Rows:
    """The rows of a data set that are not for the test."""
    return Rows(data.x, data.y, data.weights)


def divided(
    hp: Mapping[str, Any] | None, static: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Array], tuple[tuple[str, Any], ...]]:
    """The hyperparameters as they are, those that are traced, and those that are not."""
    if not isinstance(hp, Mapping | None):
        raise TypeError(f"hp is {hp!r}, but must be a mapping of names to values, such as {{'l2': 1e-3}}")
    # An array without axes is a number too.
    setting = {name: value[()] if isinstance(value, np.ndarray) else value for name, value in (hp or {}).items()}
    numbers = [name for name, value in setting.items() if isinstance(value, float | np.floating | jax.Array)]
    traced = {name: jnp.asarray(setting[name], jnp.float32) for name in numbers if name not in set(static)}
    for name in setting.keys() - traced.keys():
        values_of(f"hyperparameter {name!r}", (setting[name],))  # which refuses what is no value
    return setting, traced, tuple((name, value) for name, value in setting.items() if name not in traced)


def first_fold(folds: Folds) -> Folds:
    """The first of several folds, without the leading axis."""
    return jax.tree.map(lambda leaf: leaf[0], folds)


@contextlib.contextmanager
def named_tracers(plan: Plan, hp: Mapping[str, Any], data: Dataset, folds: Folds) -> Generator[None]:
    """Turns JAX's error about a traced value in Python control flow into one that names the hyperparameter."""
    try:
        yield
    except (TypeError, *blame.TRACER_ERRORS) as error:
        if not blame.is_of_tracer(error):
            raise
        names = [name for name in hp if _refuses_tracer(plan, hp, data, first_fold(folds), name)]
        if names:
            raise TypeError(blame.of_hyperparameter(names[0])) from error
        if takes_steps(plan.recipe) and _refuses_tracer(plan, hp, data, first_fold(folds)):
            raise TypeError(
                "the recipe puts its number of steps where Python needs a plain number, but folds of all sizes train "
                "in one program: scale the count that a schedule is called with, as in schedule(count / "
                "steps.total_steps) with schedule = optax.cosine_decay_schedule(1e-3, 1.0)"
            ) from error
        raise TypeError(blame.in_numpy("the recipe")) from error


def _refuses_tracer(plan: Plan, hp: Mapping[str, Any], data: Dataset, fold: Folds, name: str | None = None) -> bool:
    """Whether the recipe fails when the hyperparameter of this name is traced and the others aren't."""

    def once(value: Array, rows: Rows, fold: Folds) -> Any:
        values: dict[str, Any] = {other: float(number) for other, number in hp.items()}
        if name is not None:
            values[name] = value
        training = Training(keys.streams(jax.random.key(0)), values, fold, np.int32(plan.epochs))
        return epoch(plan, start(plan, training, rows), training, rows)

    try:
        jax.eval_shape(once, jax.ShapeDtypeStruct((), np.float32), rows_of(data), fold)
    except (TypeError, *blame.TRACER_ERRORS) as error:
        return blame.is_of_tracer(error)
    return False


def predict(recipe: Callable[[Any], Recipe], fitted: Fit, x: Any, hp: Mapping[str, Any] | None = None) -> Array:
    """A trained network's outputs: logits for classification, numbers in the targets' units for regression.

    Args:
      recipe, hp: those it was trained with.
      fitted: what `fit` returned.
      x: ``(n, ...)`` examples, before preprocessing.

    Returns:
      ``(n, outputs)``.

    >>> import jax, optax
    >>> from jreg import Recipe, load_dataset, losses, nn
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(0.1))
    >>> wine = load_dataset("wine")
    >>> predict(recipe, fit(jax.random.key(0), recipe, wine, epochs=1), wine.x_test).shape
    (36, 3)
    """
    made = build(recipe, hp or {})
    x = given_rows(x, "x")
    outputs = measure.outputs_for(made, fitted.params, fitted.model_state, fitted.statistics, x)
    if made.targets is not None and made.targets.invert is not None:
        return made.targets.invert(fitted.statistics[1], outputs)
    return outputs


def evaluate(
    recipe: Callable[[Any], Recipe], fitted: Fit, x: Any, y: Any, hp: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """A trained network's loss and metrics on examples.

    Args:
      recipe, hp: those it was trained with.
      fitted: what `fit` returned.
      x: ``(n, ...)`` examples, before preprocessing.
      y: ``(n,)`` or ``(n, k)`` targets.

    Returns:
      ``{"loss": ..., "accuracy": ...}`` or with the recipe's metrics.

    >>> import jax, optax
    >>> from jreg import Recipe, load_dataset, losses, nn
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(0.1))
    >>> wine = load_dataset("wine")
    >>> sorted(evaluate(recipe, fit(jax.random.key(0), recipe, wine, epochs=1), wine.x_test, wine.y_test))
    ['accuracy', 'loss']
    """
    made = build(recipe, hp or {})
    x, y = given_rows(x, "x"), given_rows(y, "y")
    y = given_targets(y, _task_of(y))
    network = (fitted.params, fitted.model_state, fitted.statistics)
    weights = jnp.ones(jax.tree.leaves(y)[0].shape[0], jnp.float32)
    found = measure.scores_for(made, _task_of(y), network, x, y, weights)
    return {name: float(value) for name, value in found.items()}


def _task_of(y: PyTree) -> str:
    """The kind of targets, as far as it matters for the default metric."""
    if any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(y)):
        return "regression"
    return "classification"
