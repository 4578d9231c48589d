"""Arrays that are split over two devices: what is computed, where it comes back, and what has to travel."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreg import initializers, losses, metrics, penalties, projections, prox, stochastic, transforms
from jreg._base.bits import uniform16

COLLECTIVE = re.compile(r"= \S+ (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(-start)?\(")
KEY = jax.random.key(0)
W = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
SPLITS = (PartitionSpec("d"), PartitionSpec(None, "d"))


def spread(w, split, kind=AxisType.Auto):
    mesh = jax.make_mesh((2,), ("d",), axis_types=(kind,), devices=jax.devices()[:2])
    return jax.device_put(w, NamedSharding(mesh, split))


def masks(x, vector):
    return {
        "dropout": stochastic.dropout(KEY, x, 0.5),
        "classic_dropout": stochastic.classic_dropout(KEY, x, 0.5),
        "drop_connect": stochastic.drop_connect(KEY, x, 0.5),
        "drop_path": stochastic.drop_path(KEY, x, 0.5),
        "alpha_dropout": stochastic.alpha_dropout(KEY, x, 0.5),
        "zoneout": stochastic.zoneout(KEY, x, 2 * x, 0.5),
        "salt_and_pepper": stochastic.salt_and_pepper(KEY, x, 0.5),
        "gaussian_noise": stochastic.gaussian_noise(KEY, x, 0.5),
        "vector": stochastic.dropout(KEY, vector, 0.5),
        "maps": stochastic.spatial_dropout(KEY, x[:, None], 0.5),
    }


def arrays(w):
    return {
        "orthogonal": projections.orthogonal(w),
        "spectral_ball": projections.spectral_ball(w, 1.0),
        "l1_ball": projections.l1_ball(w, 1.0),
        "simplex": projections.simplex(w, 1.0),
        "max_norm": projections.max_norm(w, 1.0),
        "nuclear_norm": prox.nuclear_norm(w, 0.5),
        "group_lasso": prox.group_lasso(w, 0.5),
    }


def numbers(w):
    by_name = ("l2", "group_lasso", "nuclear_norm", "spectral_norm", "orthogonal", "srip", "weight_correlation")
    weights = jnp.ones(w.shape[:1])
    return {name: getattr(penalties, name)(w) for name in by_name} | {
        "step": penalties.spectral_norm_step(w, penalties.spectral_norm_init(KEY, w))[0],
        "decov": penalties.decov(w, weights),
        "total_variation": penalties.total_variation(w, axis=0),
    }


def assert_equal(found, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, 1e-5, 1e-5, err_msg=name)


def test_masks_of_split_arrays_are_the_same_and_nothing_travels():
    expected = jax.jit(masks)(W, W[:, 0])
    for split in SPLITS:
        x, vector = spread(W, split), spread(W[:, 0], SPLITS[0])
        compiled = jax.jit(masks).lower(x, vector).compile()
        assert not COLLECTIVE.findall(compiled.as_text())
        assert_equal(compiled(x, vector), expected)
    # The pattern finds what it looks for.
    assert COLLECTIVE.findall(jax.jit(jnp.sum).lower(x).compile().as_text())


@pytest.mark.parametrize("shape", [(), (7,), (5, 3), (1, 9), (4, 2, 3, 5), (2, 0)], ids=str)
def test_each_number_of_a_mask_can_be_computed_by_itself(shape):
    x = jax.device_put(np.zeros(shape), NamedSharding(spread(W, SPLITS[0]).sharding.mesh, PartitionSpec()))
    np.testing.assert_array_equal(uniform16(KEY, shape, x), uniform16(KEY, shape))


@pytest.mark.slow
def test_arrays_come_back_split_as_they_came():
    expected = jax.jit(arrays)(W)
    for split in SPLITS:
        w = spread(W, split)
        found = jax.jit(arrays)(w)
        assert_equal(found, expected)
        assert {name for name, value in found.items() if not value.sharding.is_equivalent_to(w.sharding, 2)} == set()
    assert projections.orthogonal(w).sharding.is_equivalent_to(w.sharding, 2)
    square = spread(W[:6], SPLITS[0])
    assert jax.jit(projections.symmetric)(square).sharding.is_equivalent_to(square.sharding, 2)


@pytest.mark.parametrize("split", [SPLITS[0], pytest.param(SPLITS[1], marks=pytest.mark.slow)], ids=["rows", "units"])
def test_explicit_axes(split):
    def everything(w, vector):
        update = transforms.spectral_penalty(0.1)
        alike = {f"{name} masked": value for name, value in masks(w, vector).items() if value.shape == w.shape}
        alike |= update.update({"pulled": w}, update.init({"pulled": w}), {"pulled": w})[0]
        alike |= {"gradient": jax.grad(penalties.nuclear_norm)(w), "symmetric": projections.symmetric(w)}
        return alike | arrays(w), numbers(w)

    square = W[:6]
    expected = jax.jit(everything)(square, square[0])
    w, vector = (spread(a, s, AxisType.Explicit) for a, s in ((square, split), (square[0], SPLITS[0])))
    with jax.set_mesh(w.sharding.mesh):
        alike, scalars = jax.jit(everything)(w, vector)
    assert_equal(alike, expected[0])
    assert_equal(scalars, expected[1])
    assert {name for name, value in alike.items() if not value.sharding.is_equivalent_to(w.sharding, 2)} == set()


def test_inside_of_shard_map_a_function_sees_its_part():
    w = spread(W, SPLITS[0])

    @jax.jit
    @jax.shard_map(mesh=w.sharding.mesh, in_specs=SPLITS[0], out_specs=(SPLITS[0], PartitionSpec()))
    def local(part):
        return projections.max_norm(part, 1.0), jax.lax.psum(penalties.l2(part), "d")

    bounded, total = local(w)
    halves = W.reshape(2, 4, 6)
    lengths = np.linalg.norm(halves, axis=1, keepdims=True)
    np.testing.assert_allclose(bounded, (halves / np.maximum(lengths, 1)).reshape(8, 6), 1e-6)
    assert float(total) == pytest.approx(np.square(W).sum() / 2, rel=1e-6)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_initial_weights_go_where_they_are_asked_for(kind):
    sharding = spread(W, SPLITS[0], kind).sharding
    init = initializers.sparse(2)
    with jax.set_mesh(sharding.mesh):
        w = jax.jit(lambda key: init(key, W.shape, jnp.float32, out_sharding=sharding))(KEY)
    assert w.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_array_equal(w, init(KEY, W.shape))


@pytest.mark.slow
def test_classes_that_are_split_over_devices_have_the_loss_of_all():
    logits, labels = jax.random.normal(jax.random.key(0), (4, 6)), jnp.array([0, 5, 2, 3])
    functions = (losses.softmax_cross_entropy, functools.partial(losses.focal, gamma=2.0), metrics.log_loss)
    wanted = [f(logits, labels) for f in functions]
    split = spread(logits, SPLITS[1], AxisType.Explicit)
    with jax.set_mesh(split.sharding.mesh):
        for f, alone in zip(functions, wanted, strict=True):
            np.testing.assert_allclose(f(split, labels), alone, rtol=1e-6)
