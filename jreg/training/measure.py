"""What an epoch measures: losses and metrics, accumulated block by block, so that no epoch's outputs are stacked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg import metrics
from jreg._base.types import Array, PyTree
from jreg.models import as_model
from jreg.recipe import Recipe
from jreg.splits import Folds
from jreg.training import blame
from jreg.training.inputs import Rows, counted, examples, take, targets_of
from jreg.training.plan import MOST_ROWS

# What a number is: split, kind and name of its column.
Key = tuple[str, str, str]


class Seen(NamedTuple):
    """What is known about a block of examples once the network has seen it.

    Attributes:
      outputs: of the network.
      targets: what they should be, without mixing.
      losses: one per example.
      parts: named values per example that the loss returns beside it.
    """

    outputs: PyTree
    targets: PyTree
    losses: Array
    parts: Mapping[str, Array]


def seen(recipe: Recipe, outputs: PyTree, targets: PyTree) -> Seen:
    """A block of examples in evaluation, with their losses."""
    losses, parts = recipe.losses_and_parts(outputs, targets)
    return Seen(outputs, targets, losses, parts)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["totals"], meta_fields=["keys"])
@dataclasses.dataclass(frozen=True)
class Sums:
    """Weighted sums that a step adds up together: a kernel each would cost small networks a tenth of their time.

    Attributes:
      totals: ``(keys,)`` float32.
      keys: the (kind, name) of each: losses, metrics that are means, the sum of the weights, penalties.
    """

    totals: Array
    keys: tuple[tuple[str, str], ...]


class State(NamedTuple):
    """What an epoch has measured so far.

    Attributes:
      sums: of all that is a mean.
      others: the states of other metrics by (kind, name).
    """

    sums: Sums
    others: dict[tuple[str, str], Any]


_WEIGHT = ("weight", "")
# What the losses end with: the weighted mean.
_MEAN = metrics.average(lambda values, _: values, maximize=False)


def meters(recipe: Recipe, task: str) -> dict[tuple[str, str], metrics.Metric]:
    """The metrics of outputs by (kind, name)."""
    found = recipe.metrics_for(task)
    return {("metric", name): metric for name, metric in found.items() if isinstance(metric, metrics.Metric)}


def begin(
    recipe: Recipe, task: str, parts: Iterable[str], block: Callable[[], Seen], rows: int, terms: Sequence[str] = ()
) -> State:
    """The state before the first block.

    Args:
      recipe, task: of the training.
      parts: names of what the loss returns beside its values.
      block: makes one as shapes, where a metric needs to know them.
      rows: the most examples there will be.
      terms: names of penalties that are added up, too.
    """
    known = meters(recipe, task)
    means = tuple(key for key, meter in known.items() if meter.values is not None)
    keys = (("loss", "loss"), *(("loss", name) for name in parts), *means, _WEIGHT)
    keys += tuple(("penalty", name) for name in terms)
    others: dict[tuple[str, str], Any] = {}
    if len(means) < len(known):
        like = _reshaped(recipe, block())
        others = {k: m.init(like.outputs, like.targets, rows) for k, m in known.items() if m.values is None}
    return State(Sums(jnp.zeros(len(keys), jnp.float32), keys), others)


def update(
    recipe: Recipe, task: str, state: State, block: Seen, weights: Array, terms: Mapping[str, Array] | None = None
) -> State:
    """The state after a block; `weights` are 0 for its padding, `terms` the penalties of the step."""
    shown, known = _reshaped(recipe, block), meters(recipe, task)
    values = {("loss", "loss"): block.losses, **{("loss", name): part for name, part in block.parts.items()}}
    values |= {k: m.values(shown.outputs, shown.targets) for k, m in known.items() if m.values is not None}
    # Whatever stands in padding, NaN too, must not reach the sums.
    weighted = [jnp.where(weights > 0, weights * value.astype(jnp.float32), 0) for value in values.values()]
    sums = dict(zip((*values, _WEIGHT), _summed((*weighted, weights)), strict=True))
    sums |= {("penalty", name): value.astype(jnp.float32) for name, value in (terms or {}).items()}
    totals = state.sums.totals + jnp.stack([sums[key] for key in state.sums.keys])
    others = {
        key: known[key].update(before, shown.outputs, shown.targets, weights) for key, before in state.others.items()
    }
    return State(Sums(totals, state.sums.keys), others)


@jax.custom_jvp
def _summed(values: tuple[Array, ...]) -> tuple[Array, ...]:
    """The sum of each, in one loop over the rows."""
    zero = jnp.zeros((), jnp.float32)
    return jax.lax.reduce(values, (zero,) * len(values), lambda one, other: tuple(map(jnp.add, one, other)), (0,))


@_summed.defjvp
def _summed_jvp(primals: Any, tangents: Any) -> Any:
    # JAX's own rule fails where one of several has no derivative.
    return _summed(*primals), tuple(map(jnp.sum, *tangents))


def compute(recipe: Recipe, task: str, state: State, split: str, steps: Array | int = 1) -> dict[Key, Array]:
    """The numbers of the epoch, penalties as means over its steps; NaN where no example had weight."""
    known = meters(recipe, task)
    totals = dict(zip(state.sums.keys, state.sums.totals, strict=True))
    weight = totals.pop(_WEIGHT)
    found: dict[Key, Array] = {}
    # Metrics in the order of the recipe, of which the first ranks the settings, whether they are means or not.
    for key in sorted((*totals, *state.others), key=lambda key: list(known).index(key) if key in known else -1):
        if key in state.others:
            value = known[key].compute(state.others[key])
        else:
            finish = None if key[0] == "penalty" else known.get(key, _MEAN).finish
            total = totals[key]
            value = total / jnp.asarray(steps, jnp.float32) if finish is None else finish(total, weight)
        found[split, *key] = value.astype(jnp.float32)
    return found


def _reshaped(recipe: Recipe, block: Seen) -> Seen:
    """The block with the outputs of an autoencoder in the flat shape of its targets."""
    if not recipe.reconstruct:
        return block
    if isinstance(block.outputs, jax.ShapeDtypeStruct):
        return block._replace(outputs=jax.ShapeDtypeStruct(block.targets.shape, block.outputs.dtype))
    return block._replace(outputs=block.outputs.reshape(block.targets.shape))


def forward(recipe: Recipe, params: PyTree, model_state: PyTree, statistics: PyTree, x: PyTree) -> PyTree:
    """The network's outputs in evaluation for rows of the data."""
    inputs = examples(recipe, statistics, x)
    with blame.part("the recipe's model, in evaluation,"):
        return as_model(recipe.model).apply(params, model_state, inputs, train=False, key=None, mask=None)[0]


def outputs_for(recipe: Recipe, params: PyTree, model_state: PyTree, statistics: PyTree, x: PyTree) -> PyTree:
    """The network's outputs for any number of rows, a bounded number of them at a time."""
    length = jax.tree.leaves(x)[0].shape[0]
    whole = length // MOST_ROWS * MOST_ROWS

    def one(x: PyTree) -> PyTree:
        return forward(recipe, params, model_state, statistics, x)

    parts = []
    if whole:
        blocks = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, MOST_ROWS, *leaf.shape[1:]), x)
        found = jax.lax.map(one, blocks)
        parts.append(jax.tree.map(lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), found))
    if whole < length or not whole:
        parts.append(one(jax.tree.map(lambda leaf: leaf[whole:], x)))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def scores_for(
    recipe: Recipe, task: str, network: tuple[PyTree, PyTree, PyTree], x: PyTree, y: PyTree, weights: Array
) -> dict[str, Array]:
    """Losses and metrics of a network on examples, by name; `network` is (params, model_state, statistics)."""
    block = seen(recipe, outputs_for(recipe, *network, x), targets_of(recipe, network[2], x, y))
    state = begin(recipe, task, block.parts, lambda: block, len(weights))
    state = update(recipe, task, state, block, weights)
    return {name: value for (_, _, name), value in compute(recipe, task, state, "test").items()}


def block_shapes(
    recipe: Recipe, params: PyTree, model_state: PyTree, statistics: PyTree, rows: Rows, size: int
) -> Seen:
    """A block of `size` examples in evaluation, as shapes."""

    def one(params: PyTree, model_state: PyTree, statistics: PyTree, x: PyTree, y: PyTree) -> Seen:
        outputs = forward(recipe, params, model_state, statistics, x)
        return seen(recipe, outputs, targets_of(recipe, statistics, x, y))

    x, y = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype), (rows.x, rows.y))
    return jax.eval_shape(one, params, model_state, statistics, x, y)


def evaluate_rows(
    recipe: Recipe,
    task: str,
    block: int,
    network: tuple[PyTree, PyTree, PyTree],
    rows: Rows,
    fold: Folds,
    split: str,
    parts: Sequence[str] | None = None,
    wanted: Array | bool = True,
    axis: str | None = None,
) -> dict[Key, Array]:
    """Losses and metrics of the fold's rows of a split, in as many blocks as its count needs.

    `block` is how many at once; `network` is (params, model_state, statistics); `split` is that of `Folds.part`;
    `parts` are the names of what the loss returns beside its values, seen in a block's shapes where they aren't known;
    `wanted` and `axis` are as in `jreg.training.epoch`.
    """
    (_, count), (size, padded, blocks) = fold.part(split), blocks_of(fold, split, block)

    def body(number: Array, states: State) -> State:
        chosen = jax.lax.dynamic_slice_in_dim(padded, number * size, size)
        weights = counted(rows, chosen, number * size + jnp.arange(size, dtype=jnp.int32) < count)
        x, y = take(rows.x, chosen), take(rows.y, chosen)
        some = seen(recipe, forward(recipe, *network, x), targets_of(recipe, network[2], x, y))
        return update(recipe, task, states, some, weights)

    like = functools.partial(block_shapes, recipe, *network, rows, size)
    states = begin(recipe, task, like().parts if parts is None else parts, like, padded.shape[0])
    states = jax.lax.fori_loop(0, repeats(blocks, wanted, axis), body, states)
    return compute(recipe, task, states, split)


def blocks_of(fold: Folds, split: str, block: int) -> tuple[int, Array, Array]:
    """The size of blocks of a fold's rows of a split, the row numbers padded to whole blocks, how many have rows."""
    rows, count = fold.part(split)
    longest = rows.shape[-1]
    size = min(block, longest)
    padded = jnp.pad(rows, (0, -longest % size))
    return size, padded, -(-count // size)


def repeats(count: Array, wanted: Array | bool, axis: str | None) -> Array:
    """How often a loop runs: in a vmapped batch as often as the longest wanted training needs.

    Otherwise each training would have a length of its own, and XLA would select between old and new for all of them
    after every repetition.
    """
    return count if axis is None else jax.lax.pmax(jnp.where(wanted, count, 0), axis)


def of_params(recipe: Recipe, task: str, params: PyTree) -> dict[Key, Array]:
    """The measures of the parameters; one that returns a dict has a column for each of its names."""
    found: dict[Key, Array] = {}
    for name, metric in recipe.metrics_for(task).items():
        if isinstance(metric, metrics.ParamsMetric):
            values = metric(params)
            named = values if isinstance(values, dict) else {"": values}
            for part, value in named.items():
                key = "", "params", f"{name}/{part}" if part else name
                if key in found:
                    raise ValueError(
                        f"a second column of the history would be called {key[2]!r}: rename the metric or term"
                    )
                found[key] = value.astype(jnp.float32)
    return found
