"""Going on with a study that another process began."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreg._base.names import listed
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.executors import Ray
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.results import Spec
from jreg.results.nested import NESTED, inner_folds
from jreg.search import (
    Race,
    anytime_elimination,
    forgiving_elimination,
    hyperband,
    paired_elimination,
    successive_halving,
)
from jreg.search.asking import Asker
from jreg.search.space import Space
from jreg.store import SHARD, Folder, folder_or_nowhere, load_note, load_spec
from jreg.study.cross_validation import cross_validate
from jreg.study.going_on import described
from jreg.study.nested import Choose, NestedStudy, nested_cross_validate
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
    choose: Choose | None = None,
    keep: Sequence[Keep] | None = None,
    layout: Layout | None = None,
    executor: Ray | None = None,
    timeout: float | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Study | NestedStudy:
    """Trains what a stored study asks and is missing: settings, folds, seeds and options come from the store.

    Of a shard's store that is its share; of one that `jreg.merge` has written, everything, also in one of JAX's
    processes.

    Trainings that were under way go on from the last checkpoint. On the same machine the results are those of a study
    that was never interrupted, bit for bit.

    Args:
      store: the folder of the study.
      recipe: what it was trained with.
      data: what it was trained on.
      space: its space; needed where a hyperparameter is a function, which a file can't hold.
      race: its race; needed where that is none of jreg's own.
      asker: what it asked, of a search, with the seed that its sampler had.
      choose: its rule, of a nested study; needed where that is a function.
      keep: its keep functions; needed where they are none of jreg's own.
      layout, executor, timeout, progress: as in `jreg.cross_validate`.

    Returns:
      The `Study`; of nested folds the `NestedStudy`.

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
        "executor": executor,
        "timeout": timeout,
        "progress": progress,
        "shard": load_note(folder.folder, SHARD) or (0, 1),
    }
    if spec.policy.get("kind") == "search":
        del options["shard"]
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
    space = spec.space if space is None else space
    if spec.policy.get("kind") == NESTED:
        del options["cv"]
        known = {fold.number: together(fold) for fold in spec.folds}
        outer = [(fold.train, fold.validation) for fold in spec.numbered("outer")]
        inner = [[known[number] for number in numbers] for numbers in inner_folds(spec)]
        rule = _choose(spec, folder, choose)
        return nested_cross_validate(recipe, data, space, outer=outer, inner=inner, choose=rule, **options)
    race = _race(spec, folder, race)
    return cross_validate(recipe, data, space, race=race, warm=spec.warm, **options)


def _keep(spec: Spec, given: Sequence[Keep] | None) -> Sequence[Keep]:
    if given is not None:
        return given
    # A race that needs the scores of rows asks for them itself.
    names = [name for name in spec.keep if name != keeping.RowScores.__name__]
    if unknown := [name for name in names if name not in keeping.KNOWN]:
        raise ValueError(f"the study keeps {listed(unknown)}: give these functions, resume(..., keep=[...])")
    return [keeping.KNOWN[name] for name in names]


def _choose(spec: Spec, folder: Folder, given: Choose | None) -> Choose:
    name = spec.policy["numbers"]["choose"]
    if given is None and name not in ("best", "one_standard_error"):
        raise ValueError(f"{folder.folder} chooses by the function {name}: give it, resume(..., choose=...)")
    return name if given is None else given


def _race(spec: Spec, folder: Folder, given: Race | None) -> Race | None:
    if given is not None or not spec.policy:
        return given
    for make in (successive_halving, hyperband, paired_elimination, anytime_elimination, forgiving_elimination):
        try:
            made = make(**spec.policy["numbers"])
        except (TypeError, ValueError):
            continue
        if described(made) == dict(spec.policy):
            return made
    raise ValueError(f"{folder.folder} has a race of your own: give it, resume(..., race=...)")
