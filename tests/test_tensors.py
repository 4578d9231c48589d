"""Arrays as safetensors, against the format's own reader."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jreg._base import tensors


@pytest.mark.parametrize("dtype", sorted(tensors._DTYPES))
def test_every_dtype_comes_back(dtype):
    values = np.arange(6).reshape(2, 3).astype(tensors._DTYPES[dtype])
    arrays, metadata = tensors.unpacked(tensors.packed({"x": values}, {"by": "jreg"}))
    assert arrays["x"].dtype == values.dtype
    np.testing.assert_array_equal(arrays["x"].view(np.uint8), values.view(np.uint8))
    assert metadata == {"by": "jreg"}


def test_containers_come_back_as_they_were():
    tree = {"a": [jnp.ones(2, jnp.bfloat16), None], "b": (np.zeros((0, 3)), {3: np.float32(1)}), "empty": {}, "t": ()}
    found, _ = tensors.from_bytes(tensors.to_bytes(tree))
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert found["a"][0].dtype == ml_dtypes.bfloat16
    assert found["b"][0].shape == (0, 3)


def test_the_formats_own_reader_sees_the_paths():
    data = tensors.to_bytes({"dense": {"kernel": np.asfortranarray(np.arange(6.0).reshape(2, 3))}})
    found = safetensors.numpy.load(data)
    assert list(found) == ["dense/kernel"]
    np.testing.assert_array_equal(found["dense/kernel"], np.arange(6.0).reshape(2, 3))


def test_paths_that_would_be_one_stay_two():
    found = tensors.named({"a/b": np.zeros(1), "a": {"b": np.ones(1)}})
    assert len(found) == 2


def test_keys_come_back_by_their_data():
    tree = {"key": jax.random.key(7), "state": (jnp.zeros(3),)}
    found = tensors.restored(tensors.named(tree), jax.eval_shape(lambda: tree))
    assert (jax.random.key_data(found["key"]) == jax.random.key_data(tree["key"])).all()
    assert isinstance(found["state"], tuple)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "the arrays differ from those expected in w"),
        ({"w": np.zeros(2, np.float32), "v": np.zeros(1)}, "the arrays differ from those expected in v"),
        (
            {"w": np.zeros(3, np.float32)},
            r"the array w is float32 of shape \(3,\), but must be float32 of shape \(2,\)",
        ),
        ({"w": np.zeros(2, np.int32)}, "the array w is int32"),
    ],
)
def test_other_arrays_are_refused(arrays, sentence):
    with pytest.raises(ValueError, match=sentence):
        tensors.restored(arrays, {"w": np.zeros(2, np.float32)})


@pytest.mark.parametrize("tree", [{"x": np.array([None])}, {"x": np.array(["text"])}, {("a",): np.zeros(1)}])
def test_what_has_no_place_in_the_format_is_a_type_error(tree):
    with pytest.raises(TypeError, match="stored"):
        tensors.to_bytes(tree)


@pytest.mark.parametrize("data", [b"", b"x" * 100, (10**12).to_bytes(8, "little") + b"{}", b"PK\x03\x04" * 10])
def test_what_is_no_safetensors_file_is_one_sentence(data):
    with pytest.raises(ValueError, match="this is no safetensors file, or a damaged one"):
        tensors.unpacked(data)


def test_each_cut_and_each_flipped_bit_is_a_value_error_or_other_numbers():
    data = tensors.to_bytes({"w": [np.arange(3), np.ones(2)]}, {"by": "jreg"})
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|no tree"):
            tensors.from_bytes(data[:length])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            tensors.from_bytes(bytes(changed))
        except ValueError:
            continue


@pytest.mark.parametrize("structure", ["[]", "{}", '{"dict": 3}', '{"set": []}', '"v"', "[" * 10_000, "nonsense"])
def test_a_structure_that_lies_is_a_value_error(structure):
    data = tensors.packed({"w": np.zeros(2)}, {"structure": structure})
    with pytest.raises(ValueError, match=r"no tree of arrays|outside its tree"):
        tensors.from_bytes(data)
