"""Arrays from .npz files that nobody vouches for."""

import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jreg

X = np.arange(12, dtype=np.float64).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def claim(descr: str, shape: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An .npy file whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + content


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/") + ".npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("test", [False, True], ids=["without test", "with test"])
def test_what_numpy_saves_comes_back(tmp_path, save, test):
    arrays = {"x": X, "y": Y} | ({"x_test": X[:2] + 0.5, "y_test": Y[:2]} if test else {})
    save(tmp_path / "mine.npz", **arrays)
    data = jreg.load_dataset(tmp_path / "mine.npz", test_size=0)
    assert data.name == "mine"
    assert (data.x_test is not None) == test
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, name), array)


def test_without_a_test_set_some_rows_are_held_out(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    data = jreg.load_dataset(str(tmp_path / "mine.npz"), test_size=0.5)
    assert sorted([*data.x[:, 0], *data.x_test[:, 0]]) == X[:, 0].tolist()
    assert sorted(data.y_test) == [0, 1, 2]


def test_the_test_set_of_the_file_is_left_as_it_is(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=Y, x_test=X[:1], y_test=Y[:1])
    data = jreg.load_dataset(tmp_path / "mine.npz", test_size=0.5)
    assert (len(data.y), len(data.y_test)) == (6, 1)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (np.asfortranarray(X), np.float32),
        (X.astype(">f8"), np.float32),
        (X.astype(np.float16), np.float16),
        (X.astype(np.uint8), np.uint8),
        (X[::-1].astype(np.int64), np.int32),
    ],
    ids=["Fortran order", "big endian", "float16", "uint8", "int64"],
)
def test_orders_and_dtypes_keep_the_values(tmp_path, x, dtype):
    np.savez(tmp_path / "mine.npz", x=x, y=Y)
    data = jreg.load_dataset(tmp_path / "mine.npz", test_size=0)
    np.testing.assert_array_equal(data.x, x)
    assert data.x.dtype == dtype


def test_other_arrays_are_not_looked_at(tmp_path):
    path = archive(tmp_path / "mine.npz", x=npy(X), y=npy(Y), notes=b"not an array", y_valid=claim("'|O'", "(1,)"))
    assert len(jreg.load_dataset(path, test_size=0).y) == 6


def test_a_member_in_a_folder_goes_by_its_own_name(tmp_path):
    path = archive(tmp_path / "mine.npz", a__b__x=npy(X), a__y=npy(Y))
    np.testing.assert_array_equal(jreg.load_dataset(path, test_size=0).x, X)


def test_nothing_is_written_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jreg.load_dataset(archive(tmp_path / "mine.npz", a__x=npy(X), a__y=npy(Y)), test_size=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as found:
        jreg.load_dataset(path)
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


def test_a_missing_array_is_named(tmp_path):
    refused(archive(tmp_path / "a.npz", x=npy(X), labels=npy(Y)), r"has no array y: it holds x, labels")
    refused(archive(tmp_path / "b.npz"), "has no array x and y: it holds none")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path / 'no.npz'}"):
        jreg.load_dataset(tmp_path / "no.npz")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_objects_are_refused_and_never_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    np.savez(tmp_path / "mine.npz", x=np.array([[Trap(trap)]], object), y=Y[:1])
    refused(tmp_path / "mine.npz", "dtype object")
    assert not trap.exists()
    # The trap works where pickles are trusted.
    np.load(tmp_path / "mine.npz", allow_pickle=True)["x"]
    assert trap.exists()


@pytest.mark.parametrize(
    "x",
    [X + 1j, np.array([["a", "b"]]), np.zeros(3, "datetime64[s]"), np.zeros(3, "f4,f4"), np.zeros((3, 1), "S3")],
    ids=["complex", "text", "dates", "records", "bytes"],
)
def test_other_than_real_numbers_are_refused(tmp_path, x):
    refused(archive(tmp_path / "mine.npz", x=npy(x), y=npy(Y)), "x in .* but must be an array of real numbers")


def test_text_is_no_label(tmp_path):
    labels = npy(np.array(["cat", "dog"]))
    refused(archive(tmp_path / "mine.npz", x=npy(X), y=labels), "y in .* has dtype <U3 .* real numbers")


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 and no more"], ids=["empty", "text", "stub"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    refused(tmp_path / "mine.npz", r"is no readable .npz file \(.*\): write it with numpy.savez")


def test_a_lone_npy_is_refused(tmp_path):
    (tmp_path / "mine.npz").write_bytes(npy(X))
    refused(tmp_path / "mine.npz", "is no readable .npz file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_zip_is_refused(tmp_path, share):
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    content = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "mine.npz", "is no readable .npz file")


def test_a_changed_number_fails_the_checksum(tmp_path):
    path = archive(tmp_path / "mine.npz", x=npy(X), y=npy(Y))
    content = bytearray(path.read_bytes())
    content[content.index(X[1].tobytes())] ^= 1
    path.write_bytes(content)
    refused(path, r"is no readable .npz file \(Bad CRC-32 for file 'x.npy'\)")


@pytest.mark.parametrize("member", [b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00" + bytes(200), b"PK" * 200, npy(X)[:40]])
def test_a_member_that_is_no_array_is_refused(tmp_path, member):
    refused(archive(tmp_path / "mine.npz", x=member, y=npy(Y)), "x in .* has no readable array header")


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("'<f8'", "(2,) + (3,)"), ("'<f8'", "'2'"), ("'<f8'", "(2.0,)"), ("'zzz'", "(2,)"), ("__import__('os')", "(2,)")],
)
def test_a_header_that_is_no_description_is_refused(tmp_path, descr, shape):
    path = archive(tmp_path / "mine.npz", x=claim(descr, shape, bytes(16)), y=npy(Y))
    refused(path, "x in .* has no readable array header")


@pytest.mark.parametrize("shape", ["(65536, 65536)", f"({2**70},)", "(9, 1)", "(11, 1)", "(0, 5)", "()"])
def test_a_header_that_claims_another_size_is_refused(tmp_path, shape):
    path = archive(tmp_path / "mine.npz", x=claim("'<f8'", shape, bytes(80)), y=npy(Y))
    refused(path, "x in .* claims shape .* of float64, which is not what the file holds")


def test_a_negative_size_is_refused(tmp_path):
    path = archive(tmp_path / "mine.npz", x=claim("'<f8'", "(-2, -5)", bytes(80)), y=npy(Y))
    refused(path, re.escape("shape (-2, -5), but must be"))


def peak(path: Path) -> int:
    """The most memory that a refused file took, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"which is not what the file holds|ends after|is no readable"):
            jreg.load_dataset(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_claim_is_refused_before_memory_is_taken(tmp_path):
    assert peak(archive(tmp_path / "mine.npz", x=claim("'<f8'", "(65536, 65536)", bytes(80)), y=npy(Y))) < 50e6


def test_a_huge_claim_of_array_and_directory_is_refused_before_memory_is_taken(tmp_path):
    """The zip's own directory lies too, so that both sizes agree."""
    member = claim("'<f8'", "(8192, 8192)", bytes(80))
    size = 8192 * 8192 * 8 + len(member) - 80
    path = archive(tmp_path / "mine.npz", x=member, y=npy(Y))
    content = path.read_bytes()
    entry = content.index(b"PK\x01\x02")
    path.write_bytes(content[: entry + 24] + size.to_bytes(4, "little") + content[entry + 28 :])
    assert peak(path) < 50e6


def test_a_compressed_member_with_a_lying_directory_is_refused(tmp_path):
    """A bomb: little on disk, much more in memory than its header says."""
    member = claim("'<f8'", "(10, 1)", bytes(20_000_000))
    path = archive(tmp_path / "mine.npz", zipfile.ZIP_DEFLATED, x=member, y=npy(Y))
    assert path.stat().st_size < 50_000
    assert peak(path) < 5e6


def test_rows_that_do_not_match_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=Y[:-1])
    with pytest.raises(ValueError, match="mine has 6 rows in x but 5 in y"):
        jreg.load_dataset(tmp_path / "mine.npz")


def test_an_encrypted_member_is_refused(tmp_path):
    path = archive(tmp_path / "mine.npz", x=npy(X), y=npy(Y))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, r"is no readable .npz file \(.* is encrypted")
