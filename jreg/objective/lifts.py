"""Leaf functions lifted to terms of the objective."""

from __future__ import annotations

import functools
import inspect
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jreg._base.reading import within
from jreg._base.tree import kernels, matching, readings, selected
from jreg._base.types import Array, Key, PyTree, Where
from jreg.objective.terms import Forward, Penalty, Term


def on_params(
    penalty: Callable[..., Array],
    where: Where = kernels,
    *,
    reference: PyTree = None,
    name: str | None = None,
    axis: Any = None,
) -> Penalty:
    r"""Sums a penalty of one weight array over a network's weights.

    .. math:: \Omega(\theta) = \sum_{w \in \text{where}(\theta)} \text{penalty}(w)

    Args:
      penalty: ``w -> scalar``, such as `jreg.penalties.l2`; with `reference` ``(w, its reference) -> scalar``.
      where: which parameters: a path pattern (``"*/kernel"``), a compiled regular expression that some part of the
        path matches, a function of (path, leaf), or a mask as for `optax.masked`: a tree of flags, or a function
        of the parameters that makes one. The default takes the weights of affine maps and leaves biases,
        normalization scales and embeddings alone.
      reference: a tree like the parameters for penalties such as `jreg.penalties.l2_sp`; default: no reference.
      name: what the history calls the term; default: the penalty's own name.
      axis: which axes of the weights are what, where names, shapes and modules don't tell (`jreg.where` shows what
        they tell): the axes of a unit's incoming weights, a `jreg.Axes`, or a dict of these by path pattern.

    Returns:
      A `Penalty` of strength 1.

    Raises:
      ValueError: `where` matches no parameter, a tree has another structure, or the penalty depends on which axes are
        what and this can't be known (when the objective is evaluated).

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import l2
    >>> objective = 0.1 * on_params(l2)
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    >>> round(float(objective(Forward(params, None, None))), 6)
    0.2

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.1.
    """

    def function(forward: Forward) -> Array:
        trees = [forward.params]
        if reference is not None:
            trees.append(matching(reference, forward.params, "reference"))
        flags = selected(forward.params, where)
        known = readings(forward.params, flags, axis)
        leaves = zip(known, *map(jax.tree.leaves, trees), strict=True)
        chosen = [parts for parts, flag in zip(leaves, flags, strict=True) if flag]
        values = [within(reading, penalty, *parts) for reading, *parts in chosen]
        return functools.reduce(jnp.add, [value.astype(jnp.float32) for value in values])

    return _term(penalty, name, function)


def on_outputs(penalty: Callable[..., Array], *, name: str | None = None) -> Penalty:
    r"""Averages a penalty of one example's outputs over the batch.

    .. math:: \Omega = \frac{\sum_i m_i\, \text{penalty}(\hat y_i)}{\sum_i m_i}

    Args:
      penalty: ``outputs of one example -> scalar``. One with a parameter called `weights` is instead called once
        with the outputs of the batch and its rows' weights, and with `inputs` and `targets` of the batch if it has
        parameters of these names.
      name: what the history calls the term; default: the penalty's own name.

    Returns:
      A `Penalty` of strength 1; rows that are padding don't count.

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import l2
    >>> float(on_outputs(l2)(Forward({}, jnp.ones((3, 2)), jnp.array([1.0, 1.0, 0.0]))))
    1.0

    Source: Pereyra et al., Regularizing neural networks by penalizing confident output distributions (2017).
    """
    return _term(penalty, name, lambda forward: _over_batch(penalty, forward.outputs, forward))


def on_activations(penalty: Callable[..., Array], where: Where, *, name: str | None = None) -> Penalty:
    r"""Sums a penalty of hidden activations over those that `where` chooses.

    .. math:: \Omega = \sum_{h \in \text{where}} \frac{\sum_i m_i\, \text{penalty}(h_i)}{\sum_i m_i}

    Args:
      penalty: ``activations of one example -> scalar``, such as `jreg.penalties.l1`, averaged over the batch; or
        one of the whole batch with a parameter called `weights`, such as `jreg.penalties.kl_sparsity`, see
        `on_outputs`.
      where: which activations, by path as in `on_params`. Those of a Linen network are the results of all its
        modules (``"Dense_0"``) and what it sows into ``"intermediates"``; the networks of `jreg.nn` sow
        ``"hidden_0"``, ``"hidden_1"``, ... A plain network returns them, see `jreg.models.as_model`.
      name: what the history calls the term; default: the penalty's own name.

    Returns:
      A `Penalty` of strength 1; rows that are padding don't count.

    Raises:
      ValueError: the network has no activations, or `where` matches none (when the objective is evaluated).

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import l1
    >>> hidden = {"hidden_0": jnp.array([[1.0, -2.0], [3.0, 0.0]])}
    >>> float(on_activations(l1, "hidden_*")(Forward({}, None, jnp.ones(2), activations=hidden)))
    3.0

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.10; Keras' activity regularizers.
    """

    def function(forward: Forward) -> Array:
        found = forward.activations or {}
        flags = selected(found, where, "activation")
        chosen = [h for h, flag in zip(jax.tree.leaves(found), flags, strict=True) if flag]
        return functools.reduce(jnp.add, [_over_batch(penalty, h, forward) for h in chosen])

    return _term(penalty, name, function, "activations")


def on_inputs(penalty: Callable[..., Array], *, of: str = "outputs", name: str | None = None) -> Penalty:
    r"""Averages a penalty of the network as a function of one example over the batch.

    .. math:: \Omega = \frac{\sum_i m_i\, \text{penalty}(f, x_i)}{\sum_i m_i}

    Args:
      penalty: ``(f, x) -> scalar`` such as `jreg.penalties.jacobian`, or ``(key, f, x) -> scalar``, with f the
        network as at evaluation (no noise, running averages), a function of one example.
      of: what f returns: the ``"outputs"`` of the network, or its ``"loss"`` on the example.
      name: what the history calls the term; default: the penalty's own name.

    Returns:
      A `Penalty` of strength 1.

    Raises:
      ValueError: `of` is neither.

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import input_gradient
    >>> forward = Forward(
    ...     {"w": jnp.array([[3.0], [4.0]])}, None, jnp.ones(1), jnp.ones((1, 2)), jnp.zeros((1, 1)),
    ...     network=lambda params, x: x @ params["w"], losses=lambda outputs, targets: (outputs - targets)[:, 0],
    ... )
    >>> float(on_inputs(input_gradient, of="loss")(forward))
    12.5

    Source: Drucker and LeCun, Improving generalization performance using double backpropagation (1992); Hoffman,
    Roberts and Yaida, Robust learning with Jacobian regularization (2019).
    """
    if of not in ("outputs", "loss"):
        raise ValueError(f"on_inputs is of {of!r}, but must be of 'outputs' or 'loss'")
    random = next(iter(inspect.signature(penalty).parameters), "") == "key"

    def function(forward: Forward) -> Array:
        network, losses = forward.network, forward.losses
        assert network is not None

        def one(x: Array, y: Array, number: Array) -> Array:
            def f(x: Array) -> Array:
                outputs = network(forward.params, x[None])
                if of == "outputs":
                    return outputs[0]
                assert losses is not None
                return losses(outputs, y[None])[0]

            if not random:
                return penalty(f, x)
            return penalty(jax.random.fold_in(_key(forward, penalty), number), f, x)

        numbers = jnp.arange(len(forward.inputs))
        targets = forward.targets if of == "loss" else numbers
        return _mean(jax.vmap(one)(forward.inputs, targets, numbers), forward.weights)

    return _term(penalty, name, function, *(("key",) if random else ()))


def on_passes(penalty: Callable[[Array, Array], Array], *, name: str | None = None) -> Penalty:
    r"""Averages a penalty of two passes with different noise over the batch.

    .. math:: \Omega = \frac{\sum_i m_i\, \text{penalty}(\hat y_i, \hat y'_i)}{\sum_i m_i}

    Args:
      penalty: ``(outputs, outputs again) -> scalar`` for one example, such as `jreg.penalties.r_drop`.
      name: what the history calls the term; default: the penalty's own name.

    Returns:
      A `Penalty` of strength 1. The second pass costs as much as the first; the running averages are the first's.

    >>> import jax, jax.numpy as jnp
    >>> forward = Forward({}, jnp.ones((2, 3)), jnp.ones(2), key=jax.random.key(0), again=lambda key: jnp.zeros((2, 3)))
    >>> float(on_passes(lambda first, second: jnp.sum(first - second))(forward))
    3.0

    Source: Liang et al., R-Drop: regularized dropout for neural networks, NeurIPS 2021.
    """

    def function(forward: Forward) -> Array:
        assert forward.again is not None
        again = forward.again(_key(forward, penalty))
        return _mean(jax.vmap(penalty)(forward.outputs, again), forward.weights)

    return _term(penalty, name, function, "key")


def on_network(penalty: Callable[..., Array], *, name: str | None = None) -> Penalty:
    """Lifts a penalty of the network as a whole.

    Args:
      penalty: ``(f, params, x) -> scalar`` such as `jreg.penalties.path_norm`, with f the network as at evaluation,
        ``(params, x) -> outputs``, and x the batch.
      name: what the history calls the term; default: the penalty's own name.

    Returns:
      A `Penalty` of strength 1.

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import path_norm
    >>> params = {"w": jnp.array([[3.0], [4.0]])}
    >>> forward = Forward(params, None, None, jnp.ones((5, 2)), network=lambda params, x: x @ params["w"])
    >>> float(on_network(path_norm)(forward))
    25.0

    Source: Neyshabur, Salakhutdinov and Srebro, Path-SGD, NeurIPS 2015.
    """
    return _term(penalty, name, lambda forward: penalty(forward.network, forward.params, forward.inputs))


def on_loss(wrapper: Callable[[Array], Array], *, name: str | None = None) -> Penalty:
    r"""Lifts a function of the mean loss of a batch, so that it replaces the loss.

    .. math:: J + 1 \cdot (\text{wrapper}(J) - J) = \text{wrapper}(J)

    Args:
      wrapper: ``loss -> loss``, such as ``functools.partial(jreg.penalties.flooding, b=0.1)``.
      name: what the history calls the term; default: the wrapper's own name.

    Returns:
      A `Penalty` of strength 1, whose value is what the wrapper adds; at strength 0 the loss is as it was.

    >>> import functools, jax.numpy as jnp
    >>> from jreg.penalties import flooding
    >>> round(float(on_loss(functools.partial(flooding, b=0.5))(Forward({}, None, None, loss=jnp.array(0.2)))), 6)
    0.6

    Source: Ishida et al., Do we need zero training loss after achieving zero training error? ICML 2020.
    """
    return _term(wrapper, name, lambda forward: wrapper(forward.loss) - forward.loss)


def _term(leaf: Callable[..., Any], name: str | None, function: Callable[[Forward], Array], *needs: str) -> Penalty:
    return Penalty((Term(1.0, name or _name(leaf), function, frozenset(needs)),))


def _mean(values: Array, weights: Array) -> Array:
    values, weights = values.astype(jnp.float32), weights.astype(jnp.float32)
    total = jnp.sum(weights)
    return jnp.sum(weights * jnp.where(weights > 0, values, 0)) / jnp.where(total > 0, total, 1)


def _over_batch(penalty: Callable[..., Array], h: Array, forward: Forward) -> Array:
    wanted = inspect.signature(penalty).parameters
    if "weights" not in wanted:
        return _mean(jax.vmap(penalty)(h), forward.weights)
    more = {name: getattr(forward, name) for name in ("inputs", "targets") if name in wanted}
    return penalty(h, weights=forward.weights, **more).astype(jnp.float32)


def _key(forward: Forward, penalty: Callable[..., Any]) -> Key:
    assert forward.key is not None
    # Terms of different names have different noise, whatever other terms there are.
    return jax.random.fold_in(forward.key, zlib.crc32(_name(penalty).encode()))


def _name(function: Callable[..., Any]) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__name__", type(inner).__name__)
