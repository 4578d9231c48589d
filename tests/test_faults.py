"""Faults that were once let through: each is now one sentence."""

import gzip
import hashlib
import zipfile
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import jreg
from jreg import losses, metrics, models, nn, penalties, projections
from jreg.data import standardize
from jreg.data.files import read_idx, read_npz
from jreg.splits import as_pairs


class Theirs(linen.Module):
    rate: float

    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dropout(self.rate, deterministic=not train)(linen.Dense(3)(x))


DATA = jreg.Dataset(np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 3)


@pytest.mark.parametrize("c", [0.0, -1.0])
def test_radius_is_checked_by_a_study(c):
    def recipe(hp):
        return jreg.Recipe(
            nn.MLP((3,)),
            losses.softmax_cross_entropy,
            optax.chain(optax.sgd(0.1), jreg.project(partial(projections.max_norm, c=hp["c"]))),
        )

    with pytest.raises(ValueError, match="max_norm's radius c is"):
        jreg.cross_validate(recipe, DATA, jreg.grid(c=[3.0, c]), cv=2, epochs=1, progress=False)


def test_the_right_hyperparameter_is_blamed():
    def recipe(hp):
        return jreg.Recipe(
            Theirs(hp["rate"]),
            losses.softmax_cross_entropy,
            optax.sgd(0.1),
            penalty=hp["l2"] * jreg.on_params(penalties.l2),
        )

    with pytest.raises(TypeError, match="hyperparameter 'rate'"):
        jreg.cross_validate(recipe, DATA, jreg.grid(l2=[0.1], rate=[0.1, 0.5]), cv=2, epochs=1, progress=False)


def test_changed_byte_inside_gzip(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9, 200, dtype=np.uint8)
    raw = bytes([0, 0, 8, 1]) + (200).to_bytes(4, "big") + labels.tobytes()
    packed = bytearray(gzip.compress(raw, mtime=0))
    packed[10] ^= 0xFF
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(ValueError, match="not readable as gzip"):
        read_idx(tmp_path / "a.gz", hashlib.sha256(raw).hexdigest(), (200,))


def test_changed_byte_inside_compressed_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 4)), y=np.arange(50) % 3)
    content = bytearray(path.read_bytes())
    content[55] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no readable .npz"):
        read_npz(path, "reject")


def test_header_with_an_open_bracket(tmp_path):
    h = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, }\n"
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as f:
        f.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(h).to_bytes(2, "little") + h + bytes(16))
        f.writestr("y.npy", b"")
    with pytest.raises(ValueError, match="no readable array header"):
        read_npz(path, "reject")


@pytest.mark.parametrize("cv", ["x", [1, 2], [([0], [1], [2])]])
def test_cv_of_the_wrong_kind(cv):
    with pytest.raises(TypeError, match=r"^cv is"):
        as_pairs(cv, DATA)


def test_float64_beyond_float32():
    with pytest.raises(ValueError, match=r"infinity|float32"):
        jreg.Dataset(np.full((2, 1), 1e300), [0, 1])


def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(tmp_path):
    def recipe(hp):
        raise AssertionError(hp)

    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="results can't be written into"):
            jreg.cross_validate(recipe, DATA, jreg.grid(c=[1.0]), cv=2, epochs=1, store=place)


@pytest.mark.parametrize("fault", [ZeroDivisionError("division by zero"), KeyError("mine"), AttributeError("x")])
def test_a_recipe_that_raises_is_one_sentence_with_the_setting(fault):
    def recipe(hp):
        raise fault

    with pytest.raises(ValueError, match=f"the recipe raised {type(fault).__name__}.*c=1"):
        jreg.cross_validate(recipe, DATA, jreg.grid(c=[1.0]), cv=2, epochs=1, progress=False)


def test_l1_does_not_push_zero_weights():
    assert jax.grad(penalties.l1)(jnp.array([0.0, -0.0, 2.0])).tolist() == [0.0, 0.0, 1.0]
    assert jax.grad(lambda w: penalties.elastic_net(w, 0.5))(jnp.array([0.0, 1.0])).tolist() == [0.0, 2.0]


def test_an_infinite_radius_has_the_gradient_of_the_identity():
    g = jax.grad(lambda w: projections.max_norm(w, jnp.inf).sum())(jnp.ones((2, 2)))
    assert g.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_r2_of_constant_targets_is_nan():
    assert np.isnan(metrics.r2(jnp.array([1.0, 2.0]), jnp.array([3.0, 3.0]), jnp.ones(2)))


def test_r2_takes_half_precision():
    assert metrics.r2(jnp.arange(3.0).astype(jnp.bfloat16), jnp.arange(3.0), jnp.ones(3)) == 1.0


@pytest.mark.parametrize("v", [1e20, jnp.nan, jnp.inf])
def test_a_row_that_does_not_count_reaches_no_statistic(v):
    fit = standardize().fit
    m, d, _ = fit(jnp.array([[1.0], [3.0], [v]]), jnp.array([1.0, 1.0, 0.0]))
    assert (m.tolist(), d.tolist()) == ([[2.0]], [[1.0]])


def test_a_class_is_no_model():
    with pytest.raises(TypeError):
        models.as_model(nn.MLP)


def test_norms_neither_overflow_nor_vanish():
    large = projections.max_norm(jnp.array([[300.0], [400.0]], jnp.float16), 5.0)
    np.testing.assert_allclose(large, [[3.0], [4.0]], rtol=2e-3)
    small = projections.unit_norm(jnp.array([[3e-25], [4e-25]], jnp.float32))
    np.testing.assert_allclose(small, [[0.6], [0.8]], rtol=1e-6)


@pytest.mark.adam
def test_an_optimizer_that_asks_for_the_loss_is_given_it(blobs):
    def recipe(hp):
        plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, cooldown=0, accumulation_size=1)
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.chain(optax.sgd(hp["rate"]), plateau))

    study = jreg.cross_validate(recipe, blobs, jreg.grid(rate=[0.1]), cv=2, epochs=2, progress=False)
    assert np.isfinite(study.scores).all()


@pytest.mark.slow
def test_a_hyperparameter_read_later_than_the_recipe_counts_as_read(blobs):
    def recipe(hp):
        return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(lambda step: hp["rate"]))

    study = jreg.cross_validate(recipe, blobs, jreg.grid(rate=[0.01, 0.5]), cv=2, epochs=2, progress=False)
    assert study.scores[0].tolist() != study.scores[1].tolist()


def test_label_smoothing_outside_its_range_is_noticed(blobs):
    def recipe(hp):
        loss = partial(losses.softmax_cross_entropy, label_smoothing=hp["smoothing"])
        return jreg.Recipe(nn.MLP((3,)), loss, optax.sgd(0.1))

    with pytest.raises(ValueError, match=r"label_smoothing is 1, .* \(in the setting smoothing=1\)"):
        jreg.cross_validate(recipe, blobs, jreg.grid(smoothing=[0.0, 1.0]), cv=2, epochs=1, progress=False)
