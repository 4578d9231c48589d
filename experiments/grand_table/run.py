"""Every regularizer of the catalogue on three data sets: what really helps, and by how much?

Command:  python experiments/grand_table/run.py           (--data and --families choose parts; --smoke takes seconds)
Data:     80% of scikit-learn's digits (1,437 images of 8x8), MNIST-1D (4,000 rows of 40 numbers), 12,000 training
          images of MNIST (JREG_DATA_DIR); test sets are not looked at
Network:  MLP with two layers of 128 units, ReLU, Adam 1e-3; a few regularizers have a network of their own, and are
          compared with that
Protocol: nested cross-validation of each family: 2 inner folds choose one of three strengths, 2 x 5 outer folds score
          it; differences from the same network without regularization, outer fold by outer fold, with intervals and
          p-values of the corrected resampled t test, adjusted by Holm for all families of a data set
Hardware: two cores of an AMD EPYC (digits) and of an Intel Xeon (AVX-512), no GPU, beside other work: digits took some
          20 minutes of a processor, half of it compilation, MNIST-1D 67 minutes by the clock (20 of them threads of
          OpenBLAS that waited for each other, which they don't any more), MNIST 68 minutes; in several starts
Result:   what leads, in percentage points of accuracy with 95% intervals that aren't corrected for many families:
          digits, 97.70% without any: label smoothing +0.77 (-0.02 to +1.55), batch normalization +0.77 (+0.01 to
          +1.52), L2 of outputs +0.73 (+0.02 to +1.44)
          MNIST-1D, 57.31%: turned row +6.05 (+4.31 to +7.79), proximal group lasso +3.55 (+0.73 to +6.37), L2 +3.35
          (+0.43 to +6.27)
          MNIST, 95.37%: distortion +0.88 (+0.27 to +1.49), label smoothing +0.79 (+0.45 to +1.13), crop +0.76 (+0.18
          to +1.33)
          Adjusted by Holm two gains are sure, the turned row and label smoothing on MNIST; 4, 6 and 9 families harm
          for sure
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.model_selection import RepeatedStratifiedKFold

import jreg
from jreg import augment, losses, mixing, nn, penalties, projections, prox, statistics, stochastic, transforms
from jreg.models import with_weights
from jreg.objective import on_activations, on_inputs, on_loss, on_network, on_outputs, on_params, on_passes

HERE = Path(__file__).parent
RATE, UNITS, REPEATS, OUTER, INNER = 1e-3, 128, 2, 5, 2


class Task(NamedTuple):
    """A data set: which rows, of what shape, in which range, and how long networks train."""

    rows: int
    shape: tuple[int, ...]
    largest: float
    epochs: int
    batch: int


TASKS = {
    "digits": Task(1437, (8, 8), 16, 20, 32),
    "mnist1d": Task(4000, (40,), 1, 30, 64),
    "mnist": Task(12_000, (28, 28), 255, 8, 128),
}


class Family(NamedTuple):
    """A kind of regularizer, the strengths to choose from, and what a strength changes in the recipe."""

    kind: str
    strengths: tuple[float, ...]
    parts: Callable[[Any, Task], dict[str, Any]]
    # What it is compared with; the family whose program it shares; how many axes an example must have; what stops it.
    base: str = "none"
    program: str | None = None
    axes: int | None = None
    stopping: jreg.EarlyStopping | None = None


def penalty(make: Callable[..., Any], *strengths: float, **more: Any) -> Family:
    """A term of the objective, `make(task)`, with these strengths."""
    return Family("penalty", strengths, lambda s, task: {"penalty": s * make(task)}, **more)


def of_params(leaf: Callable[..., Any], *strengths: float, **options: Any) -> Family:
    """A penalty of the weights."""
    return penalty(lambda task: on_params(leaf, **options), *strengths)


def of_hidden(leaf: Callable[..., Any], *strengths: float) -> Family:
    """A penalty of the activations."""
    return penalty(lambda task: on_activations(leaf, "hidden_*"), *strengths)


def step(make: Callable[..., Any], *strengths: float, kind: str = "constraint or step") -> Family:
    """A transform `make(strength, task)` behind Adam."""
    return Family(kind, strengths, lambda s, task: {"behind": make(s, task)})


def constraint(make: Callable[..., Any], *strengths: float, seldom: bool = False) -> Family:
    """A projection `make(strength)` behind Adam, in each step or, where it is expensive, in every tenth."""
    return step(lambda s, task: sometimes(transforms.project(make(s)), seldom), *strengths)


def proximal(operator: Callable[..., Any], *strengths: float, seldom: bool = False) -> Family:
    """A proximal operator behind Adam; in every tenth step it is ten times as strong."""
    size = 10 * RATE if seldom else RATE
    return step(lambda s, task: sometimes(transforms.proximal(operator, s, size), seldom), *strengths)


def sometimes(transform: Any, seldom: bool) -> Any:
    """The transform in every tenth step, where a decomposition or a sort in each would be most of the time."""

    def tenth(step: Any, **extra: Any) -> Any:
        del extra
        return step % 10 == 9

    return optax.conditionally_transform(transform, tenth) if seldom else transform


def network(name: str, *strengths: float, kind: str = "noise", **more: Any) -> Family:
    """An argument of `nn.MLP`."""
    return Family(kind, strengths, lambda s, task: {"network": {name: s}}, **more)


def layer(make: Callable[..., Any], *strengths: float) -> Family:
    """A layer of noise, `make(strength)`, after each hidden one."""
    return Family("noise", strengths, lambda s, task: {"network": {"noise": partial(make, s)}})


def normalization(name: str) -> Family:
    """A normalization, which has no strength."""
    return Family("normalization", (1.0,), lambda s, task: {"network": {"normalization": name}})


def weights(change: Callable[..., Any], *strengths: float) -> Family:
    """Noise on the weights, ``change(key, w, strength)``."""

    def noisy(s: Any) -> Any:
        return with_weights(nn.MLP((UNITS, UNITS, 10)), lambda key, w: change(key, w, s))

    return Family("noise", strengths, lambda s, task: {"model": noisy(s)})


def inputs(change: Callable[..., Any], *strengths: float) -> Family:
    """Noise on the inputs, ``change(key, x, strength)``."""
    return Family("noise", strengths, lambda s, task: {"augment": lambda key, x: change(key, x, s)})


def image(change: Callable[..., Any], *strengths: float, of_width: bool = False) -> Family:
    """An augmentation of images, ``change(key, x, strength)``; the strength may be a share of the image's width."""

    def parts(s: Any, task: Task) -> dict[str, Any]:
        return {"augment": lambda key, x: change(key, x, s * task.shape[0] if of_width else s)}

    return Family("augmentation or mixing", strengths, parts, axes=2)


def mixed(change: Callable[..., Any], *strengths: float, axes: int | None = None) -> Family:
    """A mixing of a batch, ``change(key, x, y, weights, strength)``."""
    return Family(
        "augmentation or mixing",
        strengths,
        lambda s, task: {"mixing": lambda key, x, y, weights: change(key, x, y, weights, s)},
        axes=axes,
    )


def convolutional(kind: str, *strengths: float, **more: Any) -> Family:
    """A small convolutional network whose channels are dropped with a rate."""
    return Family(
        kind, strengths, lambda s, task: {"model": nn.CNN((8, 16), (64, 10), spatial_dropout=s)}, axes=2, **more
    )


def residual(kind: str, *strengths: float, **more: Any) -> Family:
    """A residual network whose blocks are dropped with a rate that rises to the strength."""
    return Family(
        kind, strengths, lambda s, task: {"model": nn.ResidualMLP(UNITS, blocks=3, outputs=10, drop_path=s)}, **more
    )


def selu(kind: str, *strengths: float, **more: Any) -> Family:
    """A self-normalizing network with alpha dropout."""
    return Family(
        kind,
        strengths,
        lambda s, task: {"network": {"activation": "selu", "noise": lambda: nn.AlphaDropout(s)}},
        **more,
    )


def distorted(key: Any, x: Any, s: Any) -> Any:
    """A distortion of handwriting whose parts grow together."""
    width = x.shape[0]
    amounts = {"rotation": 15 * s, "shift": width * s / 14, "zoom": 0.15 * s, "shear": 10 * s}
    return augment.affine_elastic(key, x, alpha=10 * s * width / 28, sigma=width / 7, **amounts)


def rolled(key: Any, x: Any, s: Any) -> Any:
    """A row that is turned by up to a share `s` of its length, as the curves of MNIST-1D are when they are made."""
    return jnp.roll(x, jnp.round(jax.random.uniform(key, minval=-s, maxval=s) * x.size).astype(jnp.int32))


def bounded(h: Any, weights: Any, rho: float = 0.1) -> Any:
    """KL sparsity of ReLU's units, brought into [0, 1)."""
    return penalties.kl_sparsity(h / (1 + h), weights, rho)


def near(h: Any, weights: Any, inputs: Any) -> Any:
    """The penalty of different activations for near inputs."""
    return penalties.laplacian(h, weights, inputs, bandwidth=0.5 * inputs[0].size ** 0.5)


def smooth_filters(task: Task) -> Any:
    """The total variation of the first layer's weights, taken as images."""
    return on_params(lambda w: penalties.total_variation(w.reshape(*task.shape, -1)), where="Dense_0/kernel")


CHOICES = (
    lambda key, x, m: augment.rotate(key, x, 30 * m),
    lambda key, x, m: augment.shear(key, x, 30 * m),
    lambda key, x, m: augment.zoom(key, x, 0.5 * m),
    lambda key, x, m: augment.contrast(key, x, 0.9 * m),
    lambda key, x, m: augment.cutout(key, x, 0.5 * m * x.shape[0]),
)
BASES = {
    # The L2 of strength 0, so that both are one program.
    "none": Family("network", (0.0,), lambda s, task: {}, program="L2"),
    "residual network": residual("network", 0.0),
    "SELU network": selu("network", 0.0),
    "convolutional network": convolutional("network", 0.0),
}
FAMILIES: dict[str, Family] = {
    "L2": of_params(penalties.l2, 1e-4, 1e-3, 1e-2),
    "L1": of_params(penalties.l1, 1e-5, 1e-4, 1e-3),
    "dropout": network("dropout", 0.2, 0.35, 0.5),
    "label smoothing": Family(
        "penalty", (0.05, 0.1, 0.2), lambda s, task: {"loss": partial(losses.softmax_cross_entropy, label_smoothing=s)}
    ),
    "affine and elastic distortion": image(distorted, 0.25, 0.5, 1.0),
    "shift": image(augment.shift, 0.03, 0.06, 0.12, of_width=True),
    "turned row": Family(
        "augmentation or mixing", (0.05, 0.2, 0.5), lambda s, task: {"augment": partial(rolled, s=s)}, axes=1
    ),
    "mixup": mixed(mixing.mixup, 0.1, 0.3, 1.0),
    "decoupled decay": step(lambda s, task: transforms.decoupled_weight_decay(s), 1e-4, 3e-4, 1e-3),
    "max-norm": constraint(lambda s: partial(projections.max_norm, c=s), 0.5, 1.0, 2.0),
    "batch normalization": normalization("batch"),
    "input gradient": penalty(lambda task: on_inputs(penalties.input_gradient, of="loss"), 0.1, 1.0, 10.0),
    "Jacobian, by projection": penalty(lambda task: on_inputs(penalties.jacobian_projection), 1e-3, 1e-2, 1e-1),
    "SAM": Family("optimizer", (0.02, 0.05, 0.2), lambda s, task: {"wrap": lambda adam: transforms.sam(adam, s)}),
    "moving average": step(lambda s, task: transforms.ema_params(s), 0.9, 0.98, 0.995, kind="optimizer"),
    "early stopping": Family("optimizer", (1.0,), lambda s, task: {}, stopping=jreg.EarlyStopping(patience=3)),
    "elastic net": of_params(partial(penalties.elastic_net, beta=5.0), 1e-5, 1e-4, 1e-3),
    "group lasso of units": of_params(penalties.group_lasso, 1e-4, 1e-3, 1e-2),
    "group lasso of inputs": of_params(penalties.group_lasso, 1e-4, 1e-3, 1e-2, axis=-1),
    "sparse group lasso": of_params(partial(penalties.sparse_group_lasso, l1_ratio=0.5), 1e-5, 1e-4, 1e-3),
    "Hoyer square": of_params(penalties.hoyer_square, 1e-6, 1e-5, 1e-4),
    "log sum": of_params(partial(penalties.log_sum, epsilon=0.01), 1e-6, 1e-5, 1e-4),
    "orthogonal": of_params(penalties.orthogonal, 1e-6, 1e-5, 1e-4),
    "soft orthogonality": of_params(penalties.soft_orthogonality, 1e-4, 1e-3, 1e-2),
    "weight correlation": of_params(penalties.weight_correlation, 1e-2, 1e-1, 1.0),
    "SRIP": of_params(penalties.srip, 1e-3, 1e-2, 1e-1),
    "total variation of filters": penalty(smooth_filters, 1e-5, 1e-4, 1e-3, axes=2),
    "L1 of activations": of_hidden(penalties.l1, 1e-5, 1e-4, 1e-3),
    "L2 of activations": of_hidden(penalties.l2, 1e-4, 1e-3, 1e-2),
    "KL sparsity": of_hidden(bounded, 1e-4, 1e-3, 1e-2),
    "variance of activations": of_hidden(penalties.variance, 1e-4, 1e-3, 1e-2),
    "DeCov": of_hidden(penalties.decov, 1e-4, 1e-3, 1e-2),
    "Laplacian": of_hidden(near, 1e-4, 1e-3, 1e-2),
    "L2 of outputs": penalty(lambda task: on_outputs(penalties.l2), 1e-3, 1e-2, 1e-1),
    "confidence": penalty(lambda task: on_outputs(penalties.confidence), 0.03, 0.1, 0.3),
    "flooding": Family(
        "penalty", (0.02, 0.05, 0.15), lambda s, task: {"penalty": on_loss(partial(penalties.flooding, b=s))}
    ),
    "path norm": penalty(lambda task: on_network(penalties.path_norm), 1e-6, 1e-5, 1e-4),
    "R-drop, with dropout 0.3": Family(
        "penalty",
        (0.1, 0.5, 2.0),
        lambda s, task: {"penalty": s * on_passes(penalties.r_drop), "network": {"dropout": 0.3}},
    ),
    "unit norm": constraint(lambda s: projections.unit_norm, 1.0),
    "min-max norm": constraint(lambda s: partial(projections.min_max_norm, low=s / 2, high=s), 0.5, 1.0, 2.0),
    "non-negative": constraint(lambda s: projections.non_negative, 1.0),
    "box": constraint(lambda s: partial(projections.box, lower=-s, upper=s), 0.05, 0.1, 0.2),
    "L1 ball": constraint(lambda s: partial(projections.l1_ball, c=s), 2.0, 5.0, 10.0, seldom=True),
    "simplex": constraint(lambda s: partial(projections.simplex, total=s), 1.0, 3.0, 10.0, seldom=True),
    "symmetric": step(lambda s, task: transforms.project(projections.symmetric, where="Dense_1/kernel"), 1.0),
    "spectral ball": constraint(lambda s: partial(projections.spectral_ball, c=s), 1.0, 1.5, 2.5, seldom=True),
    "orthogonal matrices": constraint(lambda s: projections.orthogonal, 1.0, seldom=True),
    "proximal L1": proximal(prox.l1, 1e-3, 1e-2, 1e-1),
    "proximal L2": proximal(prox.l2, 1e-2, 1e-1, 1.0),
    "proximal elastic net": proximal(partial(prox.elastic_net, beta=5.0), 1e-3, 1e-2, 1e-1),
    "proximal group lasso": proximal(prox.group_lasso, 1e-2, 1e-1, 1.0),
    "proximal sparse group lasso": proximal(partial(prox.sparse_group_lasso, l1_ratio=0.5), 1e-3, 1e-2, 1e-1),
    "proximal nuclear norm": proximal(prox.nuclear_norm, 1e-2, 1e-1, 1.0, seldom=True),
    "decoupled L1": step(lambda s, task: transforms.decoupled_l1(s), 1e-6, 1e-5, 1e-4),
    "decay towards the start": step(lambda s, task: transforms.decay_towards(s), 1e-4, 1e-3, 1e-2),
    "spectral penalty": Family(
        "penalty",
        (1e-3, 1e-2, 1e-1),
        lambda s, task: {"wrap": lambda adam: optax.chain(transforms.spectral_penalty(s), adam)},
    ),
    "gradient clipping": Family(
        "optimizer",
        (0.1, 0.5, 2.0),
        lambda s, task: {"wrap": lambda adam: optax.chain(optax.clip_by_global_norm(s), adam)},
    ),
    "ASAM": Family(
        "optimizer", (0.1, 0.5, 2.0), lambda s, task: {"wrap": lambda adam: transforms.sam(adam, s, adaptive=True)}
    ),
    "SWA": step(lambda s, task: transforms.swa_params(jnp.round(s)), 100.0, 200.0, 300.0, kind="optimizer"),
    "dropout of inputs": network("input_dropout", 0.1, 0.2, 0.4),
    "classic dropout": layer(nn.ClassicDropout, 0.2, 0.35, 0.5),
    "Gaussian dropout": layer(nn.GaussianDropout, 0.2, 0.35, 0.5),
    "noise on activations": layer(nn.GaussianNoise, 0.1, 0.3, 1.0),
    "noise on inputs": inputs(stochastic.gaussian_noise, 0.05, 0.1, 0.3),
    "uniform noise on inputs": inputs(stochastic.uniform_noise, 0.1, 0.2, 0.5),
    "salt and pepper": inputs(stochastic.salt_and_pepper, 0.02, 0.05, 0.15),
    "noise on weights": weights(stochastic.gaussian_noise, 0.01, 0.03, 0.1),
    "DropConnect": weights(stochastic.drop_connect, 0.2, 0.35, 0.5),
    "dropout and max-norm": Family(
        "noise",
        (0.2, 0.35, 0.5),
        lambda s, task: {
            "network": {"dropout": s},
            "behind": transforms.project(partial(projections.max_norm, c=1.0)),
        },
    ),
    "rotation": image(augment.rotate, 5.0, 15.0, 30.0),
    "zoom": image(augment.zoom, 0.1, 0.2, 0.4),
    "stretch": image(augment.stretch, 0.1, 0.2, 0.4),
    "shear": image(augment.shear, 5.0, 15.0, 30.0),
    "crop": image(augment.crop, 1.0, 2.0, 3.0),
    "mirror": image(augment.flip_left_right, 0.05, 0.1, 0.5),
    "upside down": image(augment.flip_up_down, 0.05, 0.1, 0.5),
    "blur": image(augment.blur, 0.02, 0.04, 0.08, of_width=True),
    "brightness": image(augment.brightness, 0.05, 0.1, 0.3),
    "contrast": image(augment.contrast, 0.1, 0.3, 0.6),
    "cutout": image(augment.cutout, 0.2, 0.35, 0.5, of_width=True),
    "random erasing": image(augment.random_erasing, 0.05, 0.1, 0.3),
    "changed pixels": image(augment.change_pixels, 0.02, 0.05, 0.15),
    "RandAugment": image(lambda key, x, s: augment.rand_augment(key, x, CHOICES, 1, s), 0.25, 0.5, 1.0),
    "CutMix": mixed(mixing.cutmix, 0.1, 0.3, 1.0, axes=2),
    "sample pairing": mixed(mixing.sample_pairing, 0.1, 0.3, 0.6),
    "SMOTE": mixed(mixing.smote, 0.3, 0.6, 1.0),
    "stochastic depth": residual("noise", 0.1, 0.2, 0.5, base="residual network"),
    "alpha dropout": selu("noise", 0.05, 0.1, 0.3, base="SELU network"),
    "spatial dropout": convolutional("noise", 0.05, 0.1, 0.3, base="convolutional network"),
    **{
        f"{name} normalization": normalization(name.lower().replace(" ", "_"))
        for name in ("batch renorm", "ghost batch", "layer", "group", "RMS", "response", "weight", "spectral", "cosine")
    },
    "weight standardization": normalization("standardized"),
}
EVERYTHING = BASES | FAMILIES
COLOURS = {
    "augmentation or mixing": "#d55e00",
    "noise": "#0072b2",
    "penalty": "#009e73",
    "constraint or step": "#cc79a7",
    "normalization": "#000000",
    "optimizer": "#e69f00",
}


def recipe_of(task: Task) -> Callable[[Any], jreg.Recipe]:
    """The recipe of all families: ``hp["family"]`` is static, ``hp["strength"]`` traced."""

    def recipe(hp: Any) -> jreg.Recipe:
        parts = EVERYTHING[hp["family"]].parts(hp["strength"], task)
        optimizer = parts.pop("wrap", lambda adam: adam)(optax.adam(RATE))
        if "behind" in parts:
            optimizer = optax.chain(optimizer, parts.pop("behind"))
        model = parts.pop("model", None) or nn.MLP((UNITS, UNITS, 10), **parts.pop("network", {}))
        loss = parts.pop("loss", losses.softmax_cross_entropy)
        return jreg.Recipe(model, loss, optimizer, preprocess=jreg.data.scale(task.largest), **parts)

    return recipe


def task_of(task: Task) -> dict[str, int]:
    """What scores depend on beside the family."""
    return {"rows": task.rows, "epochs": task.epochs, "batch": task.batch, "units": UNITS, "inner": INNER}


def rows_of(name: str, task: Task) -> jreg.Dataset:
    """The rows that jreg trains on, images as images; their order is random already."""
    data = jreg.load_dataset(name)
    x, y = np.asarray(data.x)[: task.rows], np.asarray(data.y)[: task.rows]
    return jreg.Dataset(x.reshape(len(x), *task.shape), y, name=name)


def folder_of(store: Path, data: str, family: str) -> Path:
    """Where the study of a family is kept while it trains, and afterwards."""
    return store / data / family.replace(" ", "_").replace(",", "")


def measured(recipe: Any, data: jreg.Dataset, task: Task, name: str, store: Path) -> dict[str, Any]:
    """The outer scores of a family, and which of its strengths each outer fold has chosen."""
    family = EVERYTHING[name]
    study = jreg.nested_cross_validate(
        recipe,
        data,
        [{"family": family.program or name, "strength": s} for s in family.strengths],
        outer=RepeatedStratifiedKFold(n_splits=OUTER, n_repeats=REPEATS, random_state=0),
        inner=INNER,
        epochs=task.epochs,
        batch_size=task.batch,
        # A training that diverges knows nothing.
        error_score=0.0,
        keep=[],
        store=folder_of(store, data.name, name),
        progress=False,
        stopping=family.stopping,
    )
    timing = study.results.timing
    strengths = [choice.hyperparameters["strength"] for choice in study.choices if choice is not None]
    return {
        "scores": [round(float(score), 4) for score in study.scores[:, 0]],
        "chosen": [family.strengths.index(s) for s in strengths],
        "seconds": [round(timing.compile_seconds, 1), round(timing.run_seconds, 1)],
    }


def compared(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The gain of each family, the largest first."""
    rows = []
    for name, own in found.items():
        family = EVERYTHING[name]
        if family.kind == "network" or family.base not in found:
            continue
        scores, base = (np.array(one["scores"])[:, None] for one in (own, found[family.base]))
        gain = statistics.paired_difference(scores, base, test_share=1 / (OUTER - 1))
        chosen = [own["chosen"].count(number) for number in range(len(family.strengths))]
        rows.append({"name": name, "accuracy": scores.mean(), "chosen": chosen, **gain._asdict()})
    for row, p in zip(rows, statistics.holm(np.array([row["p"] for row in rows])), strict=True):
        row["holm"] = p
    return sorted(rows, key=lambda row: -row["difference"])


def compact(found: dict[str, Any]) -> str:
    """JSON with one line per family."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(own)}" for name, own in found["families"].items())
    head = "".join(f" {json.dumps(key)}: {json.dumps(found[key])},\n" for key in found if key != "families")
    return f'{{\n{head} "families": {{\n{lines}\n }}\n}}\n'


def table(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The table of a data set in Markdown."""
    bases = [f"{name}: {100 * np.mean(found[name]['scores']):.2f}" for name in BASES if name in found]
    lines = [
        f"Mean accuracy of the outer folds without regularization, in percent: {', '.join(bases)}.",
        "",
        "| family | accuracy | gain in points, 95% interval | p | p by Holm | strengths, and how many of "
        f"{OUTER * REPEATS} outer folds chose them |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        family = EVERYTHING[row["name"]]
        name = row["name"] if family.base == "none" else f"{row['name']} ({family.base})"
        gain = f"{100 * row['difference']:+.2f} ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})"
        chosen = ", ".join(f"{s:g}: {n}" for s, n in zip(family.strengths, row["chosen"], strict=True))
        shown = (name, f"{100 * row['accuracy']:.2f}", gain, f"{row['p']:.2g}", f"{row['holm']:.2g}")
        lines.append(f"| {' | '.join((*shown, chosen if len(family.strengths) > 1 else ''))} |")
    return "\n".join(lines) + "\n"


def drawn(name: str, rows: list[dict[str, Any]]) -> Figure:
    """The gains as ranked dots with their intervals."""
    figure = Figure(figsize=(7.5, 1.3 + 0.155 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    gains = [100 * row["difference"] for row in rows]
    low = min([-1.5, *(gain for gain in gains if gain > -5)])
    for place, row in enumerate(rows):
        gain = 100 * row["difference"]
        colour = COLOURS[EVERYTHING[row["name"]].kind]
        sure = row["holm"] <= 0.05
        if gain < low:
            axes.annotate(f"{gain:.1f}", (low - 0.65, place), color=colour, fontsize=6, va="center")
            continue
        axes.hlines(place, 100 * row["low"], 100 * row["high"], color=colour, linewidth=1)
        axes.plot(gain, place, "o", color=colour, markersize=4, markerfacecolor=colour if sure else "white")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlim(low - 0.7, max([2.0, *(100 * row["high"] + 0.3 for row in rows)]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=6)
    axes.set_xlabel("gain in accuracy over the same network without it (percentage points, 95% interval)", fontsize=8)
    helped = sum(row["holm"] <= 0.05 and row["difference"] > 0 for row in rows)
    axes.set_title(
        f"{name}: {helped} of {len(rows)} families help for sure (filled: Holm's p is at most 0.05)", fontsize=9
    )
    for kind, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, markersize=4, label=kind)
    axes.legend(fontsize=7, loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and writes for each data set its numbers, a table and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=tuple(TASKS), default=list(TASKS), help="which data sets")
    parser.add_argument("--families", nargs="+", choices=tuple(EVERYTHING), default=list(EVERYTHING), metavar="NAME")
    parser.add_argument("--out", type=Path, default=HERE, help="where the numbers, tables and pictures go")
    parser.add_argument("--store", type=Path, help="where unfinished studies are kept; default: runs in --out")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--smoke", action="store_true", help="two families of a few digits, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    store = options.store or options.out / "runs"
    for name in ["digits"] if options.smoke else options.data:
        task = TASKS[name]._replace(rows=60, epochs=1) if options.smoke else TASKS[name]
        families = ["none", "L2"] if options.smoke else options.families
        recipe, data, path = recipe_of(task), rows_of(name, task), options.out / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else {}
        found = known["families"] if known.get("task") == task_of(task) and not options.again else {}
        for family in families:
            if family in found or EVERYTHING[family].axes not in (None, len(task.shape)):
                continue
            if options.again:
                shutil.rmtree(folder_of(store, name, family), ignore_errors=True)
            found[family] = measured(recipe, data, task, family, store)
            print(f"{name}, {family}: {100 * np.mean(found[family]['scores']):.2f}%", flush=True)
            text = {"task": task_of(task), "families": found}
            path.write_text(compact(text))
        rows = compared(found)
        (options.out / f"{name}.md").write_text(table(found, rows))
        drawn(name, rows).savefig(options.out / f"{name}.png", dpi=100)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
