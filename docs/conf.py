"""The documentation's build; it needs no network."""

import functools
import html
import inspect
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

import jreg

project = "jreg"
author = "the authors of jreg"
release = version = jreg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
# What is copied is what is typed, without prompts.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path, html_css_files = ["_static"], ["tables.css"]
html_title = f"jreg {release}"
# Names in single backticks become links where they are documented, and stay code elsewhere.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Array", "Axis", "Key", "PyTree", "Scalar", "Where")}
napoleon_numpy_docstring = False
# Attributes are described in the class and not once more for each property of the same name.
napoleon_use_ivar = True

# A name of jreg's own that leads nowhere is an error; those of parameters and other libraries are not looked up.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!jreg\.).*")]
# What an encoder hands to the modules around it.
nitpick_ignore = [("py:class", "jreg.data._forms.Form"), ("py:class", "jreg.data.reading.Table")]
# Packages whose names are documented as theirs and not as those of the files inside.
PACKAGES = (
    "jreg.engine",
    "jreg.metrics",
    "jreg.models",
    "jreg.network",
    "jreg.results",
    "jreg.search",
    "jreg.store",
    "jreg.statistics",
    "jreg.augment",
    "jreg.data",
    "jreg.losses",
    "jreg.mixing",
    "jreg.nn",
    "jreg.objective",
    "jreg.penalties",
    "jreg.projections",
    "jreg.recipe",
    "jreg.report",
    "jreg.stochastic",
    "jreg.study",
    "jreg.training",
    "jreg.transforms",
)


# What latex2mathml lacks, and bars that would be operators with space around them, in words that it has.
TEX = {
    r"\\arg\b": r"\\operatorname{arg}",
    r"\\Big\\lceil": r"\\Big⌈",
    r"\\Big\\rceil": r"\\Big⌉",
    r"(?<!\\left)\\l([vV])ert": r"\\left\\l\1ert",
    r"(?<!\\right)\\r([vV])ert": r"\\right\\r\1ert",
}
# A command or a line break that it doesn't know stays in the formula.
UNKNOWN = re.compile(r'\\[A-Za-z]+|<mi>&</mi>|linebreak="newline"')


def write_formula(translator: Any, node: nodes.Element) -> None:
    """Writes a formula as MathML, which browsers show without JavaScript or fonts from elsewhere."""
    tex, display = node.astext().strip(), "block" if isinstance(node, nodes.math_block) else "inline"
    known = functools.reduce(lambda text, name: re.sub(name, TEX[name], text), TEX, tex)
    mathml = convert(known, display=display)
    if unknown := UNKNOWN.search(mathml):
        logging.getLogger(__name__).warning("no MathML for %s in the formula %s", unknown[0], tex, location=node)
    mathml = mathml.replace("<math ", f'<math alttext="{html.escape(tex)}" ', 1)
    translator.body.append(mathml)
    raise nodes.SkipNode


def home(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Leads `jreg.grid` to `jreg.search.grid` and `jreg.keep` to `jreg.training.keep`, where they are documented."""
    _, _, path = node.get("reftarget", "").rpartition("jreg.")
    name, _, rest = path.partition(".")
    if node.get("refdomain") != "py" or name not in jreg.__all__:
        return None
    value = getattr(jreg, name)
    if inspect.ismodule(value):
        target = value.__name__
    else:
        module = getattr(value, "__module__", "jreg")
        target = f"{next((package for package in PACKAGES if module.startswith(package + '.')), module)}.{name}"
    targets = [f"{target}.{rest}" if rest else target]
    # A method that is inherited is documented where it is defined.
    owners = [owner for owner in getattr(value, "__mro__", ()) if rest in vars(owner)]
    targets += [f"{owner.__module__}.{owner.__qualname__}.{rest}" for owner in owners]
    resolve = functools.partial(env.domains["py"].resolve_xref, env, node["refdoc"], app.builder, "obj")
    return next((found for one in targets if (found := resolve(one, node, content)) is not None), None)


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leaves out fields of named tuples, which their class describes, and what Flax and scikit-learn add to theirs."""
    del app, what, options
    if name.startswith("set_") and name.endswith("_request"):
        return True
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") or name in ("name", "parent", "scope") else skipped


def without_addresses(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Shows a function that is a default by its name and not by where it lies in memory."""
    del app, what, name, obj, options
    if signature:
        signature = re.sub(r"<function (?:\w+\.<locals>\.)*(\w+)[^>]*>|<factory>", r"\1", signature)
        # Every Linen module has these two.
        signature = re.sub(r", parent: .*\)$", ")", signature)
    alias = functools.partial(re.sub, r"TypeAliasForwardRef\('(\w+)'\)", r"\1")
    return signature and alias(signature), returns and alias(returns)


def join_names(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keeps attributes that share a description together; Sphinx would take all but the last for a type."""
    del app, what, name, obj, options
    for number, line in enumerate(lines):
        shared = re.match(r":ivar ((?:\w+, )+\w+):", line)
        if shared:
            lines[number] = line.replace(shared[1], shared[1].replace(" ", ""), 1)


def setup(app: Sphinx) -> None:
    """Connects the functions above."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("missing-reference", home)
    app.connect("autodoc-skip-member", skip)
    # After napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", join_names, priority=600)
    app.connect("autodoc-process-signature", without_addresses)
