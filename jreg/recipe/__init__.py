"""Recipes: what a training is made of, as a function of its hyperparameters."""

from jreg.recipe.building import (
    Hyperparameters,
    build,
    check_read,
    describe,
    extremes,
    naming,
    takes_steps,
)
from jreg.recipe.recipe import Metrics, Recipe, Steps

__all__ = [
    "Hyperparameters",
    "Metrics",
    "Recipe",
    "Steps",
    "build",
    "check_read",
    "describe",
    "extremes",
    "naming",
    "takes_steps",
]
