"""``--ray``, with or without an address."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Sequence
from typing import Annotated

import tyro

from jreg import executors
from jreg.cli.data import NOTHING

Ray = Annotated[str | None, tyro.conf.arg(metavar="[ADDRESS]", **NOTHING)]
# What may be meant as an address; a recipe file or data may stand behind --ray, too.
_ADDRESS = re.compile(r"auto|local|[a-z]+://\S+|\S+:\d+")


def with_address(arguments: Sequence[str]) -> list[str]:
    """The arguments with an address behind each --ray.

    >>> with_address(["my.py", "--ray"]), with_address(["--ray", "my.py"]), with_address(["--ray", "host:6379"])
    (['my.py', '--ray=local'], ['--ray=local', 'my.py'], ['--ray', 'host:6379'])
    """
    return [
        "--ray=local" if argument == "--ray" and not _ADDRESS.fullmatch(following) else argument
        for argument, following in itertools.pairwise([*arguments, ""])
    ]


def executor_of(address: str | None, workers: int | None, shard: str | None = None) -> executors.Ray | None:
    """Who trains, as the options say.

    Raises:
      ValueError: they don't go together, or Ray isn't installed.
    """
    if address is None:
        if workers is not None:
            raise ValueError(f"--ray-workers {workers} is for --ray, which isn't given")
        return None
    if shard is not None:
        raise ValueError(f"--shard {shard} is for processes without --ray, which deals out all trainings by itself")
    if importlib.util.find_spec("ray") is None:
        raise ValueError('--ray needs the package ray: pip install "jreg[ray]"')
    return executors.Ray(num_workers=workers, address=address)
