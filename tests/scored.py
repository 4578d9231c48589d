"""Results made from scores, without training anything."""

import numpy as np

from jreg.results import FoldRows, Found, Results, Spec
from jreg.training import Column, Status


def results_of(
    space, scores, *, maximize=True, status=None, rows=(120, 40), epochs=9, best_epochs=None, stopping=None, **options
) -> Results:
    """Results whose trainings have these scores.

    Args:
      space: of the settings.
      scores: ``(settings, folds, seeds)``.
      maximize: whether higher is better.
      status: ``(settings, folds, seeds)`` of `Status`; default: completed.
      rows: of each fold, to train and to score on.
      epochs: of the study.
      best_epochs: ``(settings, folds, seeds)``; default: the last one.
      stopping: of the study.
      options: further fields of the specification.
    """
    scores = np.asarray(scores, np.float32)
    train, validation = rows
    column = Column("validation", "metric", "accuracy", maximize)
    folds = tuple(
        FoldRows(n, "validation", np.arange(train), np.arange(train, train + validation))
        for n in range(scores.shape[1])
    )
    asked = ("points", sum(rows), "classification", space, folds, tuple(range(scores.shape[2])))
    spec = Spec(*asked, epochs, 1, 1, stopping, None, column, (column,), (), {}, **options)
    found = []
    for place in np.ndindex(scores.shape):
        ended = Status.COMPLETED if status is None else status[place]
        best = epochs - 1 if best_epochs is None else int(best_epochs[place])
        history = np.full((epochs, 1), scores[place], np.float32)
        found.append(Found(*place, "validation", ended, epochs, best, history, {}))
    results = Results(spec)
    results.add(found)
    return results
