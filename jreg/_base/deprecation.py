"""What is public and will go: the warning, with the version that removes it."""

from __future__ import annotations

import warnings


def deprecated(name: str, instead: str, removed_in: str) -> None:
    """Warns, at the caller of the function that calls this one, that `name` goes in version `removed_in`.

    `tests/test_layering.py` reads the versions in the source and fails once jreg has reached one.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     deprecated("jreg.old", "jreg.new", removed_in="9.0")
    >>> str(seen[0].message)
    'jreg.old is deprecated and will be removed in jreg 9.0: use jreg.new'
    """
    message = f"{name} is deprecated and will be removed in jreg {removed_in}: use {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
