"""What trains next: everything that is wanted, or what is left of a race."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jreg.results import Spec
from jreg.search.racing import History, Race, Round
from jreg.study.design import Design, Trainings
from jreg.study.ledger import Identity
from jreg.study.policy import Decision, Entry, View
from jreg.study.row_scores import row_scores
from jreg.training import Status


class Everything(NamedTuple):
    """The policy of a study without a race: all trainings, each to its end.

    Attributes:
      trainings: what is wanted.
    """

    trainings: Sequence[Trainings]

    def next(self, view: View) -> Decision:
        """Starts at the first look all that have not ended, and is done when nothing trains."""
        start = [view.missing(wanted) for wanted in self.trainings] if view.is_new else ()
        return Decision(start=start, done=not view.is_new and not view.busy)


class Racing:
    """The policy of a race: rounds of trainings, between which a pruner gives settings up.

    Args:
      race: its rule.
      rounds: what it trains between two decisions.
    """

    def __init__(self, race: Race, rounds: Sequence[Round]):
        self._race, self._rounds, self._round = race, rounds, -1
        self._kept: np.ndarray | None = None
        self._log: list[Entry] = []
        # Whether the round that was last begun is begun once more, in another process.
        self._goes_on = False

    def log(self) -> list[Entry]:
        """The round that has begun, and the settings in it."""
        found, self._log = self._log, []
        return found

    def replay(self, entries: Sequence[Entry], design: Design, stored: Spec) -> Design:
        """Goes back to the last round."""
        del stored
        if entries:
            self._round, self._goes_on = int(entries[-1]["round"]), True
            self._kept = np.zeros(len(design.spec.settings), bool)
            self._kept[entries[-1]["settings"]] = True
        return design

    def next(self, view: View) -> Decision:
        """When a round has ended asks the pruner, gives up what it drops, and starts the next round."""
        if view.busy:
            return Decision(round=self._round, rounds=len(self._rounds))
        cancel: list[Identity] = []
        if not self._goes_on:
            judged = self._kept is not None and self._kept.any() and self._round < len(self._rounds) - 1
            cancel = self._judge(view) if judged else []
            self._round += 1
        self._goes_on = False
        if self._round == len(self._rounds):
            return Decision(done=True)
        return Decision([self._start(view)], cancel, round=self._round, rounds=len(self._rounds))

    def _start(self, view: View) -> Trainings:
        results, round_, spec = view.results, self._rounds[self._round], view.design.spec
        kept = np.zeros(results.shape[0], bool) if self._kept is None else self._kept
        self._kept = kept | round_.joins
        self._log.append({"round": self._round, "settings": np.flatnonzero(self._kept).tolist()})
        could = (results.status == Status.WAITING) & (results.epochs < round_.epochs)
        setting, fold, seed = np.nonzero(self._kept[:, None, None] & round_.trainings & could)
        seeds = np.asarray(spec.seeds, np.int64)[seed]
        return Trainings(setting[:, None], fold, seeds, round_.epochs, spec.epochs)

    def _judge(self, view: View) -> list[Identity]:
        """The trainings of the settings that the pruner drops, as far as they have not ended."""
        results, kept = view.results, self._kept
        keep = np.asarray(self._race.pruner(self._history(view)))
        if kept is None or keep.shape != kept.shape or keep.dtype != bool:
            raise ValueError(
                f"the race's pruner returned {keep.dtype} of shape {keep.shape}, but must return a flag for each of "
                f"the {results.shape[0]} settings"
            )
        dropped = kept & ~keep
        self._kept = kept & ~dropped
        left = dropped[:, None, None] & (results.status == Status.WAITING)
        folds, seeds = results.spec.numbered(), results.spec.seeds
        return [(int(s), folds[f].number, seeds[k]) for s, f, k in zip(*np.nonzero(left), strict=True)]

    def _history(self, view: View) -> History:
        results, round_ = view.results, self._rounds[self._round]
        spec, folds = results.spec, results.spec.numbered()
        curves = results.history[..., spec.columns.index(spec.score)]
        # Also of those that have been given up; only a diverged one has no score.
        ended = (Status.COMPLETED, Status.STOPPED, Status.WAITING, Status.PRUNED)
        so_far = results.values(spec.score, ended)
        share = float(np.mean([len(fold.validation) / len(fold.train) for fold in folds]))
        trained, kept = results.epochs > 0, np.array(self._kept)
        numbers = self._round, round_.epochs, results.maximize, share
        rows = partial(row_scores, results, view.design.data) if self._race.needs_rows else None
        return History(so_far.copy(), curves.copy(), trained, kept, *numbers, rows)
