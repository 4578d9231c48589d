"""The source as a whole: who imports whom, and what nobody may do."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jreg"
PAGE = Path(__file__).parents[1] / "docs" / "concepts.md"
# A row of the page's table of levels, and a line of its list of exceptions.
LEVEL = re.compile(r"^\| (\d+) \| ([^|]+) \|", re.MULTILINE)
EXCEPTION = re.compile(r"^- `(\w+) -> (\w+)`:", re.MULTILINE)
# The level of each room, and the arrows inside a level that the page names.
LEVELS = {room: int(row[1]) for row in LEVEL.finditer(PAGE.read_text()) for room in re.findall(r"`(\w+)`", row[2])}
EXCEPTIONS = {(found[1], found[2]) for found in EXCEPTION.finditer(PAGE.read_text())}
# Half a second each, which a run that doesn't need them shouldn't pay.
LATE = {"optuna", "IPython", "sklearn", "matplotlib", "rich", "pooch", "scipy", "pandas", "dm_pix", "grain"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The package's own __init__ has the name "" and comes last of all: it only gathers public names.
TREES = {name_of(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere; for ``from a import b`` a.b, and a where b is no module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names
            if any(name.removeprefix("jreg.") not in TREES for name in names):
                found.add(node.module)
    return found


def own(tree: ast.AST) -> set[str]:
    """The modules of jreg that are imported, "" for jreg itself."""
    found = set()
    for name in imports(tree):
        if name.startswith("jreg.") and name.removeprefix("jreg.") in TREES:
            found.add(name.removeprefix("jreg."))
    if any(isinstance(node, ast.Import) and any(a.name == "jreg" for a in node.names) for node in ast.walk(tree)):
        found.add("")
    # ``from jreg import grid`` takes a name of the package itself.
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "jreg":
            found |= {"" for alias in node.names if alias.name not in TREES}
    return found


def room(name: str) -> str:
    return name.split(".")[0]


def at_run_time(tree: ast.Module) -> ast.Module:
    """The module without what is imported for types alone."""
    return ast.Module([node for node in tree.body if "TYPE_CHECKING" not in ast.unparse(node)[:20]], [])


def faults(name: str, targets: set[str]) -> list[str]:
    """What is wrong with the imports of a module."""
    found = []
    for target in sorted(targets):
        if target == "":
            # The command line, on top, uses what a user does.
            if room(name) != "cli":
                found.append(f"{name} imports jreg itself")
        elif room(target) != room(name):
            upwards = LEVELS[room(target)] >= LEVELS[room(name)]
            if upwards and (room(name), room(target)) not in EXCEPTIONS:
                found.append(f"{name} (level {LEVELS[room(name)]}) imports {target} (level {LEVELS[room(target)]})")
            if any(part.startswith("_") for part in target.split(".")[1:]):
                found.append(f"{name} imports {target}, which is private to its folder")
    return found


def test_every_room_has_a_level_and_every_level_a_room():
    assert {room(name) for name in TREES} - {"", "__main__"} == set(LEVELS)


@pytest.mark.parametrize("name", sorted(set(TREES) - {"", "__main__"}))
def test_a_module_imports_only_from_lower_levels_and_nothing_private(name):
    assert not faults(name, own(TREES[name]))


def test_the_exceptions_are_needed_and_inside_a_level():
    arrows = {(room(name), room(target)) for name in set(TREES) - {"", "__main__"} for target in own(TREES[name])}
    assert arrows >= EXCEPTIONS
    assert all(LEVELS[one] == LEVELS[other] and (other, one) not in arrows for one, other in EXCEPTIONS)


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_no_circle_inside_a_folder(name):
    inside = {module: own(at_run_time(tree)) for module, tree in TREES.items() if room(module) == name}
    # `from jreg.folder import names` goes through the folder's __init__, which must then come after all of them.
    left = {module: {t for t in targets if room(t) == name and t != module} for module, targets in inside.items()}
    while free := [module for module, targets in left.items() if not targets & set(left)]:
        for module in free:
            del left[module]
    assert not left, f"these import each other: {left}"


def test_the_check_sees_an_import_from_above():
    tree = ast.parse(
        "def f():\n    from jreg.study import refit\n    from jreg import recipe, grid\n    import jreg.cli"
    )
    assert own(tree) == {"study.refit", "recipe", "", "cli"}
    assert faults("training.step", {"study.refit"}) == ["training.step (level 4) imports study.refit (level 8)"]
    assert faults("training.step", {"nn._parts"}) == ["training.step imports nn._parts, which is private to its folder"]
    assert faults("metrics", {"losses"}) == ["metrics (level 1) imports losses (level 1)"]


def due(tree: ast.AST, version: tuple[int, ...]) -> list[str]:
    """The deprecations in a module whose version of removal has come."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "deprecated"]
    named = [(call, {word.arg: ast.literal_eval(word.value) for word in call.keywords}["removed_in"]) for call in calls]
    return [ast.unparse(call) for call, when in named if tuple(map(int, when.split("."))) <= version]


@pytest.mark.parametrize("name", TREES)
def test_no_deprecation_is_due(name):
    version = re.match(r"(\d+)\.(\d+)", re.search(r'__version__ = "(.+)"', (ROOT / "__init__.py").read_text())[1])
    assert not due(TREES[name], tuple(map(int, version.groups())))


def test_a_deprecation_that_is_due_is_found():
    tree = ast.parse('def old():\n    deprecated("jreg.old", "jreg.new", removed_in="0.3")')
    assert due(tree, (0, 2)) == []
    assert len(due(tree, (0, 3))) == len(due(tree, (1, 0))) == 1


@pytest.mark.parametrize("name", TREES)
def test_flax_is_imported_by_nn_alone(name):
    assert (
        room(name) == "nn"
        or name == "models.nnx"
        or not any(module.split(".")[0] == "flax" for module in imports(TREES[name]))
    )


@pytest.mark.parametrize("name", TREES)
def test_nothing_private_or_dangerous_is_used(name):
    modules = imports(TREES[name])
    assert not any(module.startswith("jax._src") for module in modules)
    assert not {module.split(".")[0] for module in modules} & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "__import__", "jax.pmap", "pmap", "np.load", "numpy.load")
            assert not called.endswith(("pickle.load", "pickle.loads"))
            assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)
            # A recipe file is the user's own code; nothing else is run.
            assert room(name) == "cli" or not called.endswith(".exec_module")


@pytest.mark.parametrize("name", TREES)
def test_slow_imports_happen_inside_functions(name):
    if room(name) == "estimators":
        # They are scikit-learn's, and nothing else imports them.
        return
    inside = {
        node
        for function in ast.walk(TREES[name])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in inside:
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {str(module).split(".")[0] for module in modules} & LATE, f"line {node.lineno}"


@pytest.mark.parametrize("name", TREES)
def test_every_module_says_what_it_is_and_stays_short(name):
    assert ast.get_docstring(TREES[name])
    path = ROOT.joinpath(*name.split(".")) if name else ROOT
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(path.read_text().splitlines()) <= 300


def test_the_public_names_exist_and_are_sorted_out():
    import jreg

    assert len(set(jreg.__all__)) == len(jreg.__all__)
    assert all(hasattr(jreg, name) for name in jreg.__all__)
