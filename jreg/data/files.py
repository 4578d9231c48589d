"""Reading arrays from files as data: sizes and types are checked before anything is allocated."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from jreg._base.names import cut, listed
from jreg.data.dataset import Dataset
from jreg.data.limits import check_room, opened

_NAMES = ("x", "y", "x_test", "y_test", "weights", "groups", "weights_test", "groups_test")
# Deflate can't expand more than this; a header that claims more is lying.
_MOST_EXPANSION = 1032
_MOST_HEADER = 10_000
_CHUNK = 2**20
# An archive's list of members is read at once, and becomes ten times as large; archives of arrays have a few.
_MOST_AT_ONCE = 2**24
_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA", 93: "Zstandard"}
# What zipfile raises for what is no archive, or a damaged one; a plain ValueError is a sentence of this module's.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    UnicodeDecodeError,
    EOFError,
    RuntimeError,
    OSError,
    LookupError,
    OverflowError,
)
# As numpy writes it, with any blanks; the dtype of records is a list. No part of it is evaluated.
_HEADER = re.compile(
    r"""\{ *["']descr["'] *: *(?:["']([<>|=]?[biufcSUVOMm?][0-9]{0,9}(?:\[[0-9a-zA-Z]*\])?)["']|\[.*\]) *,"""
    r""" *["']fortran_order["'] *: *(True|False) *, *["']shape["'] *: *\(([-0-9L, ]*)\) *,? *\}\s*"""
)


class _Source(NamedTuple):
    """Where an .npy file is: how to open it, its length, how many bytes of it there can be, and its name."""

    open: Callable[[], IO[bytes]]
    length: int
    most: int
    name: str


class _Header(NamedTuple):
    """What an .npy file says of itself; its numbers begin at byte `start`."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _InSteps(io.BufferedReader):
    """A file of which little is read at once, whatever an archive says of its parts."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_AT_ONCE:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("a part of it lies before its beginning")
        return super().seek(offset, whence)


def read_npz(path: Path, missing: str, task: str | None = None) -> Dataset:
    """A data set from an ``.npz`` with arrays x and y and, if there are any, x_test and y_test.

    Dtypes are kept as `Dataset` keeps them: integers may be tokens. Arrays called weights, groups, weights_test and
    groups_test, all of numbers, are read too.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no npz, an array is missing or there twice, a header doesn't fit the file, or the arrays
        don't fit into memory.
    """
    with _InSteps(opened(path).detach()) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                arrays = _read(_members(archive, path), path, path.stem)
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is no readable .npz file ({cut(str(error))}): write it with numpy.savez"
            ) from None
    return Dataset(**arrays, name=path.stem, missing=missing, task=task)


def read_npy(folder: Path, missing: str, task: str | None = None) -> Dataset:
    """A data set from a folder with x.npy and y.npy and, if there are any, the others that `read_npz` reads.

    Dtypes are kept as `Dataset` keeps them: integers may be tokens.

    Raises:
      ValueError: a file is missing or no regular one, a header doesn't fit it, or the arrays don't fit into memory.
    """
    paths = {name: folder / f"{name}.npy" for name in _NAMES}
    there = {name: path for name, path in paths.items() if path.exists() or path.is_symlink()}
    lacking = [name for name in ("x", "y") if name not in there]
    if lacking:
        raise ValueError(f"the folder {folder} has no {lacking[0]}.npy, but needs x.npy and y.npy")
    sources = {}
    for name, path in there.items():
        if not path.is_file():
            raise ValueError(f"{path} is no file, or a link to none: put a file of numpy.save there, or nothing")
        length = path.stat().st_size
        sources[name] = _Source(lambda path=path: opened(path), length, length, str(path))
    arrays = _read(sources, folder, folder.resolve().name)
    return Dataset(**arrays, name=folder.resolve().name, missing=missing, task=task)


def read_examples(path: Path) -> np.ndarray:
    """The examples alone: an ``.npy``, the array x of an ``.npz``, or x.npy in a folder.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no such file, a header doesn't fit it, or the array doesn't fit into memory.
    """
    if path.suffix != ".npz":
        path = path / "x.npy" if path.is_dir() else path
        with opened(path) as file:
            length = os.fstat(file.fileno()).st_size
        source = _Source(lambda: opened(path), length, length, str(path))
        return _read({"x": source}, path, path.stem)["x"]
    with _InSteps(opened(path).detach()) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read({"x": _members(archive, path, ("x",))["x"]}, path, path.stem)["x"]
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is no readable .npz file ({cut(str(error))}): write it with numpy.savez"
            ) from None


def _members(archive: zipfile.ZipFile, path: Path, needed: tuple[str, ...] = ("x", "y")) -> dict[str, _Source]:
    """Where the arrays are in an archive."""
    found: dict[str, list[zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            found.setdefault(PurePosixPath(info.filename).stem, []).append(info)
    lacking = [name for name in needed if name not in found]
    if lacking:
        raise ValueError(f"{path} has no array {' and '.join(lacking)}: it holds {cut(listed(found))}")
    sources = {}
    for name in _NAMES:
        infos = found.get(name, [])
        names = [info.filename for info in infos]
        if len(infos) > 1:
            raise ValueError(f"{path} has {name} twice, as {cut(repr(names[0]))} and as {cut(repr(names[1]))}")
        for info in infos:
            if {"..", ""} & {*info.filename.split("/")} or "\\" in info.filename or ":" in info.filename:
                raise ValueError(f"{path} has {name} as {cut(repr(info.filename))}, which leads out of an archive")
            sources[name] = _member(archive, info, f"{name} in {path}", path.stat().st_size)
    return sources


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, most: int) -> _Source:
    # Other methods expand without a limit, and take gigabytes for what then is refused.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise ValueError(f"{name} is compressed by {method}, but must be stored or deflated, as numpy.savez writes it")
    there = min(info.compress_size, most)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        there = _MOST_EXPANSION * (there + 64)
    return _Source(lambda: archive.open(info), info.file_size, there, name)


def _read(sources: Mapping[str, _Source], place: Path, title: str) -> dict[str, Any]:
    """The arrays, after what all their headers say has been found to be possible."""
    headers = {}
    for name, source in sources.items():
        with source.open() as file:
            headers[name] = _header(file, source)
    for part in ("", "_test"):
        rows = [(headers[name].shape or (1,))[0] for name in (f"x{part}", f"y{part}") if name in headers]
        if len({*rows}) > 1:
            raise ValueError(f"{title} has {rows[0]} rows in x{part} but {rows[1]} in y{part}")
    # Converting takes as much again, or holding out a test set.
    size = 2 * sum(header.size for header in headers.values())
    check_room(size, f"reading {place}", "take fewer rows")
    arrays = {}
    for name, source in sources.items():
        with source.open() as file:
            arrays[name] = _array(file, headers[name], source.name)
    return arrays


def _header(file: IO[bytes], source: _Source) -> _Header:
    """The header of an .npy file, if the file can hold what it claims."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY":
        raise ValueError(f"{source.name} has no readable array header: it is no file of numpy.save")
    width = 2 if magic[6:7] == b"\x01" else 4
    length = int.from_bytes(file.read(width), "little")
    if magic[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00") or length > _MOST_HEADER:
        raise ValueError(f"{source.name} has no readable array header: its format is unknown, or it is too long")
    text = file.read(length).decode("latin1")
    found = _HEADER.fullmatch(text)
    try:
        if not found:
            raise ValueError
        # Records, which are a list, are none of the kinds below.
        dtype = np.dtype(found[1] or "V")
        shape = tuple(int(number.strip(" L")) for number in found[3].split(",") if number.strip())
    except (ValueError, TypeError):
        raise ValueError(f"{source.name} has no readable array header: it is {cut(repr(text))}") from None
    # NumPy's arrays have at most 64 axes.
    if dtype.kind not in "fiub" or dtype.itemsize == 0 or any(length < 0 for length in shape) or len(shape) > 64:
        raise ValueError(
            f"{source.name} has dtype {dtype} and shape {cut(str(shape))}, but must be an array of real numbers"
        )
    header = _Header(shape, found[2] == "True", dtype, len(magic) + width + length)
    nonzero = math.prod(max(1, length) for length in shape) * dtype.itemsize
    if header.start + header.size != source.length or header.size > source.most or nonzero >= 2**63:
        raise ValueError(f"{source.name} claims shape {cut(str(shape))} of {dtype}, which is not what the file holds")
    return header


def _array(file: IO[bytes], header: _Header, name: str) -> np.ndarray:
    """The numbers behind a header."""
    file.read(header.start)
    content = np.empty(header.size, np.uint8)
    # Memory that nothing is written into is never taken, so a file that ends early costs little.
    done = 0
    while done < header.size:
        chunk = file.read(min(_CHUNK, header.size - done))
        if not chunk:
            raise ValueError(f"{name} ends after {done} of {header.size} bytes")
        content[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    content.flags.writeable = False
    return content.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def read_idx(path: Path, sha256: str, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array in an IDX file (gzip or not) whose content has this checksum and shape.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the content is not the one that is expected.
    """
    header = 4 + 4 * len(shape)
    size = header + math.prod(shape)
    try:
        with opened(path) as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
            # One byte more than expected is enough to see that the file is too long.
            content = file.read(size + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is not readable as gzip ({error}): fetch it again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} doesn't have the checksum it should have (SHA-256 {sha256}): fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
