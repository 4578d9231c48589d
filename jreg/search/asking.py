"""Searches that choose each setting by the results before it: the protocol `Asker`, and Optuna as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from jreg._base.names import shown
from jreg.search.space import Setting

# What Optuna's trials say of the process that has asked for them, and of one with a training that diverged.
_OWNER, _FAILED = "jreg", "jreg_failed"
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


@runtime_checkable
class SharedAsker(Asker, Protocol):
    """An `Asker` of which several processes ask, and that remembers their trials when they have ended.

    Attributes:
      shared: whether they do; where it is False it is an `Asker` like any.
    """

    shared: bool

    def ask_within(self, trials: int, owner: Mapping[str, str]) -> tuple[Any, Mapping[str, Any]] | None:
        """As `ask`, for a process that is `owner`; None where all processes together have `trials` trials."""
        ...

    def name(self, trial: Any) -> int:
        """What `recall` finds a trial by."""
        ...

    def recall(self, name: int) -> Any:
        """A trial that an earlier process asked for and that goes on in this one."""
        ...

    def drop(self, trial: Any) -> None:
        """Ends a trial as failed and never asked for."""
        ...

    def forget(self, owner: Mapping[str, str], names: Collection[int]) -> None:
        """Drops the open trials of `owner` but for these."""
        ...


class Optuna:
    """An Optuna study as what `jreg.optimize` asks: its samplers choose settings, its pruners give trials up.

    With `storage` several processes, on one machine or many, search together. `trials` is then how many trials they
    have in all, each asks while a slot of its own is free, and samplers and pruners see the trials of all. A process
    that ends in the middle leaves trials in the state RUNNING, and goes on with them when it is started again with its
    `store`. Where it won't come back, tell Optuna that they have failed: another trial is asked for in the place of
    each. Trials whose training diverged count.

    Args:
      study: what ``optuna.create_study`` returned.
      suggest: a function of an Optuna trial that returns a setting; floating values are traced, others static.
      storage: the one that `study` was created with, where other processes share it: Optuna's ``JournalStorage`` of a
        file or ``RDBStorage`` of a database. The sampler is reseeded, since processes with one seed, or one that goes
        on, would ask for the same settings.

    Raises:
      TypeError: `study` has no ask and tell, `suggest` is no function, or `storage` is none of Optuna's.
      KeyError: `storage` doesn't have the study.

    .. code-block:: python

       def suggest(trial):
           return {"l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True), "width": trial.suggest_int("width", 16, 64)}

       asker = jreg.Optuna(optuna.create_study(direction="maximize"), suggest)

    Source: Akiba, Sano, Yanase, Ohta and Koyama, Optuna (2019).
    """

    def __init__(self, study: Any, suggest: Callable[[Any], Mapping[str, Any]], storage: Any = None):
        if not (callable(getattr(study, "ask", None)) and callable(getattr(study, "tell", None))):
            raise TypeError(f"Optuna's study is a {type(study).__name__}, but must come from optuna.create_study")
        if not callable(suggest):
            raise TypeError(f"suggest is a {type(suggest).__name__}, but must be a function of an Optuna trial")
        if storage is not None and not callable(getattr(storage, "get_trial_id_from_study_id_trial_number", None)):
            raise TypeError(
                f"Optuna's storage is {shown(storage)}, but must be the object that optuna.create_study was given, "
                "such as optuna.storages.JournalStorage(...)"
            )
        self._study, self._suggest, self._storage = study, suggest, storage
        self.shared = storage is not None
        if self.shared:
            study.sampler.reseed_rng()
        self._id = storage.get_study_id_from_name(study.study_name) if self.shared else None
        # By the number of a trial that is gone on with, the epochs that have been reported.
        self._reported: dict[int, set[int]] = {}

    def ask(self) -> tuple[Any, Setting]:
        """A trial of Optuna's and the setting that it suggests."""
        return self._suggested(self._study.ask())

    def _suggested(self, trial: Any) -> tuple[Any, Setting]:
        setting = self._suggest(trial)
        if not isinstance(setting, Mapping):
            raise TypeError(f"suggest returned {setting!r}, but must return a setting, such as {{'l2': 0.1}}")
        return trial, dict(setting)

    def report(self, trial: Any, epoch: int, score: float) -> bool:
        """Reports the score as the intermediate value of this step."""
        if (state := getattr(trial, "state", None)) is not None:
            # Gone on with, and ended already.
            return state.name != "FAIL"
        if epoch in self._reported.get(trial.number, ()):
            return not trial.should_prune()
        try:
            trial.report(score, epoch)
        except RuntimeError:
            # Somebody has ended it by hand, and another one takes its place.
            if not self.shared:
                raise
            return False
        return not trial.should_prune()

    def tell(self, trial: Any, score: float | None, ending: Ending) -> None:
        """Ends the trial as complete, pruned or failed."""
        from optuna.trial import TrialState  # the extra optuna

        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[ending]
        # One that is gone on with may have been told before its process could store that.
        if self.shared and self._study.get_trials(deepcopy=False)[trial.number].state.is_finished():
            return
        if self.shared and ending == "failed":
            trial.set_user_attr(_FAILED, True)
        try:
            self._study.tell(trial, score, state=state)
        except RuntimeError:
            # GridSampler stops the loop of Study.optimize after its last point, and there is none here: the state
            # has been written all the same. https://github.com/optuna/optuna/issues/4121
            if self._study.trials[trial.number].state != state:
                raise

    def ask_within(self, trials: int, owner: Mapping[str, str]) -> tuple[Any, Setting] | None:
        """As `ask`, where fewer than `trials` trials of all processes count; else None."""
        if len(self._counting()) >= trials:
            return None
        trial = self._study.ask()
        # Others may have asked at the same time: the trials with the lowest numbers are the ones that count.
        if sum(number < trial.number for number in self._counting()) >= trials:
            self.drop(trial)
            return None
        trial.set_user_attr(_OWNER, dict(owner))
        return self._suggested(trial)

    def _counting(self) -> list[int]:
        """The numbers of the trials that count."""
        return [
            trial.number
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.name in ("RUNNING", "COMPLETE", "PRUNED") or trial.user_attrs.get(_FAILED)
        ]

    def drop(self, trial: Any) -> None:
        """Ends a trial as failed and never asked for."""
        from optuna.trial import TrialState  # the extra optuna

        self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def name(self, trial: Any) -> int:
        """Its number."""
        return trial.number

    def recall(self, name: int) -> Any:
        """The trial of a number, as `ask` has returned it to an earlier process."""
        from optuna.trial import Trial  # the extra optuna

        found = self._study.get_trials(deepcopy=False)[name]
        self._reported[name] = set(found.intermediate_values)
        if found.state.is_finished():
            return found
        return Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(self._id, name))

    def forget(self, owner: Mapping[str, str], names: Collection[int]) -> None:
        """Drops what a process has asked for and that it doesn't know of, since it was killed in that moment."""
        for trial in self._study.get_trials(deepcopy=False):
            own = trial.user_attrs.get(_OWNER, {}).get("id") == owner["id"]
            if own and trial.state.name == "RUNNING" and trial.number not in names:
                self.drop(trial.number)

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
