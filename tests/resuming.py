"""Studies of four kinds that are killed and go on, in this process or, run as a script, in one of their own."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import optuna
from sklearn.model_selection import KFold

import jreg
from jreg import keep, losses, nn, penalties
from jreg.results import Results
from jreg.store import Folder

KINDS = ("grid", "race", "hyperband", "warm", "search")
# Bits don't depend on neighbours where slots run one by one.
SPACE = {"l2": [1e-5, 1e-2], "lr": [3e-2, 1e-2], "width": [4, 6]}


def recipe(hp: Any) -> jreg.Recipe:
    """A network with what has a state of its own: dropout, Adam, and two programs by their width."""
    model = nn.MLP((hp["width"], 3), dropout=0.2)
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.adam(hp["lr"]), penalty=penalty)


def small(hp: Any) -> jreg.Recipe:
    """A recipe of one program."""
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.adam(hp["lr"]), penalty=penalty)


SMALL: dict[str, Any] = {
    "recipe": small,
    "space": jreg.grid(l2=[1e-3, 1e-2], lr=[1e-2, 1e-1]),
    "cv": KFold(3, shuffle=True, random_state=0),
    "epochs": 6,
    "stopping": None,
    "keep": None,
}


def data() -> jreg.Dataset:
    """A part of the wines, standardized."""
    wine = jreg.load_dataset("wine")
    x = np.asarray(wine.x, np.float64)
    return jreg.Dataset((x - x.mean(0)) / x.std(0), wine.y, name="wine")


def asker(seed: int = 0) -> jreg.Optuna:
    """A search whose sampler and pruner go by what they were told."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=3)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)

    def suggest(trial: Any) -> dict[str, Any]:
        return {
            "l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True),
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "width": trial.suggest_int("width", 4, 6, step=2),
        }

    return jreg.Optuna(study, suggest)


def conduct(kind: str, store: Any, **changes: Any) -> jreg.Study:
    """A study of a kind."""
    options: dict[str, Any] = {
        "cv": 3,
        "seeds": 1,
        "epochs": 27,
        "batch_size": 32,
        "stopping": jreg.EarlyStopping(patience=6, min_delta=0.02),
        "keep": [keep.outputs, keep.network],
        "layout": jreg.Layout(tuple(jax.devices()), 2, 1),
        "progress": False,
        "store": store,
    } | changes
    given, on, of = (options.pop(name, None) for name in ("space", "data", "recipe"))
    space = given if given is not None else jreg.grid(**SPACE)
    on, of = on or data(), of or recipe
    if kind == "search":
        options = {"trials": 8, "every": 2} | options
        return jreg.optimize(of, on, options.pop("asker", None) or asker(), **options)
    if kind == "race":
        options = {"race": jreg.successive_halving(least=3)} | options
    if kind == "hyperband":
        options = {"race": jreg.hyperband(least=3, seed=0)} | options
    if kind == "warm":
        options = {"warm": "l2"} | options
        space = given if given is not None else jreg.grid(**SPACE | {"width": [4]})
    return jreg.cross_validate(of, on, space, **options)


def digest(folder: Path) -> str:
    """What tells a database from another one."""
    return hashlib.sha256((folder / "study.db").read_bytes()).hexdigest()


def assert_same(first: Results, second: Results) -> None:
    """Both have the same bits, also of what was kept."""
    assert first.spec.settings == second.spec.settings
    for name in ("status", "epochs", "best_epochs", "history", "scores"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    for setting in range(len(first.spec.settings)):
        for name in first.spec.keep:
            one, other = (results.kept(setting, name) for results in (first, second))
            assert [row[:3] for row, _ in one] == [row[:3] for row, _ in other]
            for (_, a), (_, b) in zip(one, other, strict=True):
                jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_same_study(first: Results, second: Results) -> None:
    """Both were also asked the same, with the same folds."""
    assert first.spec.digest == second.spec.digest
    assert_same(first, second)


class Seldom(Folder):
    """A folder that takes a checkpoint at every n-th time it is asked."""

    def __init__(self, folder: Path, every: int):
        super().__init__(folder)
        self._every, self._times = every, 0

    @property
    def due(self) -> bool:
        self._times += 1
        return self._times % self._every == 0

    def settle(self) -> None:
        """Returns when everything so far is on the disk."""
        done = threading.Event()
        if self._writer is not None:
            self._writer.put(lambda connection: done.set())
            assert done.wait(60)


def conduct_and_tell(kind: str, folder: str) -> None:
    """Conducts a study that takes some seconds, and tells when it begins, trains and ends.

    A kind may name a shard of such a study with more seeds: grid:3/16:4.
    """
    warnings.simplefilter("ignore")
    jreg.use_cpu_devices(2)
    told = []

    def tell(progress: Any) -> None:
        if not told and not progress.compiling:
            told.append(print("training", flush=True))

    more: dict[str, Any] = {"epochs": 300, "stopping": jreg.EarlyStopping(patience=40)}
    kind, *shard = kind.split(":")
    more |= {"shard": shard[0], "seeds": int(shard[1])} if shard else {}
    more |= {"trials": 16, "every": 10} if kind == "search" else {}
    if kind in ("race", "warm"):
        more["space"] = jreg.grid(**SPACE | {"l2": [1e-5, 1e-3, 1e-1], "width": [4]})
    print("begin", os.getpid(), flush=True)
    conduct(kind, Folder(folder, checkpoint_seconds=0.1), progress=tell, **more)
    print("end", flush=True)


def serve() -> None:
    """Forks for each line of a kind and a folder a process that conducts such a study: only one has to import."""
    data(), asker()
    for line in sys.stdin:
        kind, folder = line.split()
        process = os.fork()
        if not process:
            try:
                conduct_and_tell(kind, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


class Server:
    """A process that starts studies, which can be killed.

    Args:
      cache: a folder for compiled programs, so that only the first study compiles.
    """

    def __init__(self, cache: Path):
        own = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        paths = os.pathsep.join([str(Path(jreg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        own |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "PYTHONPATH": paths}
        wanted = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen([sys.executable, __file__], env=os.environ | own, **wanted)

    def run(self, kind: str, folder: Path, begun: str = "", seconds: float = 0.0) -> tuple[int, float]:
        """Conducts a study, or kills it `seconds` after it told that it had `begun`.

        Returns its exit code and for how long it has trained.
        """
        assert self._server.stdin is not None
        print(kind, folder, file=self._server.stdin, flush=True)
        process, since = 0, 0.0
        while (words := self._line())[0] != "exit":
            process = int(words[1]) if words[0] == "begin" else process
            since = time.monotonic() if words[0] == "training" else since
            if words[0] == begun:
                time.sleep(seconds)
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(process, signal.SIGKILL)
        return int(words[1]), time.monotonic() - since if since else 0.0

    def _line(self) -> list[str]:
        assert self._server.stdout is not None
        return self._server.stdout.readline().split() or ["exit", "2"]

    def close(self) -> None:
        """Ends it."""
        self._server.communicate()


if __name__ == "__main__":
    serve()
