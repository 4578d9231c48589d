"""What all parts of the page look at: results, what lies beside them, and the settings that are shown."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jreg.network import Network
from jreg.recipe import describe
from jreg.report.canvas import Scored
from jreg.report.pictures import marked, scored
from jreg.report.text import error, number
from jreg.results import Check, Results, SettingResult, check, selection

# More settings than a page shows; the best ones and the marked ones are never left out.
MOST = 1000
# Of more settings a point says its number and its score; what they are is in the table.
_MOST_NAMED = 200


class Predictions(NamedTuple):
    """Predictions for rows that the networks didn't see, as a report shows them.

    Attributes:
      targets: ``(n, ...)``: class numbers, flags of labels, or values.
      predictions: ``(n, ...)``, of the same form.
      probabilities: ``(n, K)`` of the classes or labels; None where there are none.
      task: of the data.
      classes: their names; () where they have none.
      of: what predicted, in words.
    """

    targets: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray | None
    task: str
    classes: tuple[str, ...] = ()
    of: str = "the best setting"


class Beside(NamedTuple):
    """What a report shows beside results, as far as it is there.

    Attributes:
      final: the network that was trained on all rows.
      predictions: of the best setting, out of fold.
      image: the shape of one example, where examples are images: ``(height, width)`` or with channels.
      command: that the study was begun with.
    """

    final: Network | None = None
    predictions: Predictions | None = None
    image: tuple[int, ...] = ()
    command: str = ""


class View:
    """What the parts of a page show.

    Args:
      results: of the study.
      beside: what there is beside them.
    """

    def __init__(self, results: Results, beside: Beside):
        self.results, self.beside, self.spec = results, beside, results.spec
        self.score = results.spec.score.label

    @functools.cached_property
    def scored(self) -> Scored:
        """The scores as pictures show them; there has to be a best setting."""
        return scored(self.results)

    @functools.cached_property
    def marks(self) -> dict[str, SettingResult]:
        """The settings that are named: the best, the one-standard-error rule's, the worst."""
        return marked(self.results)

    @functools.cached_property
    def shown(self) -> list[int]:
        """The numbers of the settings that are shown, from the best to the worst."""
        order = selection.order(self.results)
        wanted = {found.number for found in self.marks.values()} if self.results.finished else set()
        return [*order[:MOST].tolist(), *(n for n in order[MOST:].tolist() if n in wanted)]

    @functools.cached_property
    def varied(self) -> list[str]:
        """The hyperparameters that have more than one value."""
        return [name for name, values in self.spec.space.axes.items() if len(values) > 1]

    @functools.cached_property
    def checks(self) -> list[Check]:
        """What to look at before trusting the study."""
        return check(self.results)

    def setting(self, place: int) -> str:
        """A setting in words: what tells it from the others."""
        given: Mapping[str, Any] = self.spec.settings[place]
        return describe({name: given[name] for name in self.varied} or given) or f"setting {place}"

    def measured(self, place: int) -> str:
        """The mean score of a setting and its standard error, in words."""
        means, errors = selection.means(self.results)
        return plus_minus(means[place], errors[place])

    def title(self, place: int) -> str:
        """What is said of a setting where one points at it."""
        if len(self.spec.settings) > _MOST_NAMED:
            return f"setting {place}: {self.measured(place)}"
        return f"setting {place}: {self.setting(place)}\n{self.score} {self.measured(place)}"


def plus_minus(mean: float, spread: float) -> str:
    """A mean and its standard error where it has one.

    >>> plus_minus(0.9, 0.012), plus_minus(0.9, float("nan"))
    ('0.9000 ± 0.0120', '0.9000')
    """
    return f"{number(mean)} ± {error(spread)}" if np.isfinite(spread) else number(mean)
