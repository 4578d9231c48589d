"""The store of one process among those that train shares of one study into folders side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg.results import Results, Spec, Trained
from jreg.store.database import Folder
from jreg.store.merging import NOTES, check_alike, news
from jreg.store.reading import layout_numbers, load_note, load_results, load_spec


class Beside(Folder):
    """A folder that takes over what stores beside it have of its share, so that nothing is trained twice.

    The others are only read, so that other processes may be training into them. Where the folder has no study yet, the
    first of the others says what was asked, as an earlier run would.

    Args:
      folder: where to.
      others: the folders beside it, which need not have a study.
      owns: says of trainings of a study which ones this folder is to have.
      checkpoint_seconds: as in `Folder`.

    Raises:
      ValueError: the folder can't be written.
    """

    def __init__(
        self,
        folder: str | Path,
        others: Sequence[Path],
        owns: Callable[[Spec, Trained], np.ndarray],
        checkpoint_seconds: float = 60.0,
    ):
        super().__init__(folder, checkpoint_seconds)
        self._others, self._owns = [place for place in others if place.resolve() != self.folder.resolve()], owns
        # What says what was asked, where this folder doesn't.
        self._leads: tuple[Path, Spec] | None = None

    def __enter__(self) -> Beside:
        """As `Folder`, and finds the study that is beside it."""
        super().__enter__()
        self._leads = None if self._past is not None else next(self._studies(), None)
        return self

    def _studies(self) -> Any:
        """The folders that have a study, with what it asks."""
        for place in self._others:
            try:
                yield place, load_spec(place)[0]
            except FileNotFoundError:
                # None, or one that another process is just beginning.
                continue

    def stored(self) -> Spec | None:
        """What an earlier run was asked, here or beside it."""
        return super().stored() if self._leads is None else self._leads[1]

    def layouts(self) -> dict[str, tuple[int, ...]]:
        """As `Folder`, so that what is trained here runs in batches of the same size."""
        if self._leads is None:
            return super().layouts()
        found = load_note(self._leads[0], "layouts") or {}
        return {static: layout_numbers(*numbers) for static, numbers in found.items()}

    def known(self, name: str) -> Any:
        """As `Folder`, of what all stores of a study note alike also from beside it."""
        if self._leads is not None and name in NOTES:
            return load_note(self._leads[0], name)
        return super().known(name)

    def open(self, spec: Spec) -> Results:
        """As `Folder`, with what the others have of its share.

        Raises:
          ValueError: they are of another study, or damaged.
        """
        found = [(place, load_results(place)) for place, _ in self._studies()]
        for place, source in found:
            check_alike(spec, self.folder, source.spec, place, grows=True)
        results = super().open(spec)
        for name in NOTES if self._leads is not None else ():
            if (value := self.known(name)) is not None:
                self.note(name, value)
        for _, source in found:
            for some in source.blocks():
                fresh, _ = news(results, some.take(self._owns(spec, some)))
                if len(fresh):
                    results.add(fresh)
                    self.append(results, [fresh])
        return results
