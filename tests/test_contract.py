"""Every leaf function keeps the contract of its row in tests/contract, and no function is without a row."""

import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract import ALL, BF16, F16, F32, TOLERANCE
from contract.transforms import MADE

from jreg import losses, penalties, transforms

FAMILIES = (
    "activations",
    "augment",
    "losses",
    "metrics",
    "mixing",
    "penalties",
    "projections",
    "prox",
    "stochastic",
    "transforms",
)
CASES = [case for family in FAMILIES for case in importlib.import_module(f"contract.{family}").CASES]
FIRST = {case.of: case for case in reversed(CASES)}


def slow(case, dtype):
    """Images and mixing compile long programs, and float16 is treated as bfloat16 is."""
    return dtype == F16 or (dtype == BF16 and case.of.__module__.startswith(("jreg.augment", "jreg.mixing")))


def slow_eager(case, dtype):
    """Every primitive is a program by itself; images and mixing have the most, and a further row new shapes of them."""
    return FIRST[case.of] is not case or case.of.__module__.startswith(("jreg.augment", "jreg.mixing"))


def rows(*dtypes, slow=slow, where=lambda case: True):
    return pytest.mark.parametrize(
        ("case", "dtype"),
        [
            pytest.param(
                case, dtype, marks=pytest.mark.slow if slow(case, dtype) else (), id=f"{case.of.__name__}{n}-{dtype}"
            )
            for n, case in enumerate(CASES)
            for dtype in dtypes
            if dtype in case.dtypes and where(case)
        ],
    )


each_row = rows(*ALL)


def with_strengths(case):
    return case.strengths is not None


def example(case, dtype, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    # The numbers are NumPy's until a compiled function takes them: to move them is no program of its own.
    return jax.tree.map(
        lambda shape: rng.normal(size=(*batch, *shape)).astype(dtype),
        case.shape,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def zeros(case, dtype):
    return jax.tree.map(np.zeros_like, example(case, dtype))


def batches(case, dtype):
    return example(case, dtype, batch=(3,)), None if case.strengths is None else np.asarray(case.strengths, np.float32)


def middle(case):
    return None if case.strengths is None else case.strengths[1]


def traced(number):
    return None if number is None else np.float32(number)


def slopes(case, x, s):
    """Gradients with respect to arrays and, if there is one, to the strength."""

    def total(x, s):
        return sum(jnp.sum(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(case.call(x, s)))

    return jax.grad(total, (0,) if s is None else (0, 1))(x, s)


def direction(case):
    return example(case, F32, seed=1)


def curved(case):
    """Whether the row is a penalty's that has second derivatives: a power iteration takes its vectors as constants."""
    constant = (penalties.spectral_norm_step, penalties.spectral_norm_init)
    return case.of.__module__.startswith("jreg.penalties") and case.of not in constant


@functools.lru_cache(8)
def compiled(case, dtype):
    """The row as one compiled function, which all its tests call.

    It takes x and a traced strength, and gives the values there and at numbers that Python knows; in float32, the
    values of a batch and the gradients at a point of their own too, and of a penalty how the gradient moves.
    """

    def row(x, s, batch, point):
        values = {"traced": case.call(x, s)}
        if case.strengths is not None:
            values["known"] = case.call(x, middle(case))
        if case.identity is not None:
            values |= {"identity": case.call(x, case.identity), "unchanged": case.unchanged(x)}
        if dtype == F32:
            values |= {"batched": jax.vmap(case.call)(*batch), "slopes": slopes(case, *point)}
        if dtype == F32 and curved(case):
            values["curve"] = jax.jvp(lambda x: slopes(case, x, s)[0], (x,), (direction(case),))[1]
        return values

    return jax.jit(row)


def values(case, dtype, x=None, s=None, point=None):
    """What the row gives, at its example and its middle strength if not at others."""
    x = example(case, dtype) if x is None else x
    s = traced(middle(case) if s is None else s)
    result = compiled(case, dtype)(x, s, batches(case, dtype), (zeros(case, dtype), s) if point is None else point)
    return jax.tree.map(np.asarray, result)


@functools.lru_cache(8)
def usual(case, dtype):
    """What most tests look at; nobody changes it."""
    return values(case, dtype)


def assert_close(actual, expected, dtype):
    tolerance = TOLERANCE[dtype]
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(e, np.float64), tolerance, 4 * tolerance)


def assert_unchanged(actual, expected, case, dtype):
    if case.rounded:
        assert_close(actual, expected, dtype)
    else:
        jax.tree.map(np.testing.assert_array_equal, actual, expected)


@rows(F32, BF16, where=with_strengths)
def test_a_traced_strength_equals_a_known_one(case, dtype):
    assert_close(usual(case, dtype)["traced"], usual(case, dtype)["known"], dtype)


@rows(F32, slow=slow_eager)
def test_compiled_values_equal_eager_ones(case, dtype):
    x = jax.tree.map(jnp.asarray, example(case, dtype))
    assert_close(usual(case, dtype)["traced"], case.call(x, middle(case)), dtype)
    if case.identity is not None:
        assert_unchanged(case.call(x, case.identity), usual(case, dtype)["unchanged"], case, dtype)


def of_weights(case):
    """Whether the row looks at the numbers in x; the start of a power iteration looks at the shape alone."""
    return case.of is not penalties.spectral_norm_init and case.of.__module__.startswith(
        ("jreg.penalties", "jreg.projections", "jreg.prox", "jreg.losses")
    )


@rows(F32, where=of_weights)
def test_a_nan_is_seen(case, dtype):
    x = example(case, dtype)
    jax.tree.leaves(x)[0].flat[0] = np.nan
    assert any(np.isnan(leaf).any() for leaf in jax.tree.leaves(values(case, dtype, x)["traced"]))


def of_range(case):
    return with_strengths(case) and of_weights(case)


@rows(F32, where=of_range)
def test_a_traced_strength_below_0_gives_nan(case, dtype):
    found = values(case, dtype, s=-1.0)["traced"]
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(found))


@rows(BF16, F16, where=of_weights)
def test_half_precision_neither_overflows_nor_loses_a_sum(case, dtype):
    # Squares, and sums of squares, are above the 65,504 where float16 ends.
    x = jax.tree.map(lambda leaf: (1000 * leaf).astype(dtype), example(case, F32))
    exact = values(case, F32, jax.tree.map(lambda leaf: leaf.astype(F32), x))["traced"]
    found = values(case, dtype, x)["traced"]
    for a, e in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert np.isfinite(a).all()
        # A result of half precision has been rounded once.
        tolerance = 1e-5 if a.dtype == F32 and not in_half(case) else TOLERANCE[dtype]
        np.testing.assert_allclose(np.asarray(a, np.float64), e, tolerance, tolerance * np.abs(e).max(initial=0))


def in_half(case):
    """Whether the row's own network computes in the dtype of x, before the function sees a number."""
    return case.of.__name__ in ("jacobian", "jacobian_projection", "input_gradient", "kl_sparsity")


@rows(F32, where=lambda case: curved(case))
def test_the_gradient_moves_as_its_derivative_says(case, dtype):
    x, s, step = example(case, dtype), traced(middle(case)), np.float32(2e-3)
    ends = [
        values(case, dtype, point=(jax.tree.map(lambda leaf, v, h=h: leaf + h * v, x, direction(case)), s))["slopes"][0]
        for h in (step, -step)
    ]
    for found, after, before in zip(*map(jax.tree.leaves, (usual(case, dtype)["curve"], *ends)), strict=True):
        expected = (after.astype(np.float64) - before) / (2 * step)
        size = max(np.abs(expected).max(), np.abs(after).max())
        np.testing.assert_allclose(found, expected, atol=5e-3 * size)


# Batching doesn't depend on the dtype.
@rows(F32)
def test_vmap_over_arrays_and_strengths_equals_a_loop(case, dtype):
    batch = batches(case, dtype)
    batched = usual(case, dtype)["batched"]
    for n in range(3):
        x, s = jax.tree.map(lambda leaf, n=n: leaf[n], batch)
        assert_close(jax.tree.map(lambda y, n=n: y[n], batched), values(case, dtype, x, s)["traced"], dtype)


@each_row
def test_dtype_shape_and_tree_structure_are_kept(case, dtype):
    x = example(case, dtype)
    y = jax.eval_shape(case.call, x, traced(middle(case)))
    expected = x if case.out == "same" else np.zeros(case.out)
    assert jax.tree.structure(y) == jax.tree.structure(expected)
    assert [leaf.shape for leaf in jax.tree.leaves(y)] == [leaf.shape for leaf in jax.tree.leaves(expected)]
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {case.out_dtype or dtype}


@each_row
def test_zero_strength_changes_no_bit(case, dtype):
    if case.identity is None:
        # The (w + u) - w of these two rounds.
        assert case.strengths is None or case.of in (transforms.project, transforms.proximal)
        return
    known, expected = usual(case, dtype)["identity"], usual(case, dtype)["unchanged"]
    assert_unchanged(known, expected, case, dtype)
    assert_unchanged(values(case, dtype, s=case.identity)["traced"], expected, case, dtype)


@rows(F32)
def test_gradients_are_finite_at_zero(case, dtype):
    of_arrays = usual(case, dtype)["slopes"][0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_arrays))
    assert {leaf.dtype for leaf in jax.tree.leaves(of_arrays)} == {dtype}


@rows(BF16)
def test_half_precision_has_gradients(case, dtype):
    of_arrays = jax.eval_shape(functools.partial(slopes, case), example(case, dtype), traced(middle(case)))[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(of_arrays)} == {dtype}


@rows(BF16, slow=lambda case, dtype: True)
def test_gradients_in_half_precision_are_finite_at_zero(case, dtype):
    gradients = jax.jit(functools.partial(slopes, case))
    of_arrays = gradients(zeros(case, dtype), traced(middle(case)))[0]
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(of_arrays))


@rows(F32, where=with_strengths)
def test_gradient_with_respect_to_the_strength_exists(case, dtype):
    point = example(case, dtype), traced(middle(case))
    assert np.isfinite(values(case, dtype, point=point)["slopes"][1])


def test_every_public_function_has_a_row():
    modules = [importlib.import_module(f"jreg.{family}") for family in FAMILIES]
    public = {
        f
        for module in modules
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f"{f.__module__}.".startswith(f"{module.__name__}.") and not name.startswith("_")
    }
    # A link is the name of how a loss reads outputs; nothing of arrays is computed.
    assert public - {losses.link_of} == {case.of for case in CASES}


@pytest.mark.parametrize("of", MADE, ids=lambda of: of.__name__)
def test_parameters_and_the_state_of_a_transform_can_be_donated(of):
    def step(params, state):
        updates, state = MADE[of].update(params, state, params, grad_fn=lambda params, index: params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    state = MADE[of].init(params)
    for _ in range(2):
        given, (params, state) = params["kernel"], step(params, state)
        assert given.is_deleted()


def test_every_transform_has_a_row_of_donation():
    public = {case.of for case in CASES if case.of.__module__.startswith("jreg.transforms")}
    assert public - {transforms.evaluation_params} == set(MADE)
