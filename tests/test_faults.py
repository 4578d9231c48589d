"""Faults that were once let through: each is now one sentence."""

import gzip
import hashlib
import zipfile
from functools import partial

import numpy as np
import optax
import pytest
from flax import linen

import jreg
from jreg import losses, nn, penalties, projections
from jreg.data.files import read_idx, read_npz
from jreg.splits import as_folds


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
        read_npz(path)


def test_header_with_an_open_bracket(tmp_path):
    h = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, }\n"
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as f:
        f.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(h).to_bytes(2, "little") + h + bytes(16))
        f.writestr("y.npy", b"")
    with pytest.raises(ValueError, match="no readable array header"):
        read_npz(path)


@pytest.mark.parametrize("cv", ["x", [1, 2], [([0], [1], [2])]])
def test_cv_of_the_wrong_kind(cv):
    with pytest.raises(TypeError, match=r"^cv is"):
        as_folds(cv, DATA)


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
