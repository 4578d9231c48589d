"""How often a study's test set has been looked at: once is honest."""

from __future__ import annotations

import datetime
import sqlite3
import warnings
from typing import Any

from jreg import store
from jreg._base.names import cut
from jreg.study.study import LOOKS, Study


def look(study: Study) -> dict[str, Any]:
    """Records that the test set is looked at, with the study and in its folder, and warns from the second look on.

    Returns:
      How many ``looks`` there have been, and ``when`` this one was, UTC.
    """
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    trouble = None
    if study.folder is None:
        study.looks.append(when)
    else:
        try:
            noted = store.load_note(study.folder, LOOKS)
            if isinstance(noted, list) and len(noted) > len(study.looks):
                # Another process has looked as well.
                study.looks[:] = map(str, noted)
        except (OSError, ValueError) as error:
            trouble = error
        study.looks.append(when)
        try:
            store.add_note(study.folder, LOOKS, study.looks)
        except (OSError, ValueError, sqlite3.Error) as error:
            trouble = error
    if trouble is not None:
        _warn(f"{study.folder} couldn't note that the test set was looked at ({cut(str(trouble), 100)})")
    if (count := len(study.looks)) > 1:
        _warn(
            f"the test set has been looked at {count} times: choose by validation scores, since a test score that took "
            "part in a choice is too good"
        )
    return {"looks": count, "when": when}


def _warn(sentence: str) -> None:
    # Where `refit` was called.
    warnings.warn(sentence, RuntimeWarning, stacklevel=4)
