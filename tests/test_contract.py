"""What every leaf function keeps: one row a function, and a test that no function is without a row."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreg import losses, metrics, penalties, projections, prox, stochastic, transforms

MODULES = (penalties, projections, prox, stochastic, losses, metrics, transforms)
F32, BF16, F16 = jnp.dtype("float32"), jnp.dtype("bfloat16"), jnp.dtype("float16")
ALL = (F32, BF16, F16)
# A handful of roundings of each dtype, relative to numbers of about 1.
TOLERANCE = {F32: 2e-6, BF16: 4 * 2.0**-8, F16: 4 * 2.0**-11}

LABELS = jnp.array([2, 0, 1, 1, 2])
TARGETS = jnp.array([0.5, -1.0, 2.0, 0.0, 1.5])
WEIGHTS = jnp.array([1.0, 1.0, 1.0, 0.0, 1.0])
NETWORK = {"dense": {"kernel": (5, 3), "bias": (3,)}, "norm": {"scale": (3,)}}


class Case(NamedTuple):
    """One row: `of` is the function, `call` calls it with the array(s) x and the strength s.

    `strengths` are values of s to compare at (None: it has none), `identity` is the one at which the result is
    exactly `unchanged(x)`, `out` is the result's shape ("same": x's), `out_dtype` None means x's.
    """

    of: Callable
    call: Callable
    shape: Any
    out: Any
    strengths: tuple[float, ...] | None = None
    identity: float | None = None
    unchanged: Callable = lambda x: x
    dtypes: tuple = ALL
    out_dtype: Any = None


def transformed(transform, x):
    params = jax.tree.map(lambda u: u * 2 + 1, x)
    return transform.update(x, transform.init(params), params)[0]


CASES = [
    Case(penalties.l1, lambda x, s: penalties.l1(x), (5, 3), ()),
    Case(penalties.l2, lambda x, s: penalties.l2(x), (5, 3), ()),
    Case(
        penalties.elastic_net,
        lambda x, s: penalties.elastic_net(x, s),
        (5, 3),
        (),
        strengths=(0.0, 0.25, 2.0),
        identity=0.0,
        unchanged=penalties.l1,
    ),
    Case(
        projections.max_norm,
        lambda x, s: projections.max_norm(x, s),
        (5, 3),
        "same",
        strengths=(0.5, 1.5, np.inf),
        identity=np.inf,
    ),
    Case(
        projections.max_norm,
        lambda x, s: projections.max_norm(x, s, axis=1),
        (2, 3, 4, 5),
        "same",
        strengths=(0.5, 1.5, np.inf),
        identity=np.inf,
        dtypes=(F32,),
    ),
    Case(projections.unit_norm, lambda x, s: projections.unit_norm(x), (5, 3), "same"),
    Case(projections.unit_norm, lambda x, s: projections.unit_norm(x), (2, 2, 3, 4), "same", dtypes=(F32,)),
    Case(projections.non_negative, lambda x, s: projections.non_negative(x), (5, 3), "same"),
    Case(
        prox.l1,
        lambda x, s: prox.l1(x, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(
        prox.l2,
        lambda x, s: prox.l2(x, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(
        prox.elastic_net,
        lambda x, s: prox.elastic_net(x, s, 0.5),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(
        prox.elastic_net,
        lambda x, s: prox.elastic_net(x, 0.3, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
        unchanged=lambda x: prox.l1(x, 0.3),
    ),
    Case(
        prox.group_lasso,
        lambda x, s: prox.group_lasso(x, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(
        prox.group_lasso,
        lambda x, s: prox.group_lasso(x, s, axis=1),
        (2, 3, 4, 5),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
        dtypes=(F32,),
    ),
    Case(
        prox.sparse_group_lasso,
        lambda x, s: prox.sparse_group_lasso(x, s, 0.3),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(prox.non_negative, lambda x, s: prox.non_negative(x, 0.5), (5, 3), "same"),
    Case(
        prox.nuclear_norm,
        lambda x, s: prox.nuclear_norm(x, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
    ),
    Case(
        prox.nuclear_norm,
        lambda x, s: prox.nuclear_norm(x, s),
        (2, 2, 3, 5),
        "same",
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
        dtypes=(F32,),
    ),
    Case(
        stochastic.dropout,
        lambda x, s: stochastic.dropout(jax.random.key(3), x, s),
        (5, 3),
        "same",
        strengths=(0.0, 0.3, 0.9),
        identity=0.0,
    ),
    Case(
        losses.softmax_cross_entropy,
        lambda x, s: losses.softmax_cross_entropy(x, LABELS, s),
        (5, 3),
        (5,),
        strengths=(0.0, 0.1, 0.5),
        identity=0.0,
        unchanged=lambda x: losses.softmax_cross_entropy(x, LABELS),
    ),
    Case(losses.sigmoid_cross_entropy, lambda x, s: losses.sigmoid_cross_entropy(x, LABELS % 2), (5, 1), (5,)),
    Case(losses.squared_error, lambda x, s: losses.squared_error(x, TARGETS), (5, 1), (5,)),
    Case(metrics.accuracy, lambda x, s: metrics.accuracy(x, LABELS, WEIGHTS), (5, 3), (), out_dtype=F32),
    # Under strict promotion r2 takes float32 outputs alone.
    Case(metrics.r2, lambda x, s: metrics.r2(x, TARGETS, WEIGHTS), (5, 1), (), dtypes=(F32,), out_dtype=F32),
    Case(
        transforms.project,
        lambda x, s: transformed(transforms.project(functools.partial(projections.max_norm, c=s)), x),
        NETWORK,
        "same",
        strengths=(0.5, 1.5, np.inf),
    ),
    Case(
        transforms.proximal,
        lambda x, s: transformed(transforms.proximal(prox.l1, s, 0.5), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.5, 2.0),
    ),
    Case(
        transforms.decoupled_weight_decay,
        lambda x, s: transformed(transforms.decoupled_weight_decay(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
]


def rows(*dtypes):
    return pytest.mark.parametrize(
        ("case", "dtype"),
        [
            pytest.param(case, dtype, id=f"{case.of.__name__}{n}-{dtype}")
            for n, case in enumerate(CASES)
            for dtype in dtypes
            if dtype in case.dtypes
        ],
    )


each_row = rows(*ALL)


def example(case, dtype, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=(*batch, *shape)), dtype),
        case.shape,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def middle(case):
    return None if case.strengths is None else jnp.float32(case.strengths[1])


def assert_close(actual, expected, dtype):
    tolerance = TOLERANCE[dtype]
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(e, np.float64), tolerance, 4 * tolerance)


@rows(F32, BF16)
def test_jit_with_a_traced_strength_equals_eager_with_a_known_one(case, dtype):
    x = example(case, dtype)
    known = None if case.strengths is None else case.strengths[1]
    assert_close(jax.jit(case.call)(x, middle(case)), case.call(x, known), dtype)


@rows(F32, BF16)
def test_vmap_over_arrays_and_strengths_equals_a_loop(case, dtype):
    xs = jax.tree.map(np.asarray, example(case, dtype, batch=(3,)))
    strengths = None if case.strengths is None else np.asarray(case.strengths, np.float32)
    batched = jax.jit(jax.vmap(case.call))(xs, strengths)
    for n in range(3):
        x, s = jax.tree.map(lambda leaf, n=n: leaf[n], (xs, strengths))
        assert_close(jax.tree.map(lambda y, n=n: np.asarray(y)[n], batched), jax.jit(case.call)(x, s), dtype)


@each_row
def test_dtype_shape_and_tree_structure_are_kept(case, dtype):
    x = example(case, dtype)
    y = jax.jit(case.call)(x, middle(case))
    expected = x if case.out == "same" else jnp.zeros(case.out)
    assert jax.tree.structure(y) == jax.tree.structure(expected)
    assert [leaf.shape for leaf in jax.tree.leaves(y)] == [leaf.shape for leaf in jax.tree.leaves(expected)]
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {case.out_dtype or dtype}


@each_row
def test_zero_strength_changes_no_bit(case, dtype):
    x = example(case, dtype)
    if case.identity is None:
        # The (w + u) - w of these two rounds.
        assert case.strengths is None or case.of in (transforms.project, transforms.proximal)
        return
    expected = case.unchanged(x)
    jax.tree.map(np.testing.assert_array_equal, case.call(x, case.identity), expected)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(case.call)(x, jnp.float32(case.identity)), expected)


@rows(F32, BF16)
def test_gradients_are_finite_at_zero(case, dtype):
    zero = jax.tree.map(jnp.zeros_like, example(case, dtype))

    def total(x, s):
        return sum(jnp.sum(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(case.call(x, s)))

    gradients = jax.jit(jax.grad(total))(zero, middle(case))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {dtype}


@pytest.mark.parametrize("case", [case for case in CASES if case.strengths], ids=lambda case: case.of.__name__)
def test_gradient_with_respect_to_the_strength_exists(case):
    def total(s):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(case.call(example(case, F32), s)))

    assert bool(jnp.isfinite(jax.jit(jax.grad(total))(middle(case))))


def test_every_public_function_has_a_row():
    public = {
        f
        for module in MODULES
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == {case.of for case in CASES}
