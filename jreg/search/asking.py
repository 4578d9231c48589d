"""Searches that choose each setting by the results before it: the protocol `Asker`, and Optuna as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from jreg.search.space import Setting

Ending = Literal["complete", "pruned", "failed"]


class Asker(Protocol):
    """What `jreg.optimize` asks for settings and tells their results."""

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        """A trial, which may be any object, and its setting, with the same names each time."""
        ...

    def report(self, trial: Any, epoch: int, score: float) -> bool:
        """Receives the mean score after `epoch` epochs, at least 1; returns whether the trial goes on."""
        ...

    def tell(self, trial: Any, score: float | None, ending: Ending) -> None:
        """Receives how the trial ended; there is no score unless it is complete."""
        ...

    def check(self, maximize: bool) -> None:
        """Raises ValueError where its direction is not the score's."""
        ...


class Optuna:
    """An Optuna study as what `jreg.optimize` asks: its samplers choose settings, its pruners give trials up.

    Args:
      study: what ``optuna.create_study`` returned.
      suggest: a function of an Optuna trial that returns a setting; floating values are traced, others static.

    Raises:
      TypeError: `study` has no ask and tell, or `suggest` is no function.

    .. code-block:: python

       def suggest(trial):
           return {"l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True), "width": trial.suggest_int("width", 16, 64)}

       asker = jreg.Optuna(optuna.create_study(direction="maximize"), suggest)

    Source: Akiba, Sano, Yanase, Ohta and Koyama, Optuna (2019).
    """

    def __init__(self, study: Any, suggest: Callable[[Any], Mapping[str, Any]]):
        if not (callable(getattr(study, "ask", None)) and callable(getattr(study, "tell", None))):
            raise TypeError(f"Optuna's study is a {type(study).__name__}, but must come from optuna.create_study")
        if not callable(suggest):
            raise TypeError(f"suggest is a {type(suggest).__name__}, but must be a function of an Optuna trial")
        self._study, self._suggest = study, suggest

    def ask(self) -> tuple[Any, Setting]:
        """A trial of Optuna's and the setting that it suggests."""
        trial = self._study.ask()
        setting = self._suggest(trial)
        if not isinstance(setting, Mapping):
            raise TypeError(f"suggest returned {setting!r}, but must return a setting, such as {{'l2': 0.1}}")
        return trial, dict(setting)

    def report(self, trial: Any, epoch: int, score: float) -> bool:
        """Reports the score as the intermediate value of this step."""
        trial.report(score, epoch)
        return not trial.should_prune()

    def tell(self, trial: Any, score: float | None, ending: Ending) -> None:
        """Ends the trial as complete, pruned or failed."""
        from optuna.trial import TrialState  # the extra optuna

        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[ending]
        try:
            self._study.tell(trial, score, state=state)
        except RuntimeError:
            # GridSampler stops the loop of Study.optimize after its last point, and there is none here: the state
            # has been written all the same. https://github.com/optuna/optuna/issues/4121
            if self._study.trials[trial.number].state != state:
                raise

    def check(self, maximize: bool) -> None:
        """Raises ValueError when Optuna's direction is not the score's, or there are several."""
        wanted = "maximize" if maximize else "minimize"
        directions = [direction.name.lower() for direction in self._study.directions]
        if len(directions) > 1:
            raise ValueError(
                f"Optuna's study has the directions {', '.join(directions)}, but there is one score: create it with "
                f"direction={wanted!r}"
            )
        (direction,) = directions
        if direction != wanted:
            raise ValueError(f"Optuna's study has direction={direction!r}, but the score needs {wanted!r}")
