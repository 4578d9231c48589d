"""What trains next: everything that is wanted, what is left of a race, or what inner folds have chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jreg.results import Results, SettingResult, Spec
from jreg.results.comparison import test_share
from jreg.results.nested import inner_folds
from jreg.search.racing import History, Race, Round
from jreg.study.design import Design, Trainings
from jreg.study.ledger import Identity
from jreg.study.policy import Decision, Entry, View
from jreg.study.row_scores import row_scores
from jreg.study.shards import Shard
from jreg.study.updates import chosen_epochs
from jreg.training import Status


class Everything(NamedTuple):
    """The policy of a study without a race: all trainings, each to its end.

    Attributes:
      trainings: what is wanted.
      shard: of which these are, or None.
    """

    trainings: Sequence[Trainings]
    shard: Shard | None = None

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
        spec = results.spec
        curves = results.history[..., spec.columns.index(spec.score)]
        # Also of those that have been given up; only a diverged one has no score.
        ended = (Status.COMPLETED, Status.STOPPED, Status.WAITING, Status.PRUNED)
        so_far = results.values(spec.score, ended)
        trained, kept = results.epochs > 0, np.array(self._kept)
        numbers = self._round, round_.epochs, results.maximize, test_share(results)
        rows = partial(row_scores, results, view.design.data) if self._race.needs_rows else None
        return History(so_far.copy(), curves.copy(), trained, kept, *numbers, rows)


class Nesting:
    """The policy of nested folds: all inner trainings, and an outer fold's own as soon as its inner ones have chosen.

    An outer fold's trainings, one per seed, start when the last of its inner ones has ended, so that no slot waits for
    the other outer folds. They stop on nothing, since their validation rows score them: they run for the epochs that
    `jreg.study.updates` says. A choice follows from the inner results, so a study that goes on chooses as it did.

    Args:
      choose: says which setting, by its number, from the results of one outer fold's inner folds.
      shard: which has some of the outer folds; default: all.
    """

    def __init__(self, choose: Callable[[Results], int], shard: Shard | None = None):
        self._choose, self.shard = choose, shard
        # What each outer fold had chosen in an earlier run, and those that have not chosen yet.
        self._before: list[SettingResult | None] = []
        self._undecided: list[int] = []

    def next(self, view: View) -> Decision:
        """Starts what is missing of the inner trainings at the first look, and outer ones as folds have chosen."""
        spec, results = view.design.spec, view.results
        count = len(spec.numbered("outer"))
        own = range(count) if self.shard is None else self.shard.outer(count)
        folds = inner_folds(spec)
        total = (len(spec.settings) * sum(len(folds[k]) for k in own) + len(own)) * len(spec.seeds)
        start: list[Trainings] = []
        if view.is_new:
            self._before, self._undecided = results.nested.choices, list(own)
            start.append(view.missing(_inner(spec, own)))
        if view.is_new or view.advanced:
            waits = (results.status == Status.WAITING).any(axis=(0, 2))
            ends = np.cumsum([0, *map(len, folds)])
            ended = [k for k in self._undecided if not waits[ends[k] : ends[k + 1]].any()]
            self._undecided = [k for k in self._undecided if k not in ended]
            start += [some for k in ended for some in self._decided(view, k, results.part(folds[k]))]
        start = [some for some in start if len(some.folds)]
        return Decision(start, done=not view.is_new and not view.busy and not start, total=total)

    def _decided(self, view: View, k: int, inner: Results) -> list[Trainings]:
        """The trainings of an outer fold whose inner ones have ended; none where no setting has all its scores."""
        before, spec = self._before[k], view.design.spec
        if before is None and not inner.finished:
            return []
        number = self._choose(inner) if before is None else before.number
        place = [n for n, fold in enumerate(spec.folds) if fold.role == "outer"][k]
        seeds = np.array(spec.seeds)
        # Bags have more rows than there are, and the history has room for the study's epochs.
        epochs = min(spec.epochs, chosen_epochs(view.design, inner, [number], len(spec.folds[place].train)))
        settings, places = np.full((len(seeds), 1), number), np.full(len(seeds), place)
        return [view.missing(Trainings(settings, places, seeds, epochs, epochs))]


def _inner(spec: Spec, outer: Sequence[int]) -> Trainings:
    """Inner trainings of outer folds, one's together, so that the first one can choose while the last trains."""
    where = {fold.number: place for place, fold in enumerate(spec.folds)}
    folds, parts = inner_folds(spec), []
    for k in outer:
        numbers = folds[k]
        grid = np.meshgrid(range(len(spec.settings)), [where[number] for number in numbers], spec.seeds, indexing="ij")
        parts.append([axis.reshape(-1) for axis in grid])
    settings, places, seeds = (np.concatenate([part[n] for part in parts] or [np.arange(0)]) for n in range(3))
    return Trainings(settings[:, None], places, seeds, spec.epochs, spec.epochs)
