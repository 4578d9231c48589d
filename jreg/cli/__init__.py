"""The command line."""

from jreg.cli.commands import main
from jreg.cli.recipes import load_recipe

__all__ = ["load_recipe", "main"]
