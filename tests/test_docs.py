"""The documentation: every public name is on an API page, every name it links exists, and its examples run."""

import importlib
import inspect
import json
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

import jreg

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
API = sorted((DOCS / "api").glob("*.md"))
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
AUTODOC = re.compile(r"^\.\. auto(\w+):: (\S+)((?:\n   :[^\n]*)*)", re.MULTILINE)


def found(path):
    """The object that a dotted name leads to."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            value = getattr(value, name)
        return value
    raise AssertionError(f"nothing is called {path}")


def public(module):
    """The public functions and classes that a module defines, or that a package gathers in __all__."""
    names = getattr(module, "__all__", vars(module))
    values = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {
        name: value
        for name, value in values.items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and (value.__module__ == module.__name__ or value.__module__.startswith(module.__name__ + "."))
    }


MODULES = sorted(f"jreg.{m.name}" for m in pkgutil.iter_modules(jreg.__path__) if not m.name.startswith("_"))


def documented():
    """What the directives on the API pages show, members included."""
    shown = []
    for page in API:
        for kind, path, options in AUTODOC.findall(page.read_text()):
            value = found(path)
            members = kind == "module" and ":members:" in options
            if members and hasattr(value, "__all__"):
                assert ":imported-members:" in options, f"{page.name}: {path} shows nothing without :imported-members:"
            shown += [value, *(public(value).values() if members else ())]
    return shown


def test_every_public_name_is_on_an_api_page():
    shown = {id(value) for value in documented()}
    names = {f"jreg.{name}": getattr(jreg, name) for name in jreg.__all__}
    for module in MODULES:
        names |= {f"{module}.{name}": value for name, value in public(importlib.import_module(module)).items()}
    assert len(names) > len(jreg.__all__) + len(MODULES)
    missing = sorted(name for name, value in names.items() if id(value) not in shown)
    assert not missing, "add them to a page in docs/api"


def test_what_jreg_exports_is_in_the_table_of_the_api_index():
    table = (DOCS / "api" / "index.md").read_text()
    listed = re.findall(r"^\| \{py:\w+\}`jreg\.(\w+)`", table, re.MULTILINE)
    assert sorted(listed) == sorted(jreg.__all__)


def test_every_api_page_is_in_the_table_of_contents():
    toctree = re.search(r"```\{toctree\}(.*?)```", (DOCS / "api" / "index.md").read_text(), re.DOTALL)[1]
    pages = [line for line in toctree.split("\n") if line and not line.startswith(":")]
    assert sorted(pages) == sorted(page.stem for page in API if page.stem != "index")


@pytest.mark.parametrize("page", [*PAGES, *API], ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_backticks_exist(page):
    for name in re.findall(r"[`<](jreg(?:\.[A-Za-z_]\w*)+)(?:\(\))?>?`", page.read_text()):
        found(name)


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [p for group in project["dependency-groups"].values() for p in group if isinstance(p, str)]
    wanted = project["project"]["dependencies"] + groups + project["build-system"]["requires"]
    rows = re.findall(r"^\| ([a-z][\w-]*) \|", (DOCS / "dependencies.md").read_text(), re.MULTILINE)
    assert {re.match(r"[\w-]+", package)[0] for package in wanted} == set(rows) - {"package"}


def script(page):
    """A page's blocks marked ``python`` as one script with the page's line numbers."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        if block[1] == "python":
            first = text.count("\n", 0, block.start(2))
            code = block[2].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


def test_the_script_of_a_page_keeps_line_numbers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\na = 1\n```\n\n```py\nb = 2\n```\n\n```python\nc = 3\n```\n")
    lines = script(page).split("\n")
    assert (lines[3], lines[11]) == ("a = 1", "c = 3")
    assert "".join(lines) == "a = 1c = 3"


RUNNABLE = [page for page in PAGES if script(page).strip()]


# Two minutes of studies; the tutorial's are the README's at more length, which docs/pictures.py runs for its picture.
LONG = {
    "README.md",
    "augmentation.md",
    "catalogue.md",
    "extending.md",
    "gallery.md",
    "how-to.md",
    "index.md",
    "large-members.md",
    "migrating.md",
    "networks.md",
    "reliability.md",
    "several-arrays.md",
    "tutorial.md",
}


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow if p.name in LONG else (), id=p.name) for p in RUNNABLE]
)
def test_the_examples_of_a_page_run(page, tmp_path):
    # A process of its own, because the pages call use_cpu_devices and are to run as a reader would run them.
    path = tmp_path / f"{page.stem}.py"
    path.write_text(script(page))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, path.name], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{page.name}, with the page's line numbers:\n{done.stderr}"


# By page: the words that stand for a picture, and its file.
PICTURES = {
    page: [
        (words, (page.parent / link).resolve())
        for words, link in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", page.read_text())
    ]
    for page in PAGES
}


def is_ours(picture):
    return picture.parent == DOCS / "images"


def test_every_picture_exists_and_has_words_that_say_what_is_on_it():
    shown = [picture for pictures in PICTURES.values() for picture in pictures]
    assert len(shown) > 5
    for words, picture in shown:
        assert picture.is_file(), picture
        assert len(words.split()) > 5, picture


@pytest.mark.parametrize("drawing", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_is_read_in_light_and_dark_and_aloud(drawing):
    page = drawing.read_text()
    root = ElementTree.fromstring(page)
    tag = "{http://www.w3.org/2000/svg}"
    left, top, width, height = map(float, root.get("viewBox").split())
    assert root.find(f"{tag}title").text
    assert root.find(f"{tag}desc").text
    assert "@media (prefers-color-scheme: dark)" in page
    # Nothing comes from elsewhere, and nothing begins outside the picture.
    assert set(re.findall(r"(?:href|src)=|https?://[^\s\"]+", page)) == {"http://www.w3.org/2000/svg"}
    for shape in [*root.iter(f"{tag}rect"), *root.iter(f"{tag}text")]:
        x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
        assert left <= x <= x + float(shape.get("width", 0)) <= left + width
        assert top <= y <= y + float(shape.get("height", 0)) <= top + height


def test_every_picture_is_drawn_by_the_code_of_its_page():
    drawn = runpy.run_path(str(DOCS / "pictures.py"))["PICTURES"]
    for picture, (page, path) in drawn.items():
        assert f'"{path}"' in script(ROOT / page)
        assert DOCS / "images" / picture in {link for _, link in PICTURES[ROOT / page]}
    shown = {
        link.relative_to(DOCS / "images").name for links in PICTURES.values() for _, link in links if is_ours(link)
    }
    assert {name for name in shown if name.endswith(".png")} == set(drawn)
    assert shown == {file.name for file in (DOCS / "images").iterdir()}


def test_the_pages_with_examples_are_found():
    assert {"tutorial.md", "how-to.md", "extending.md"} <= {page.name for page in RUNNABLE}


@pytest.mark.slow
def test_recipe_file_of_the_how_to_runs_on_the_command_line(tmp_path):
    blocks = [block[2] for block in BLOCK.finditer((DOCS / "how-to.md").read_text()) if block[1] == "python"]
    (recipe,) = [block for block in blocks if "def recipe(hp)" in block and "\nspace = " in block]
    (tmp_path / "my_recipe.py").write_text(recipe)
    command = [sys.executable, "-m", "jreg", "sweep", "my_recipe.py", "--data", "wine", "--epochs", "2", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (DOCS / "command-line.md").read_text()
    result = json.loads(done.stdout)
    for key in [*result, *result["settings"][0]]:
        assert f"`{key}`" in page
    for file in (tmp_path / "runs" / "wine").iterdir():
        assert f"`{file.name}`" in page


@pytest.mark.parametrize(
    "family",
    ["penalties", "projections", "prox", "transforms", "stochastic", "augment", "mixing", "nn", "losses"],
)
def test_the_catalogue_has_every_member_of_a_family(family):
    rows = re.findall(r"^\| (.*?) \|", (DOCS / "catalogue.md").read_text(), re.MULTILINE)
    names = {code.split(".")[-1] for row in rows for code in re.findall(r"`([^`]+)`", row)}
    assert sorted(set(public(importlib.import_module(f"jreg.{family}"))) - names) == []
