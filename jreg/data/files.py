"""Reading arrays from files as data: sizes and types are checked before anything is allocated."""

from __future__ import annotations

import gzip
import hashlib
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from jreg._base.names import listed
from jreg.data.dataset import Dataset

# Deflate can't expand more than this; a header that claims more is lying.
_MOST_EXPANSION = 1032
_MOST_BYTES = 16 * 2**30


def read_npz(path: Path, missing: str, task: str | None = None) -> Dataset:
    """A data set from an ``.npz`` with arrays x, y and, if there are any, x_test and y_test.

    Dtypes are kept as `Dataset` keeps them: integers may be tokens.

    Raises:
      ValueError: the file is no npz, an array is missing, or its header doesn't fit the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(info.filename).stem: info for info in archive.infolist()}
            lacking = [name for name in ("x", "y") if name not in members]
            if lacking:
                raise ValueError(f"{path} has no array {' and '.join(lacking)}: it holds {listed(members)}")
            wanted = [name for name in ("x", "y", "x_test", "y_test") if name in members]
            arrays: dict[str, Any] = {
                name: _read_member(archive, members[name], f"{name} in {path}") for name in wanted
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"{path} is no readable .npz file ({error}): write it with numpy.savez") from None
    return Dataset(**arrays, name=path.stem, missing=missing, task=task)


def read_npy(folder: Path, missing: str, task: str | None = None) -> Dataset:
    """A data set from a folder with x.npy and y.npy and, if there are any, x_test.npy and y_test.npy.

    Dtypes are kept as `Dataset` keeps them: integers may be tokens.

    Raises:
      ValueError: a file is missing, or its header doesn't fit it.
    """
    lacking = [name for name in ("x", "y") if not (folder / f"{name}.npy").is_file()]
    if lacking:
        raise ValueError(f"the folder {folder} has no {lacking[0]}.npy, but needs x.npy and y.npy")
    paths = {name: folder / f"{name}.npy" for name in ("x", "y", "x_test", "y_test")}
    arrays: dict[str, Any] = {}
    for name, path in paths.items():
        if path.is_file():
            with path.open("rb") as file:
                arrays[name] = _array(file, path.stat().st_size, math.inf, str(path))
    return Dataset(**arrays, name=folder.resolve().name, missing=missing, task=task)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    with archive.open(info) as file:
        return _array(file, info.file_size, _MOST_EXPANSION * (info.compress_size + 64), name)


def _array(file: IO[bytes], length: int, most: float, name: str) -> np.ndarray:
    """The array in an .npy file of `length` bytes, of which at most `most` can be there."""
    shape, fortran, dtype = _header(file, name)
    size = math.prod(shape) * dtype.itemsize
    if file.tell() + size != length or size > most:
        raise ValueError(f"{name} claims shape {shape} of {dtype}, which is not what the file holds")
    if size > _MOST_BYTES:
        raise ValueError(f"{name} is {size / 2**30:.0f} GiB, but at most {_MOST_BYTES // 2**30} GiB are read")
    content = file.read(size)
    if len(content) != size:
        raise ValueError(f"{name} ends after {len(content)} of {size} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file, max_header_size=10_000)
    except (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"{name} has no readable array header ({error})") from None
    lengths = all(type(length) is int and length >= 0 for length in shape)
    if dtype.kind not in "fiub" or dtype.itemsize == 0 or not lengths:
        raise ValueError(f"{name} has dtype {dtype} and shape {shape}, but must be an array of real numbers")
    return shape, fortran, dtype


def read_idx(path: Path, sha256: str, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array in an IDX file (gzip or not) whose content has this checksum and shape.

    Raises:
      ValueError: the content is not the one that is expected.
    """
    header = 4 + 4 * len(shape)
    size = header + math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            # One byte more than expected is enough to see that the file is too long.
            content = file.read(size + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is not readable as gzip ({error}): fetch it again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} doesn't have the checksum it should have (SHA-256 {sha256}): fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
