"""The command line."""

from jreg.cli.commands import load_recipe, main

__all__ = ["load_recipe", "main"]
