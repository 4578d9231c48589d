"""Data files that are made to do harm: one sentence each, little memory, nothing run and nothing written."""

import bz2
import csv
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

import jreg
from jreg import store
from jreg.cli import main
from jreg.data import limits
from jreg.data.files import read_idx
from jreg.results import FoldRows, Found, Results, Spec
from jreg.training import Column, Status

X = np.arange(12, dtype=np.float64).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def claim(shape: str, content: bytes = b"", descr: str = "'<f8'") -> bytes:
    """An .npy file whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def archive(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # one name twice
        for name, content in members:
            file.writestr(name, content)
    return path


def refused(path: Path, sentence: str, error: type[Exception] = ValueError, **options) -> str:
    """What is said of a file, which is one sentence that a person reads to its end."""
    with pytest.raises(error, match=sentence) as found:
        jreg.load_dataset(path, **options)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 1000
    return str(found.value)


# archives


@pytest.mark.parametrize(
    ("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA"), (99, "method 99")]
)
def test_only_stored_and_deflated_members_are_read(tmp_path, method, name):
    known = method if method != 99 else zipfile.ZIP_STORED
    path = archive(tmp_path / "a.npz", ("x.npy", npy(X)), ("y.npy", npy(Y)), method=known)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = method
    # Damaged as well, which LZMA said in an exception of its own.
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    refused(path, f"x in .* is compressed by {name}, but must be stored or deflated, as numpy.savez writes it")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("x.npy", "y.npy", "x.npy"), "has x twice, as 'x.npy' and as 'x.npy'"),
        (("x.npy", "y.npy", "evil/x.npy"), "has x twice, as 'x.npy' and as 'evil/x.npy'"),
        (("y.npy", "../../x.npy"), "has x as '../../x.npy', which leads out of an archive"),
        (("x.npy", "/etc/y.npy"), "has y as '/etc/y.npy', which leads out of an archive"),
        (("C:/x.npy", "y.npy"), "has x as 'C:/x.npy', which leads out of an archive"),
        (("n" * 60_000 + ".npy",), "has no array x and y: it holds nnn"),
    ],
)
def test_names_of_members_are_plain_and_no_two_are_one(tmp_path, names, sentence):
    refused(archive(tmp_path / "a.npz", *((name, npy(Y)) for name in names)), sentence)


def test_a_member_that_is_no_array_hides_none(tmp_path):
    path = archive(tmp_path / "a.npz", ("x.npy", npy(X)), ("y.npy", npy(Y)), ("x.txt", b""), ("evil/y", b""))
    np.testing.assert_array_equal(jreg.load_dataset(path, test_size=0).x, X)


@pytest.mark.parametrize(
    "shape",
    ["(" + "1+" * 4000 + "1,)", "(" * 4000 + ")" * 4000, "(" + "-" * 8000 + "1,)", f"({'9' * 9000},)", "(True,)",
     "(1if 1else 2,)", "(1 1,)", "(0x10,)", "(1_0,)", "(\u0661,)"],
)  # fmt: skip
def test_a_header_is_matched_and_never_evaluated(tmp_path, shape):
    refused(archive(tmp_path / "a.npz", ("x.npy", claim(shape)), ("y.npy", npy(Y))), "x in .* has no readable array")


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ("(" + "1, " * 65 + ")", r"has dtype float64 and shape \(1, 1, .* but must be an array of real numbers"),
        (f"(0, {2**62}, {2**62})", "claims shape .* which is not what the file holds"),
    ],
)
def test_a_shape_that_no_array_has_is_refused(tmp_path, shape, sentence):
    refused(archive(tmp_path / "a.npz", ("x.npy", claim(shape, bytes(8))), ("y.npy", npy(Y))), sentence)


def test_headers_are_read_however_they_are_spaced(tmp_path):
    for number, header in enumerate(
        ['{"descr":"<f8","fortran_order":False,"shape":(6,2)}', "{'descr': '<f8', 'fortran_order': False, 'shape': "
         "(6L, 2L), }    \n"]
    ):  # fmt: skip
        member = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header.encode() + X.tobytes()
        path = archive(tmp_path / f"{number}.npz", ("x.npy", member), ("y.npy", npy(Y)))
        np.testing.assert_array_equal(jreg.load_dataset(path, test_size=0).x, X)


# files that are none


def folder_of(path: Path, **files: bytes) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in ({"x": npy(X), "y": npy(Y)} | files).items():
        (path / f"{name}.npy").write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["x", "x_test"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "lost"])
def test_a_folder_is_read_from_regular_files(tmp_path, name, kind):
    place = folder_of(tmp_path / "mine") / f"{name}.npy"
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to({"device": "/dev/zero", "lost": tmp_path / "nothing"}[kind])
    refused(tmp_path / "mine", f"{name}.npy is no file, or a link to none")


def test_a_link_to_a_file_is_read_and_has_to_be_an_array(tmp_path):
    (tmp_path / "real").write_bytes(npy(X + 1))
    place = folder_of(tmp_path / "mine") / "x.npy"
    place.unlink()
    place.symlink_to(tmp_path / "real")
    np.testing.assert_array_equal(jreg.load_dataset(tmp_path / "mine", test_size=0).x, X + 1)
    place.unlink()
    place.symlink_to("/etc/passwd")
    assert "root:" not in refused(tmp_path / "mine", "x.npy has no readable array header: it is no file of numpy.save")


@pytest.mark.parametrize("end", [".csv", ".npz"])
def test_only_regular_files_are_opened(tmp_path, end):
    os.mkfifo(tmp_path / f"pipe{end}")
    (tmp_path / f"device{end}").symlink_to("/dev/zero")
    (tmp_path / f"folder{end}").mkdir()
    (tmp_path / f"loop{end}").symlink_to(tmp_path / f"loop{end}")
    refused(tmp_path / f"pipe{end}", f"pipe{end} is no regular file, but must be a file")
    refused(tmp_path / f"device{end}", f"device{end} is no regular file, but must be a file")
    refused(tmp_path / f"folder{end}", f"folder{end} is a folder, but must be a file")
    refused(tmp_path / f"loop{end}", "there is no file .*loop", FileNotFoundError)


def test_what_stands_under_a_name_is_looked_at_when_it_is_open(tmp_path, monkeypatch):
    """A pipe that comes after the first look isn't waited for."""
    os.mkfifo(tmp_path / "mine.csv")
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    refused(tmp_path / "mine.csv", "is no regular file")


def test_objects_in_a_folder_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    refused(folder_of(tmp_path / "mine", x=npy(np.array([[Trap()]], object))), "x.npy has dtype object")
    assert not (tmp_path / "sprung").exists()


def test_an_empty_file_is_no_array(tmp_path):
    refused(folder_of(tmp_path / "mine", y=b""), "y.npy has no readable array header")


# IDX


def idx(shape: tuple[int, ...], content: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("lies", idx((2**31, 28, 28), bytes(1000)), "doesn't have the checksum it should have"),
        ("empty", b"", "doesn't have the checksum it should have"),
        ("long", idx((2, 3), bytes(10_000)), "doesn't have the checksum it should have"),
        ("cut.gz", gzip.compress(idx((2, 3), bytes(6)), mtime=0)[:-9], "is not readable as gzip"),
        ("text.gz", b"<html>not found</html>", "is not readable as gzip"),
        ("bits.gz", b"\x1f\x8b\x08\xff" + bytes(20), "is not readable as gzip"),
        ("flipped.gz", gzip.compress(idx((2, 3), bytes(6)), mtime=0)[:-8] + bytes(8), "is not readable as gzip"),
    ],
)
def test_an_idx_file_that_is_not_the_one_is_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as found:
        read_idx(tmp_path / name, "0" * 64, (2, 3))
    assert str(tmp_path / name) in str(found.value)
    assert "\n" not in str(found.value)


def test_an_idx_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "images")
    with pytest.raises(ValueError, match="images is no regular file"):
        read_idx(tmp_path / "images", "0" * 64, (2, 3))


# OpenML


@pytest.mark.parametrize("error", [EOFError("end"), zlib.error("bits"), KeyError("data"), MemoryError(), Exception(9)])
def test_a_damaged_cache_of_openml_is_said_in_one_sentence(monkeypatch, error):
    def fetch(name, **options):
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    refused("openml:iris", f"openml:iris@1 can't be read .{type(error).__name__}.: remove it from scikit-learn's cache")


# CSV


def table(path: Path, content: str | bytes) -> Path:
    (path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return path / "t.csv"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,y\n1,0\n2\0,1\n", "zero bytes, as UTF-16 has"),
        (b"a\0,y\n1,0\n2,1\n", "zero bytes, as UTF-16 has"),
        ("a,y\n1,0\n".encode("utf-16"), "is no readable CSV file in UTF-8"),
        ("a,y\n1,0\n".encode("utf-16-le"), "is no readable CSV file in UTF-8"),
        (b"a,y\n1,0\n\xff,1\n", "is no readable CSV file in UTF-8"),
        (b"", "has no rows"),
        (b"\xef\xbb\xbf", "has no rows"),
        (b"\n" * 1000, "has no rows"),
        ('a,y\n"1,0\n' + "2,1\n" * 50_000, "field larger than field limit"),
        ('a,"y\n' + "2,1\n" * 50_000, "field larger than field limit"),
        ("a,y\n" + "x" * 50_000_000 + ",0\n", "field larger than field limit"),
        ("a,y\n" + "1," * 100_000 + "\n", "has 100001 fields in line 2, but its first line names 2 columns"),
        ("n" * 100_000 + ",y\n1,0\n", "has a column name of 100,000 characters, 'nnn.*nnn': shorten it"),
        ("," * 200_000 + "y\n", "has no rows"),
        ("," * 200_000 + "y\n" + "," * 200_000 + "1\n", "has two columns ''"),
        ("a,y\n" + "z" * 2000 + ",0\nq,1\n", "'a' has different texts of up to 2,000 characters, .*--drop a"),
        ("a,y\n0," + "z" * 2000 + "\n1,q\n", "target 'y' has texts of up to 2,000 characters, more than the 1000"),
        ("a,y\n1,0\n(" + " " * 100_000 + "x,1\n5%,0\n", "'a' has different texts of up to 100,002 characters"),
        (",".join(f"c{n}" for n in range(20_000)) + "\n" + ",".join(["7%"] * 19_999) + ",0\n",
         r"has 19,999 columns that can't be features, such as column 'c0' has '7%' in row 0"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) < 80 else f"{len(value)} bytes",
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path, content, sentence):
    refused(table(tmp_path, content), sentence)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    data = jreg.load_dataset(table(tmp_path, b"\xef\xbb\xbfa,y\n1,0\n2,1\n3,0\n4,1\n"), test_size=0)
    assert data.features == ("a",)


def wide(path: Path, columns: int) -> Path:
    names = ",".join(f"c{number}" for number in range(columns))
    return table(path, names + "\n" + "".join(",".join([digit] * columns) + "\n" for digit in "0110"))


def test_a_wide_table_is_read(tmp_path):
    """Its first line is longer than a field may be, which the wrong separator took it for."""
    data = jreg.load_dataset(wide(tmp_path, 20_000), test_size=0)
    assert data.x.shape == (4, 19_999)
    assert (data.x == np.array([[0], [1], [1], [0]])).all()


def test_hundreds_of_thousands_of_labels_make_no_long_sentence(tmp_path):
    path = table(tmp_path, "a,y\n" + "".join(f"{n % 7},k{n}\n" for n in range(100_000)))
    (tmp_path / "test.csv").write_text("a,y\n1,zz\n")
    refused(path, "has 'zz' in row 0, which is none of the labels .* and 99,992 more", test=tmp_path / "test.csv")


def test_a_long_text_of_a_second_table_takes_no_more_room_than_itself(tmp_path):
    """As an array of texts of one length it was 100,000 characters for each row."""
    path = table(tmp_path, "a,y\n" + "0,no\n1,yes\n" * 2)
    second = tmp_path / "second.csv"
    second.write_text("a,y\n" + "0,no\n" * 300_000 + "1," + "z" * 100_000 + "\n")
    refused(path, "second.csv's target 'y' has 'zzz.*zzz' in row 300000, which is none of the labels", test=second)


# memory

_MEMORY = r'''
import json, re, resource, sys
from pathlib import Path
import jreg
import sklearn.model_selection

def peak():
    """Since it was asked for the last time, in MiB."""
    most = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    Path("/proc/self/clear_refs").write_text("5")
    return most

taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
room = 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (taken + room, taken + room))
for path in sorted(Path(sys.argv[1]).iterdir()):
    peak()
    before = peak()
    try:
        options = {"most_categories": 256} if path.stem == "categories" else {}
        found = repr(jreg.load_dataset(path, **options))
    except ValueError as error:
        found = str(error)
    print(json.dumps([path.name, found, peak() - before]), flush=True)
'''


def zeros(size: int, method) -> bytes:
    compressor = method()
    parts = [compressor.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join([*parts, compressor.flush()])


def planted(path: Path, method: int, *members: tuple[str, bytes, int]) -> Path:
    """An archive of members that are compressed already, with the sizes that it is to claim for them."""
    contents, entries, place = [], [], 0
    for name, member, size in members:
        sizes = struct.pack("<HHIIIHH", 0, 0, zlib.crc32(member), len(member), size, len(name), 0)
        start, rest = struct.pack("<4sHHHH", b"PK\x01\x02", 20, 20, 0, method), struct.pack("<HHHII", 0, 0, 0, 0, place)
        entries.append(start + sizes + rest + name.encode())
        contents.append(struct.pack("<4sHHH", b"PK\x03\x04", 20, 0, method) + sizes + name.encode() + member)
        place += len(contents[-1])
    count = min(len(members), 2**16 - 1)
    listed = b"".join(entries)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(listed), place, 0)
    path.write_bytes(b"".join([*contents, listed, end]))
    return path


@pytest.mark.slow
def test_no_file_takes_more_memory_than_is_free(tmp_path):
    """In a process that may take 200 MiB; its peak is measured for each file."""
    size = 2**26
    x, y = claim(f"({size}, 1)", descr="'|u1'"), claim(f"({size},)", descr="'|u1'")
    places = tmp_path / "files"
    places.mkdir()

    def deflated(header: bytes) -> bytes:
        raw = zlib.compressobj(wbits=-15)
        return raw.compress(header) + raw.flush(zlib.Z_FULL_FLUSH) + zeros(size, lambda: zlib.compressobj(wbits=-15))

    bombs = [("x.npy", deflated(x), len(x) + size), ("y.npy", deflated(y), len(y) + size)]
    small = ("y.npy", npy(Y), len(npy(Y)))
    planted(
        places / "bzip2.npz", 12, ("x.npy", bz2.compress(x) + zeros(2**24, bz2.BZ2Compressor), len(x) + size), small
    )
    planted(places / "bomb.npz", 8, *bombs)
    planted(places / "lying.npz", 0, ("x.npy", x + bytes(80), len(x) + size), ("y.npy", y + bytes(80), len(y) + size))
    planted(places / "members.npz", 0, *[(f"{number:060000}.npy", b"", 0) for number in range(300)])
    for kind, length in (("sparse", 2**33), ("rows", 2**33)):
        place = folder_of(places / kind)
        for name in ("x", "y") if kind == "sparse" else ("x",):
            header = claim(f"({length}, 1)" if name == "x" else f"({length},)", descr="'|u1'")
            (place / f"{name}.npy").write_bytes(header)
            os.truncate(place / f"{name}.npy", len(header) + length)
    folder_of(places / "claim", x=claim("(65536, 65536)", bytes(80)))
    (places / "line.csv").write_bytes(b"a,y\n")
    os.truncate(places / "line.csv", 900 * 2**20)
    names = ",".join(f"c{number}" for number in range(100)) + ",y\n"
    rows = "".join(",".join([f"{row % 256:02x}g"] * 100) + f",{row % 2}\n" for row in range(800))
    (places / "categories.csv").write_text(names + rows)
    (places / "fields.csv").write_text("a,y\n" + "1,0\n" * 1_100_000)
    run = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(places)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = {name: (sentence, taken) for name, sentence, taken in map(json.loads, run.stdout.splitlines())}
    sentences = {
        "bzip2.npz": "is compressed by bzip2",
        "bomb.npz": "would take 0.2 GiB of memory, but 0.",
        "lying.npz": "which is not what the file holds",
        "members.npz": "its list of members is too long",
        "sparse": "would take 32.0 GiB of memory, but 0.",
        "rows": "rows has 8589934592 rows in x but 6 in y",
        "claim": "which is not what the file holds",
        "line.csv": "a line of more than 67,108,864 characters",
        "categories.csv": "leave out rows, or by drop=[...] (--drop) columns of many categories, 'c",
        "fields.csv": "fields, for which there is no memory: take fewer rows or columns",
    }
    assert found.keys() == sentences.keys()
    for name, sentence in sentences.items():
        assert sentence in found[name][0], found[name]
        assert "\n" not in found[name][0]
        most = 180 if name.endswith(".csv") else 25
        assert found[name][1] < most, (name, found[name][1])


def test_free_bytes_are_at_most_what_the_machine_says(monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 7)
    assert limits.free_bytes() == 7
    monkeypatch.setattr(limits, "free_memory", lambda: None)
    assert limits.free_bytes() == 16 * 2**30


def test_a_lack_of_memory_is_a_sentence(tmp_path, monkeypatch):
    def nothing(*_):
        raise MemoryError

    monkeypatch.setattr("jreg.data.files._array", nothing)
    monkeypatch.setattr("jreg.data.reading._rows", nothing)
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    refused(tmp_path / "a.npz", "a.npz doesn't fit into the memory that is free: take fewer rows or columns")
    path = table(tmp_path, "a,y\n1,0\n")
    refused(path, "t.csv doesn't fit into the memory that is free")
    with pytest.raises(ValueError, match=r"t.csv doesn't fit into the memory"):
        jreg.data.from_csv(path)


# the command line


def test_the_command_line_says_it_in_one_line(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    folder_of(tmp_path / "mine", x=claim("(65536, 65536)", bytes(80)))
    archive(tmp_path / "twice.npz", ("x.npy", npy(X)), ("y.npy", npy(Y)), ("evil/x.npy", npy(X)))
    for name in ("pipe.csv", "mine", "twice.npz"):
        with pytest.raises(SystemExit) as ended:
            main(["data", str(tmp_path / name)])
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert not said.out
        assert said.err.startswith("jreg: ")
        assert said.err.count("\n") == 1


def test_a_process_ends_with_code_2_and_without_a_traceback(tmp_path):
    deep = archive(tmp_path / "deep.npz", ("x.npy", claim("(" + "1+" * 4000 + "1,)")), ("y.npy", npy(Y)))
    lzma = archive(tmp_path / "lzma.npz", ("x.npy", npy(X)), ("y.npy", npy(Y)), method=zipfile.ZIP_LZMA)
    lzma.write_bytes(lzma.read_bytes().replace(lzma.read_bytes()[60:70], b"\xff" * 10))
    quote = table(tmp_path, 'a,y\n"1,0\n' + "2,1\n" * 50_000)
    before = sorted(tmp_path.iterdir())
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "jreg", "data", str(path)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(jreg.__file__).parents[1])},
        )
        for path in (deep, lzma, quote)
    ]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 2
        assert not out
        assert err.startswith("jreg: ")
        assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


# what is written

FORMULAS = ("=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "\r=1", "'=1", "\uff1d1", "=cmd|' /C calc'!A0")
PLAIN = ("relu", "a=b", "'quoted'", "", "1-2")


def test_no_text_in_a_written_table_is_a_formula(tmp_path):
    columns = (
        Column("train", "loss", "loss"),
        Column("validation", "loss", "loss"),
        *(Column("", "params", name) for name in (*FORMULAS, *PLAIN[:3])),
    )
    spec = Spec(
        data="points",
        rows=6,
        task="classification",
        space=jreg.grid(word=[*FORMULAS, *PLAIN], rate=[-0.5]),
        folds=(FoldRows(0, "validation", np.arange(3), np.arange(3, 6)),),
        seeds=(0,),
        epochs=1,
        batch_size=2,
        block=3,
        stopping=None,
        warm=None,
        score=columns[1],
        columns=columns,
        keep=(),
        versions={},
    )
    results = Results(spec)
    history = -np.arange(1, len(columns) + 1, dtype=np.float32)[None]
    places = range(len(spec.settings))
    results.add([Found(place, 0, 0, "validation", Status.COMPLETED, 1, 0, history - place, {}) for place in places])
    store.write(tmp_path, results)
    read = {}
    for name in ("settings", "trainings", "curves"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            read[name] = list(csv.reader(file))
        for text in (text for row in read[name] for text in row if not text[:1].isdigit()):
            try:
                float(text)
            except ValueError:
                assert not text.startswith(tuple("=+-@\t\r\uff1d")), text
    words = [row[read["trainings"][0].index("param_word")] for row in read["trainings"][1:]]
    assert words == [*(f"'{text}" for text in FORMULAS), *PLAIN]
    # Numbers stay numbers.
    assert {row[read["trainings"][0].index("param_rate")] for row in read["trainings"][1:]} == {"-0.5"}
    loaded = jreg.load_results(tmp_path)
    assert loaded.labels == results.labels
    np.testing.assert_array_equal(loaded.get(3, 0, 0).history, history - 3)
    assert [setting["word"] for setting in loaded.spec.settings] == [*FORMULAS, *PLAIN]
