"""Studies that are interrupted go on and end with the bits of one that was not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resuming
from resuming import KINDS, Seldom, assert_same, conduct

import jreg
from jreg.engine.pool import Pool


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of a program train for three epochs, so that a small study has many of them."""
    monkeypatch.setattr(Pool, "_epochs", lambda self, given: 3)


@pytest.fixture(scope="module")
def wine() -> jreg.Dataset:
    return resuming.data()


@pytest.mark.adam
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_study_goes_on_from_any_moment(kind, every, wine, tmp_path):
    store = Seldom(tmp_path / "whole", every)
    images: list[Path] = []

    def crash(progress: Any) -> None:
        if store._writer is not None:
            store.settle()
            images.append(tmp_path / f"image-{len(images)}")
            shutil.copytree(store.folder, images[-1])

    whole = conduct(kind, store, data=wine, progress=crash)
    print(kind, len(images), np.bincount(whole.status.ravel()), whole.status.shape)
    import time

    t = time.time()
    for image in images[:: max(1, len(images) // 6)]:
        study = conduct(kind, Seldom(image, every), data=wine)
        assert_same(whole.results, study.results)
        assert_same(whole.results, jreg.load_results(image))
    print(time.time() - t)
