"""Averages of parameters along training, kept in the optimizer's state, and the one way to get at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range, wide_dtype
from jreg._base.types import Array, PyTree, Scalar
from jreg.transforms._params import at, given, is_masked


class AverageState(NamedTuple):
    """What `ema_params` and `swa_params` keep; `evaluation_params` finds it.

    Attributes:
      count: the updates made so far, int32.
      mass: the sum of the weights of the parameters averaged so far, the newest having weight 1, float32.
      average: a tree like the parameters, in float32 where they have half precision; of whole numbers the newest.
    """

    count: Array
    mass: Array
    average: PyTree

    def evaluation_params(self, params: PyTree) -> PyTree:
        """The average."""
        del params
        return self.average


def _kept(leaf: Array) -> jnp.dtype:
    # A step of a thousandth would round to nothing in half precision. Whole numbers are no weights, but counts.
    dtype = jnp.result_type(leaf)
    return wide_dtype(leaf) if jnp.issubdtype(dtype, jnp.inexact) else dtype


def _wide(leaf: Array) -> Array:
    return jnp.asarray(leaf, _kept(leaf))


def _own(leaf: Array) -> Array:
    # A program that is given parameters and state may reuse the memory of both.
    return jnp.array(leaf, _kept(leaf), copy=True)


def _averaging(
    name: str, weigh: Callable[[AverageState], tuple[Array, Array]]
) -> optax.GradientTransformationExtraArgs:
    """Keeps an average of parameters after the update; `weigh` gives the newest ones' share and the new mass."""

    def init(params: optax.Params) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32), jax.tree.map(_own, params))

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any):
        del extra
        after = jax.tree.map(_wide, optax.apply_updates(given(params, name), updates))
        share, mass = weigh(state)

        def mixed(average: Array, newest: Array) -> Array:
            if not jnp.issubdtype(newest.dtype, jnp.inexact):
                return newest
            # Where the share is 1 the sum would round.
            moved = average + share.astype(average.dtype) * (newest - average)
            return jnp.where(share == 1, newest, moved)

        average = jax.tree.map(mixed, state.average, after)
        return updates, AverageState(jnp.asarray(optax.safe_increment(state.count)), mass, average)

    return optax.GradientTransformationExtraArgs(init, update)


def ema_params(decay: Scalar | optax.Schedule, debias: bool = True) -> optax.GradientTransformationExtraArgs:
    r"""Keeps an exponential moving average of the parameters for evaluation; put it last in the chain.

    .. math:: \bar w_t = \frac{\sum_{i=1}^t d^{t-i} w_i}{\sum_{i=1}^t d^{t-i}}
       \qquad\text{or, with debias=False,}\qquad \bar w_1 = w_1, \quad \bar w_t = d \bar w_{t-1} + (1 - d) w_t

    where :math:`w_t` are the parameters after update t. Training goes on with the parameters; `evaluation_params`
    gives the average. Don't take it for `optax.ema`, which averages the updates.

    Args:
      decay: d, in [0, 1], or an optax schedule that gives it for the counts 0, 1, 2, ...; may be traced. About the
        last ``1 / (1 - d)`` updates count. 0 keeps the newest parameters; 1 (with debias) is the plain mean of all,
        known as Polyak-Ruppert averaging. The warm-up ``lambda n: jnp.minimum(0.999, (1 + n) / (10 + n))`` is
        TensorFlow's.
      debias: whether early averages are corrected, so that all parameters count by their age alone. If not, the
        first ones count for all that came before them, as in Keras (``use_ema``) and PyTorch (``AveragedModel``).

    Returns:
      A transform that needs ``params``, leaves updates as they are, and has an `AverageState`.

    Raises:
      ValueError: a known `decay` lies outside [0, 1], or ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.sgd(1.0), ema_params(0.5))
    >>> params = jnp.array([4.0])
    >>> state = chain.init(params)
    >>> for _ in range(2):
    ...     updates, state = chain.update(jnp.array([1.5]), state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> print(params, evaluation_params(state, params))
    [1.] [1.5]

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control Optim. 30
    (1992); Ruppert (1988); Kingma and Ba, Adam, ICLR 2015, sections 3 and 7.2, for the correction.
    """
    if not callable(decay):
        checks.share(decay, "ema_params' decay")

    def weigh(state: AverageState) -> tuple[Array, Array]:
        d = in_range(at(decay, state.count), jnp.dtype(jnp.float32), high=1)
        mass = 1 + d * state.mass
        return (1 / mass if debias else jnp.where(state.count == 0, 1, 1 - d)), mass

    return _averaging("ema_params", weigh)


def swa_params(start: Scalar, every: Scalar = 1) -> optax.GradientTransformationExtraArgs:
    r"""Keeps the plain mean of the parameters from some update on, for evaluation; put it last in the chain.

    .. math:: \bar w = \frac1n \sum_{k=0}^{n-1} w_{\text{start} + k\,\text{every}}

    where :math:`w_t` are the parameters after update t. Stochastic weight averaging does this late in training, with
    a constant or cyclic learning rate that is larger than the final one would be. Training goes on with the
    parameters; `evaluation_params` gives the mean. jreg's training computes the running averages of Flax's batch
    normalization for the mean; in a loop of your own they are those of the parameters of training.

    Args:
      start: the update whose parameters are the first of the mean, a whole number of at least 0 (0 counts as 1, the
        first update); may be traced.
      every: the number of updates between two that count, such as those of a cycle or an epoch, a whole number of at
        least 1; may be traced.

    Returns:
      A transform that needs ``params``, leaves updates as they are, and has an `AverageState`. Before `start` its
      average is the newest parameters.

    Raises:
      ValueError: a known `start` or `every` is no such number, or ``update`` is called without params.

    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(optax.sgd(1.0), swa_params(start=2))
    >>> params = jnp.array([4.0])
    >>> state = chain.init(params)
    >>> for _ in range(3):
    ...     updates, state = chain.update(jnp.array([1.0]), state, params)
    ...     params = optax.apply_updates(params, updates)
    ...     print(params, evaluation_params(state, params))
    [3.] [3.]
    [2.] [2.]
    [1.] [1.5]

    Source: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, Averaging weights leads to wider optima and better
    generalization, UAI 2018, algorithm 1.
    """
    for value, name, least in ((start, "start", 0), (every, "every", 1)):
        number = checks.concrete(value)
        if number is not None and not (number >= least and number == number // 1):
            raise ValueError(f"swa_params' {name} is {number:g}, but must be a whole number of at least {least}")

    def weigh(state: AverageState) -> tuple[Array, Array]:
        first, cycle = jnp.asarray(start).astype(jnp.int32), jnp.maximum(jnp.asarray(every).astype(jnp.int32), 1)
        since = state.count + 1 - jnp.maximum(first, 1)
        counts = ((since >= 0) & (since % cycle == 0)).astype(jnp.float32)
        mass = state.mass + counts
        return jnp.where(mass == 0, 1, counts / jnp.maximum(mass, 1)), mass

    return _averaging("swa_params", weigh)


def evaluation_params(opt_state: optax.OptState, params: PyTree) -> PyTree:
    """What evaluation takes instead of `params`: an average that an optax state keeps, or `params` if none is kept.

    That is the average of `ema_params` or `swa_params`, the averaged x of `optax.contrib.schedule_free` (the parameters
    are its y, at which gradients are taken), or what the method ``evaluation_params(params)`` of any other state
    returns, which may leave an `optax.MaskedNode` in the place of parameters that it has nothing for.

    Args:
      opt_state: the state of any optax transform: chain, masked, inject_hyperparams, MultiSteps, ...
      params: the parameters that belong to it. Where the average is masked out (`optax.masked`), they are returned.

    Returns:
      A tree like `params`, of their dtypes.

    Raises:
      ValueError: the state keeps two averages or more of one parameter.

    >>> import jax.numpy as jnp, optax
    >>> params = {"kernel": jnp.ones((1, 1))}
    >>> evaluation_params(optax.adam(1e-3).init(params), params)["kernel"].tolist()
    [[1.0]]

    Source: Izmailov et al. (2018), see `swa_params`; Polyak and Juditsky (1992), see `ema_params`; Defazio et al., The
    road less scheduled (2024), for the three sequences of schedule-free learning.
    """
    found = [_spread(_evaluated(state, params), params) for state in _averages(opt_state)]
    if not found:
        return params

    def chosen(leaf: Array, *averages: Any) -> Array:
        own = [average for average in averages if not is_masked(average)]
        if len(own) > 1:
            raise ValueError(
                f"the optimizer's state keeps {len(own)} averages of parameters: leave only one ema_params, swa_params "
                "or schedule_free"
            )
        return own[0].astype(jnp.result_type(leaf)) if own else leaf

    return jax.tree.map(chosen, params, *found)


def averages_params(opt_state: optax.OptState) -> bool:
    """Whether evaluation takes other parameters than those of training."""
    return bool(_averages(opt_state))


def _averages(opt_state: optax.OptState) -> list[Any]:
    """The states that give parameters for evaluation, wherever they are."""

    def gives(node: Any) -> bool:
        return isinstance(node, optax.contrib.ScheduleFreeState) or hasattr(node, "evaluation_params")

    found = []
    for node in jax.tree.leaves(opt_state, is_leaf=gives):
        if gives(node):
            found += [node, *_averages(tuple(node))]
    return found


def _spread(part: PyTree, params: PyTree) -> PyTree:
    """A tree of which whole branches may be masked, with each of their parameters masked instead."""

    def one(average: Any, branch: PyTree) -> PyTree:
        return jax.tree.map(lambda _: average, branch) if is_masked(average) else average

    return jax.tree.map(one, part, params, is_leaf=is_masked)


def _evaluated(state: Any, params: PyTree) -> PyTree:
    if not isinstance(state, optax.contrib.ScheduleFreeState):
        return state.evaluation_params(params)
    own = jax.tree.map(lambda z, y: z if is_masked(z) else y, state.z, params, is_leaf=is_masked)
    return optax.contrib.schedule_free_eval_params(state, own)
