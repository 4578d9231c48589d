"""Going on with a study that another process began."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreg._base.names import listed
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.results import Spec
from jreg.search.asking import Asker
from jreg.search.racing import Race, hyperband, paired_elimination, successive_halving
from jreg.search.space import Space
from jreg.store import Folder, folder_or_nowhere, load_spec
from jreg.study.cross_validation import cross_validate
from jreg.study.going_on import described
from jreg.study.optimization import optimize
from jreg.study.stopping_rows import together
from jreg.study.study import Study
from jreg.training import Keep
from jreg.training import keep as keeping


def resume(
    store: str | Path | Folder,
    recipe: Callable[..., Recipe],
    data: Dataset,
    *,
    space: Space | Iterable[Mapping[str, Any]] | None = None,
    race: Race | None = None,
    asker: Asker | None = None,
    keep: Sequence[Keep] | None = None,
    layout: Layout | None = None,
    timeout: float | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Study:
    """Trains what a stored study asks and is missing: settings, folds, seeds and options come from the store.

    Trainings that were under way go on from the last checkpoint. On the same machine the results are those of a study
    that was never interrupted, bit for bit.

    Args:
      store: the folder of the study.
      recipe: what it was trained with.
      data: what it was trained on.
      space: its space; needed where a hyperparameter is a function, which a file can't hold.
      race: its race; needed where that is none of jreg's own.
      asker: what it asked, of a search, with the seed that its sampler had.
      keep: its keep functions; needed where they are none of jreg's own.
      layout, timeout, progress: as in `jreg.cross_validate`.

    Returns:
      The `Study`.

    Raises:
      FileNotFoundError: there is no study.
      ValueError: the recipe or the data are others, something that is needed isn't given, the study is being trained
        by another process, or its database is damaged.
    """
    folder = folder_or_nowhere(store)
    if not isinstance(folder, Folder):
        raise TypeError(f"store is {store!r}, but must be the folder of a study, such as 'runs/digits'")
    spec, functions = load_spec(folder.folder)
    pairs = [together(fold) for fold in spec.numbered()]
    options: dict[str, Any] = {
        "cv": pairs,
        "seeds": spec.seeds,
        "epochs": spec.epochs,
        "batch_size": spec.batch_size,
        "stopping": spec.stopping,
        "validation_fraction": spec.validation_fraction,
        "score": spec.score.label,
        "keep": _keep(spec, keep),
        "error_score": spec.error_score,
        "store": folder,
        "layout": layout,
        "timeout": timeout,
        "progress": progress,
    }
    if spec.policy.get("kind") == "search":
        if asker is None:
            raise ValueError(
                f"{folder.folder} has a search: give what it asked, resume(..., asker=jreg.Optuna(...)), with the seed "
                "that its sampler had"
            )
        return optimize(recipe, data, asker, trials=spec.policy["trials"], every=spec.policy["every"], **options)
    if functions and space is None:
        raise ValueError(
            f"in {folder.folder} the hyperparameters {listed(functions)} are functions, which a file can't hold: give "
            "the space, resume(..., space=...)"
        )
    race = _race(spec, folder, race)
    return cross_validate(recipe, data, spec.space if space is None else space, race=race, warm=spec.warm, **options)


def _keep(spec: Spec, given: Sequence[Keep] | None) -> Sequence[Keep]:
    if given is not None:
        return given
    known = {"outputs": keeping.outputs, "network": keeping.network}
    if unknown := [name for name in spec.keep if name not in known]:
        raise ValueError(f"the study keeps {listed(unknown)}: give these functions, resume(..., keep=[...])")
    return [known[name] for name in spec.keep]


def _race(spec: Spec, folder: Folder, given: Race | None) -> Race | None:
    if given is not None or not spec.policy:
        return given
    for make in (successive_halving, hyperband, paired_elimination):
        try:
            made = make(**spec.policy["numbers"])
        except (TypeError, ValueError):
            continue
        if described(made) == dict(spec.policy):
            return made
    raise ValueError(f"{folder.folder} has a race of your own: give it, resume(..., race=...)")
