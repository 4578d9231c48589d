"""Damaged and invented data files by the thousand: only documented errors, bounded memory, nothing written.

``nox -s fuzz`` runs it. The environment variable JREG_FUZZ_INPUTS says how many files each loader is given.
"""

import collections
import gzip
import hashlib
import io
import os
import re
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jreg
from jreg.data.files import read_idx

INPUTS = int(os.environ.get("JREG_FUZZ_INPUTS", "10000"))
ROOM = 2**30
fuzzed = settings(max_examples=INPUTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))

X, Y = np.arange(12, dtype=np.float64).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])


def peak() -> float:
    """The most memory that this process has had, in MiB, without what it inherits from the one that started it."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """No more than a gibibyte beside what the process has when it begins."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def check(tmp_path, capsys, request) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Loads a file of `tmp_path`, which raises nothing but documented errors, in a sentence, and writes nothing."""
    # What is imported and kept at the first time is no file's doing.
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    jreg.load_dataset(tmp_path / "whole.npz", test_size=0)
    ends, before = collections.Counter(), peak()

    def once(load: Callable[[], object]) -> None:
        there = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        said = None
        try:
            load()
        except (ValueError, TypeError, FileNotFoundError) as error:
            said = str(error)
        ends["read" if said is None else "refused"] += 1
        assert said is None or (0 < len(said) < 4000 and "\n" not in said)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == there

    yield once
    name = request.node.name.removeprefix("test_")
    counts = ", ".join(f"{count:,} {end}" for end, count in sorted(ends.items()))
    with capsys.disabled():
        print(f"\n{name}: {sum(ends.values()):,} inputs, {counts}; {peak() - before:.0f} MiB more memory at most")
    assert sum(ends.values()) >= INPUTS or not INPUTS
    assert peak() - before < 512


# A place, from 0 to 1, and what happens to the bytes there.
CHANGE = st.tuples(
    st.floats(0, 1), st.sampled_from(["flip", "set", "insert", "delete", "cut", "double"]), st.binary(max_size=8)
)
CHANGES = st.one_of(st.just([]), st.lists(CHANGE, max_size=4))


def changed(content: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    """The content after all changes."""
    for share, kind, piece in changes:
        at = int(share * len(content))
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << (len(piece) % 8))]) + content[at + 1 :]
        elif kind == "set":
            content = content[:at] + piece + content[at + len(piece) :]
        elif kind == "insert":
            content = content[:at] + piece * 3 + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + 1 + len(piece) :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "double":
            content = content[:at] + content[at // 2 :]
    return content


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NUMBER = st.sampled_from(
    ["0", "1", "2", "6", "-1", "12", "65536", "2147483648", "9" * 25, "1+1", "True", "1L", "", "1.0"]
)
SHAPE = (
    st.lists(NUMBER, max_size=5)
    .map(", ".join)
    .flatmap(lambda text: st.sampled_from([f"({text})", f"({text},)", f"[{text}]", "(6, 2)", "(6,)", "6"]))
)
DTYPE = st.sampled_from(
    ["'<f8'", "'>f4'", "'|u1'", "'|b1'", "'<i8'", "'|O'", "'<U3'", "'|S0'", "'<M8[s]'", "'<c16'", "'|V2'", "'<f9'",
     "[('a', '<f8')]", "'f8,f8'", "'<f99999999999'", "None", "'T'", "'<f2'", "'<f16'"]
)  # fmt: skip
HEADER = st.one_of(
    st.builds("{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format, DTYPE,
              st.sampled_from(["True", "False", "1", "None"]), SHAPE),
    st.text(max_size=40),
)  # fmt: skip


@st.composite
def invented(draw) -> bytes:
    """An .npy file whose header and content have nothing to do with each other."""
    header = draw(HEADER).encode("utf-8", "surrogatepass") + b"\n"
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
    length = len(header) + draw(st.sampled_from([0, 0, 0, 0, -1, 1, 9000, 60_000]))
    width = 2 if version[0] == 1 else 4
    content = bytes(draw(st.sampled_from([0, 6, 12, 24, 48, 96, 192])))
    return b"\x93NUMPY" + version + max(0, length).to_bytes(width, "little") + header + content


ARRAY = st.one_of(invented(), st.builds(changed, st.sampled_from([npy(X), npy(Y)]), CHANGES))
NAME = st.sampled_from(["x.npy", "y.npy", "x_test.npy", "y_test.npy", "a/x.npy", "../y.npy", "x", "x.txt", "/x.npy"])


@st.composite
def archives(draw) -> bytes:
    """An archive of arrays, then damaged."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in {"x.npy": npy(X), "y.npy": npy(Y)}.items():
            content = draw(ARRAY) if draw(st.booleans()) else content
            method = draw(
                st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
            )
            made.writestr(name, content, method)
        if draw(st.booleans()):
            other = draw(NAME)
            if other not in ("x.npy", "y.npy"):
                made.writestr(other, draw(ARRAY))
    return changed(file.getvalue(), draw(CHANGES))


def test_npz(tmp_path, check):
    @fuzzed
    @given(archives())
    def run(content):
        (tmp_path / "a.npz").write_bytes(content)
        check(lambda: jreg.load_dataset(tmp_path / "a.npz", test_size=0))

    run()


def test_npy(tmp_path, check):
    @fuzzed
    @given(ARRAY, st.one_of(st.just(npy(Y)), ARRAY), st.booleans())
    def run(x, y, keep):
        (tmp_path / "x.npy").write_bytes(x)
        (tmp_path / "y.npy").write_bytes(y)
        check(lambda: jreg.load_dataset(tmp_path, test_size=0, missing="keep" if keep else "reject"))

    run()


FIELD = st.sampled_from(
    ["0", "1", "2", "0.5", "-1e3", "1e99", "nan", "inf", "?", "", " ", "a", "b", "yes", "1,5", '"', '"a,b"', '"a',
     "1_0", "\0", "\ufeff", "\u0661", "$5", "7%", "-", "=1+1", "\r", "x" * 3000, "\x1b[31m", "(1", "- ",
     "Unnamed: 0", "1" * 400]
)  # fmt: skip
SIGN = st.sampled_from([",", ",", ",", ";", "\t", "|", ", "])
GOOD = b"size,colour,kind\n1,red,a\n2,blue,b\n3.5,red,a\n-4,blue,b\n"


@st.composite
def tables(draw) -> bytes:
    """A table of few columns with fields that mean something, then damaged."""
    sign, width = draw(SIGN), draw(st.integers(1, 4))
    names = draw(
        st.lists(st.one_of(st.sampled_from(["a", "b", "y", "size", "kind"]), FIELD), min_size=width, max_size=width)
    )
    rows = draw(st.lists(st.lists(FIELD, min_size=width, max_size=width), max_size=6))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    text = end.join(sign.join(row) for row in [names, *rows]) + end
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-be"]))
    return text.encode(encoding)


TABLE = st.one_of(st.builds(changed, tables(), CHANGES), st.builds(changed, st.just(GOOD), CHANGES))


def test_csv(tmp_path, check):
    (tmp_path / "good.csv").write_bytes(GOOD)

    @fuzzed
    @given(
        TABLE,
        st.booleans(),
        st.sampled_from(["error", "zeros"]),
        st.sampled_from([None, None, "classification", "regression"]),
    )
    def run(content, second, unseen, task):
        (tmp_path / "t.csv").write_bytes(content)
        first, test = ("good.csv", tmp_path / "t.csv") if second else ("t.csv", None)
        options = {"test": test, "unseen": unseen, "task": task, "missing": "keep"}
        check(lambda: jreg.load_dataset(tmp_path / first, test_size=0, **options))

    run()


def test_idx(tmp_path, check):
    whole = bytes([0, 0, 8, 2, 0, 0, 0, 6, 0, 0, 0, 2]) + bytes(range(12))
    digest = hashlib.sha256(whole).hexdigest()

    @fuzzed
    @given(CHANGES, CHANGES, st.booleans())
    def run(inner, outer, packed):
        content = changed(whole, inner)
        content = changed(gzip.compress(content, mtime=0), outer) if packed else content
        path = tmp_path / ("t.gz" if packed else "t")
        path.write_bytes(content)
        check(lambda: read_idx(path, digest, (6, 2)))

    run()
