"""What tells the data and the code of one study from those of another."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import re
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg import training
from jreg._base import tensors
from jreg.data import Dataset
from jreg.splits import Folds
from jreg.study.design import Design
from jreg.study.halfway import text_of
from jreg.training import Plan, Training

# Where an object lies in memory, which a program's text may mention.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def of_data(data: Dataset) -> str:
    """A digest of what trains and scores: examples, targets, weights and groups, with their dtypes and shapes."""
    digest = hashlib.blake2b(digest_size=16)
    # Groups only where there are any, so that the digest of data without them is the one it was.
    own = (data.x, data.y, data.weights)
    leaves, structure = jax.tree.flatten(own if data.groups is None else (*own, data.groups))
    digest.update(f"{structure} {data.task} {data.missing}".encode())
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def of_steps(design: Design) -> dict[str, str]:
    """By what is static in settings a digest of the program of an epoch of one batch, with the evaluation of a block.

    Other folds, epochs or numbers don't change it; another version of JAX may. It is traced in a thread of its own, so
    that what JAX was told for the caller's alone doesn't change it. Empty for a recipe that can't be traced there.
    """
    leaves, form = jax.tree.flatten(jax.tree.map(_shape, training.rows_of(design.data)))
    traced, found = design.spec.space.traced, dict[str, str]()

    def trace() -> None:
        for static, plan in design.plans.items():
            # What is wrong with a recipe is said by the study, and not by this.
            with contextlib.suppress(Exception):
                found[text_of(static)] = _of_step(plan, traced, tuple(leaves), form)

    thread = threading.Thread(target=trace, name="jreg fingerprint")
    thread.start()
    thread.join()
    return found


# As long as its program is kept, which depends on no more: tracing takes a quarter of a second.
@functools.lru_cache(maxsize=256)
def _of_step(plan: Plan, traced: tuple[str, ...], leaves: tuple[Any, ...], form: Any) -> str:
    rows = jax.tree.unflatten(form, leaves)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    some = {split: jax.ShapeDtypeStruct((plan.block,), jnp.int32) for split in plan.evaluated}
    train, none = (jax.ShapeDtypeStruct((size,), jnp.int32) for size in (plan.batch_size, 0))
    fold = Folds(train, count, some.get("validation", none), count, jax.ShapeDtypeStruct((), jnp.uint32))
    if "stopping" in some:
        fold = fold._replace(stopping=some["stopping"], stopping_count=count)
    hp: dict[str, Any] = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in traced}
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 6))

    def step(given: Training, rows: Any) -> Any:
        return training.epoch(plan, training.start(plan, given, rows), given, rows)

    closed = jax.make_jaxpr(step)(Training(keys, hp, fold, count), rows)
    digest = hashlib.sha256(_ADDRESS.sub("", str(closed)).encode())
    for constant in closed.consts:
        # The text has their shapes alone.
        digest.update(np.asarray(tensors.plain_arrays(constant)).tobytes())
    return digest.hexdigest()[:32]


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.canonicalize_dtype(leaf.dtype))


def source_of(recipe: Callable[..., Any]) -> str:
    """The text of a recipe, which is shown where it has changed; "" where there is none to read."""
    try:
        return inspect.getsource(recipe)
    except (OSError, TypeError):
        return ""
