"""``jreg predict``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

import jreg
from jreg._base.files import check_folder, write_text
from jreg._base.names import cut, listed
from jreg.cli.data import NOTHING, Switch
from jreg.cli.output import command, say, say_json
from jreg.cli.recipes import load_recipe
from jreg.cli.studies import FINAL
from jreg.data import Encoder
from jreg.data.files import read_examples
from jreg.network import Ensemble, Network
from jreg.network.saving import MODEL
from jreg.results.values import plain
from jreg.store import NAME, to_csv


def predict(
    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]],
    data: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATA")]],
    /,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv", **NOTHING)] = None,
    unseen: Annotated[Literal["error", "zeros"] | None, tyro.conf.arg(metavar="{error,zeros}", **NOTHING)] = None,
    missing: Annotated[Literal["reject", "keep"] | None, tyro.conf.arg(metavar="{reject,keep}", **NOTHING)] = None,
    recipe: Annotated[Path | None, tyro.conf.arg(metavar="RECIPE.py", **NOTHING)] = None,
    trust_program: Switch = False,
    json: Switch = False,
    traceback: Switch = False,
) -> None:
    """Predicts by a saved network, for each row of a table or an array, as CSV.

    Args:
      run: the folder of a study of jreg sweep, whose final network predicts, or of any saved network.
      data: a .csv, whose columns go by their names, an .npz with x, an .npy, or a folder with x.npy.
      out: where to; by default standard output.
      unseen: what a category becomes that the training table doesn't have, an error, or zeros in all features of its
        column; by default as in training.
      missing: keep missing values, which only a network that imputes takes, or reject them; by default as in training.
      recipe: the recipe file with which the network was trained, where it can't be loaded without.
      trust_program: run the network's program.bin where it can't be loaded without. Whoever made that file can do
        anything on this machine.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    if out == Path():
        raise ValueError("--out is empty, but must be the path of a file, such as predictions.csv")
    if out is not None:
        check_folder(out.parent)
    function = None if recipe is None else load_recipe(recipe)[0]
    network = jreg.load(_folder_of(run), recipe=function, trust_program=trust_program)
    one = network[0] if isinstance(network, Ensemble) else network
    columns = _predicted(network, one, _examples(one, data, {"unseen": unseen, "missing": missing}))
    rows = len(columns["prediction" if "prediction" in columns else next(iter(columns))])
    found = {"row": list(range(rows)), **columns}
    if out is not None or not json:
        text = to_csv((dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)), list(found))
        if out is None:
            say(text.removesuffix("\n"))
        else:
            write_text(out, text)
    if json:
        where = None if out is None else str(out)
        say_json(plain({"rows": rows, "task": one.task, "out": where, "columns": columns}))
    elif out is not None:
        say(f"{rows} predictions are in {out}")


def _folder_of(run: Path) -> Path:
    """Where the network is."""
    if not run.is_dir():
        raise FileNotFoundError(f"there is no folder {run}: jreg predict takes the folder of a study or of a network")
    final = run / FINAL
    if (run / MODEL).exists():
        return run
    if not final.is_dir():
        if (run / NAME).exists():
            raise ValueError(f"{run} has a study without a final network: {command('resume', run)} makes it")
        raise ValueError(f"there is neither a study nor a network in {run}: it has no {FINAL}/{MODEL} and no {MODEL}")
    if not final.resolve().is_relative_to(run.resolve()):
        raise ValueError(f"{final} leads out of the folder: name the folder of the network itself")
    return final


def _examples(network: Network, path: Path, how: Mapping[str, Any]) -> Any:
    """The examples in a file, as the network takes them; `how` replaces what its encoder does, where it isn't None."""
    given = {option: word for option, word in how.items() if word is not None}
    if path.suffix.lower() not in (".csv", ".tsv"):
        if given:
            raise ValueError(f"--{next(iter(given))} is for a .csv, and {path} is none")
        if path.suffix not in (".npz", ".npy") and not path.is_dir():
            raise ValueError(f"{path} is no data to predict for: give a .csv, an .npz, an .npy or a folder with x.npy")
        return read_examples(path)
    encoder = network.encoder
    if encoder is None or not encoder.columns:
        if not network.features:
            raise ValueError(
                f"the network was trained on arrays whose columns have no names, so that those of {path} can't be "
                "matched: give an .npz with x, or an .npy"
            )
        # A number that is missing is for the network to impute.
        encoder = Encoder(network.features, [None] * len(network.features), missing="keep")
    encoder = dataclasses.replace(encoder, **given)
    table = encoder.read(path)
    surplus = [name for name in table.columns if name not in {*encoder.columns, *encoder.drop, encoder.target}]
    lacking = [name for name in encoder.columns if name not in table.columns]
    if surplus and not lacking:
        names = cut(listed([repr(name) for name in surplus]))
        say(f"{path} has columns that the network wasn't trained on, which are left out: {names}", aside=True)
        table = table._replace(
            columns={name: table.columns[name] for name in table.columns if name not in set(surplus)}
        )
    return encoder.encode(table)


def _predicted(network: Network | Ensemble, one: Network, x: Any) -> dict[str, list[Any]]:
    """Predictions, and probabilities where there are classes, by the names of their columns."""
    found = network.predict(x)
    names = list(map(str, one.classes))
    if one.task == "multilabel" and len(names) != found.shape[-1]:
        names = list(map(str, range(found.shape[-1])))
    if one.task == "classification":
        found = _labels(one, found)
    if found.ndim == 1:
        columns = {"prediction": found.tolist()}
    else:
        parts = found.reshape(len(found), -1).T
        heads = names if one.task == "multilabel" else range(len(parts))
        columns = {f"prediction_{head}": part.tolist() for head, part in zip(heads, parts, strict=True)}
    if (
        one.task != "regression"
        and one.link in ("softmax", "sigmoid")
        and (found.ndim == 1 or one.task == "multilabel")
    ):
        probabilities = network.predict_proba(x)
        names = names if len(names) == probabilities.shape[-1] else [str(n) for n in range(probabilities.shape[-1])]
        columns |= {f"probability_{name}": probabilities[:, n].tolist() for n, name in enumerate(names)}
    return columns


def _labels(network: Network, numbers: np.ndarray) -> np.ndarray:
    """Class numbers as the training data have them."""
    if network.encoder is not None and network.encoder.labels:
        return network.encoder.decode(numbers)
    if network.classes and numbers.size and numbers.max() < len(network.classes):
        return np.array(network.classes)[numbers]
    return numbers
