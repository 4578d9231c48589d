"""Studies of every leaf family, trained on one device and on eight of which four share each training.

Run as a script with a folder and names of families it writes what the studies left, one file for each of the two.
"""

import json
import re
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx

import jreg
from jreg import augment, keep, losses, metrics, mixing, models, nn, penalties, projections, prox, transforms
from jreg import objective as lifts
from jreg.engine import compiled

# 44 rows train in each fold: two batches of 15, which four devices can't share evenly, and one of 14. The final
# training ends with 6 rows, since a variance of two would make much of roundings. Blocks of an evaluation have 22.
ROWS, BATCH, FOLDS, CLASSES, SIDE = 66, 15, 3, 3, 6
CE = losses.softmax_cross_entropy
COLLECTIVE = re.compile(r"= \S+ (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(-start)?\(")
PARTITIONS = re.compile(r"num_partitions=(\d+)")


def data(task: str = "classes") -> jreg.Dataset:
    """Rows of 6 x 6 numbers with weights, of three classes, of two or of a regression."""
    rng = np.random.default_rng(0)
    y = np.arange(ROWS + 9) % (2 if task == "two" else CLASSES)
    x = rng.normal(size=(len(y), SIDE, SIDE)) + 0.4 * np.eye(CLASSES, SIDE)[y][:, None]
    weights = rng.integers(1, 4, len(y)).astype(np.float32)
    y = rng.normal(size=len(y)) + x[:, 0].sum(-1) if task == "numbers" else y
    train, test = slice(0, ROWS), slice(ROWS, None)
    return jreg.Dataset(x[train], y[train], x[test], y[test], name=task, weights=weights[train])


class Noisy(linen.Module):
    """Every layer of noise, one after the other; `rate` may be traced."""

    rate: Any

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        """The logits."""
        rate = self.rate
        images = nn.DropBlock(rate, 2)(nn.SpatialDropout(rate)(x[..., None], train=train), train=train)
        images = nn.FeatureCutout(rate)(nn.FeatureAlphaDropout(rate)(images, train=train), train=train)
        images = nn.StochasticPool((2, 2))(jax.nn.softplus(images), train=train)
        images = nn.FractionalMaxPool(1.5)(images, train=train)
        h = jax.nn.tanh(nn.Dense(16)(images.reshape(len(x), -1)))
        for layer in (nn.Dropout, nn.ClassicDropout, nn.GaussianDropout, nn.GaussianNoise, nn.UniformNoise):
            h = layer(rate)(h, train=train)
        h = nn.Zoneout(rate)(h, jax.nn.tanh(nn.Dense(16)(h)), train=train)
        h = nn.ShakeShake()(h, nn.DropPath(rate)(jax.nn.tanh(nn.Dense(16)(h)), train=train), train=train)
        h = nn.SaltAndPepper(rate)(nn.AlphaDropout(rate)(h, train=train), train=train)
        last = self.param("kernel", jax.nn.initializers.he_uniform(), (16, CLASSES))
        return h @ (jreg.stochastic.drop_connect(self.make_rng("dropout"), last, rate) if train else last)


class OfNNX(nnx.Module):
    """A network of NNX's with batch normalization and dropout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.first, self.last = nnx.Linear(SIDE * SIDE, 8, rngs=rngs), nnx.Linear(8, CLASSES, rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(8, rngs=rngs), nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        """The logits."""
        return self.last(self.dropout(jax.nn.relu(self.norm(self.first(x.reshape(len(x), -1))))))


def recipe(hp: Any, **parts: Any) -> jreg.Recipe:
    """A small network, or what is given in its place.

    Plain gradient descent: an optimizer that divides by the size of gradients makes steps of those that are 0 but for
    rounding, and such a step has either sign.
    """
    given = {"model": nn.MLP((8, CLASSES)), "loss": CE, "optimizer": optax.sgd(hp["rate"], momentum=0.5)}
    return jreg.Recipe(**given | {"penalty": hp["strength"] * jreg.on_params(penalties.l2)} | parts)


def of_params(hp: Any) -> jreg.Recipe:
    """Penalties of the parameters, which every device has."""
    some = (penalties.l2, penalties.l1, penalties.group_lasso, penalties.nuclear_norm, penalties.orthogonal)
    terms = [hp["strength"] * jreg.on_params(penalty) for penalty in (*some, penalties.weight_correlation)]
    terms.append(hp["strength"] * jreg.on_network(penalties.path_norm))
    return recipe(hp, penalty=sum(terms[1:], terms[0]))


def of_passes(hp: Any) -> jreg.Recipe:
    """Penalties of what the network makes of a batch, of which each device has a part."""
    hidden, s = "hidden_*", hp["strength"]
    penalty = (
        s * jreg.on_activations(partial(penalties.kl_sparsity, rho=0.2), hidden)
        + s * jreg.on_activations(penalties.decov, hidden)
        + s * jreg.on_activations(penalties.variance, hidden)
        + s * jreg.on_activations(penalties.l1, hidden)
        + s * jreg.on_outputs(penalties.confidence)
        + s * jreg.on_inputs(penalties.input_gradient, of="loss")
        + s * jreg.on_inputs(penalties.jacobian_projection)
        + s * jreg.on_passes(penalties.r_drop)
        + lifts.on_loss(partial(penalties.flooding, b=0.3))
    )
    return recipe(hp, model=nn.MLP((8, CLASSES), activation="sigmoid", dropout=0.3), penalty=penalty)


def projected(hp: Any) -> jreg.Recipe:
    """Constraints of the weights after each step, which every device takes for itself."""
    of_all = (partial(projections.max_norm, c=0.9), partial(projections.spectral_ball, c=1.5))
    chain = [jreg.project(projection) for projection in of_all]
    # One layer has units of length 1, and the other no negative weights.
    for projection, layer in ((projections.unit_norm, 0), (projections.non_negative, 1)):
        chain.append(jreg.project(projection, where=f"*_{layer}/kernel"))
    return recipe(hp, optimizer=optax.chain(optax.sgd(hp["rate"]), *chain))


def proximal(hp: Any) -> jreg.Recipe:
    """Proximal operators, whose zeros are exact."""
    shrink = jreg.proximal(prox.l1, 20 * hp["strength"], hp["rate"])
    return recipe(hp, optimizer=optax.chain(optax.sgd(hp["rate"]), shrink))


def stochastic(hp: Any) -> jreg.Recipe:
    """Noise on activations and weights."""
    return recipe(hp, model=Noisy(hp["strength"] * 10))


def augmented(hp: Any) -> jreg.Recipe:
    """Images that are changed, each by itself."""
    some = [partial(augment.affine, rotation=20.0, shift=1.0, zoom=0.1), partial(augment.flip_left_right, p=0.5)]
    some += [partial(augment.crop, padding=1), partial(augment.elastic, alpha=2.0, sigma=1.0)]
    some += [partial(augment.random_erasing, area=0.2), partial(augment.blur, sigma=0.5)]
    return recipe(hp, augment=augment.compose(*some))


def mixed(hp: Any) -> jreg.Recipe:
    """Examples that are mixed with others of the batch, which may be on another device."""
    some = [partial(mixing.mixup, alpha=0.4), partial(mixing.cutmix, alpha=0.4)]
    some += [partial(mixing.smote, reach=0.3), partial(mixing.sample_pairing, rate=0.3)]
    return recipe(hp, mixing=mixing.compose(*some, partial(mixing.label_smoothing, rate=0.1)))


def normalized(hp: Any, normalization: Any, averages: bool = False) -> jreg.Recipe:
    """Statistics of the whole batch, and their running averages."""
    optimizer = optax.sgd(hp["rate"])
    if averages:
        optimizer = optax.chain(optimizer, transforms.ema_params(0.9))
    return recipe(hp, model=nn.MLP((8, CLASSES), normalization=normalization), optimizer=optimizer)


def sharp(hp: Any) -> jreg.Recipe:
    """Optimizers that ask for gradients elsewhere, or keep vectors beside the weights."""
    chain = optax.chain(transforms.spectral_penalty(hp["strength"]), optax.sgd(hp["rate"]))
    chain = optax.chain(transforms.sam(chain, rho=0.05), transforms.decoupled_weight_decay(hp["strength"]))
    # A state with a random key.
    chain = optax.chain(optax.add_noise(0.01, 0.5, key=jax.random.key(1)), chain)
    return recipe(hp, optimizer=chain)


def scored(hp: Any) -> jreg.Recipe:
    """Losses and metrics of two classes, also such that need all outputs at once."""
    found = {name: getattr(metrics, name) for name in ("roc_auc", "average_precision", "mcc", "balanced_accuracy")}
    found |= {"f1": metrics.f1("binary"), "ece": metrics.ece(5), "brier": metrics.brier, "log_loss": metrics.log_loss}
    found["size"] = metrics.of_params(optax.tree.norm, maximize=False)
    loss = partial(losses.sigmoid_focal, gamma=2.0)
    return recipe(hp, model=nn.MLP((8, 1)), loss=loss, metrics=found, class_weight="balanced")


def regressed(hp: Any) -> jreg.Recipe:
    """A regression with preprocessing of both sides, and a loss of several parts."""

    def loss(outputs: Any, targets: Any) -> Any:
        parts = {"huber": losses.huber(outputs, targets, 1.0), "absolute": losses.absolute_error(outputs, targets)}
        return losses.squared_error(outputs, targets), parts

    found = {
        "r2": metrics.r2,
        "mae": metrics.mae,
        "rmse": metrics.rmse,
        "median": metrics.collecting(median, maximize=False),
    }
    scale = jreg.data.standardize()
    return recipe(hp, model=nn.MLP((8, 1)), loss=loss, metrics=found, preprocess=scale, targets=scale)


def median(outputs: Any, targets: Any, weights: Any) -> Any:
    """Of the absolute errors."""
    return jnp.nanmedian(jnp.where(weights > 0, jnp.abs(outputs.reshape(targets.shape) - targets), jnp.nan))


def everything(hp: Any) -> jreg.Recipe:
    """One of each family at once, for a quick test."""
    penalty = hp["strength"] * jreg.on_params(penalties.l2)
    penalty += hp["strength"] * jreg.on_activations(penalties.decov, "hidden_*")
    bounded = jreg.project(partial(projections.max_norm, c=0.9))
    return recipe(
        hp,
        model=nn.MLP((8, CLASSES), dropout=0.3, normalization="batch"),
        optimizer=optax.chain(optax.sgd(hp["rate"]), bounded),
        penalty=penalty,
        metrics={"accuracy": metrics.accuracy, "auc": metrics.roc_auc},
        augment=partial(augment.flip_left_right, p=0.5),
        mixing=partial(mixing.mixup, alpha=0.4),
    )


def small(hp: Any) -> jreg.Recipe:
    """What compiles fastest."""
    return recipe(hp, model=nn.MLP((8, CLASSES), dropout=0.3))


PLAIN: dict[str, Any] = {"epochs": 4, "stopping": None}
STOPPING: dict[str, Any] = {"epochs": 12, "stopping": jreg.EarlyStopping(2), "validation_fraction": 0.2}
# By name the recipe, the data and the options of a study.
FAMILIES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "small": (small, "classes", {"epochs": 3, "stopping": jreg.EarlyStopping(1)}),
    "everything": (everything, "classes", {"epochs": 8, "stopping": jreg.EarlyStopping(2)}),
    "penalties of parameters": (of_params, "classes", PLAIN),
    "penalties of passes": (of_passes, "classes", PLAIN),
    "projections": (projected, "classes", PLAIN),
    "proximal": (proximal, "classes", PLAIN),
    "stochastic": (stochastic, "classes", PLAIN),
    "augment": (augmented, "classes", PLAIN),
    "mixing": (mixed, "classes", PLAIN),
    "batch": (partial(normalized, normalization="batch"), "classes", PLAIN),
    "batch renorm": (partial(normalized, normalization="batch_renorm"), "classes", PLAIN),
    "ghost batch": (partial(normalized, normalization=partial(nn.GhostBatchNorm, size=5)), "classes", PLAIN),
    "layer": (partial(normalized, normalization="layer"), "classes", PLAIN),
    "averages": (partial(normalized, normalization="batch", averages=True), "classes", PLAIN),
    "nnx": (partial(recipe, model=models.from_nnx(OfNNX)), "classes", PLAIN),
    "transforms": (sharp, "classes", PLAIN),
    "metrics": (scored, "two", PLAIN),
    "regression": (regressed, "numbers", PLAIN),
    "stopping": (recipe, "classes", STOPPING),
    "race": (recipe, "classes", {"epochs": 9, "stopping": None, "race": jreg.successive_halving(least=3)}),
    "paired race": (recipe, "classes", {"epochs": 9, "stopping": None, "race": jreg.paired_elimination(alpha=0.05)}),
    "batches of slots": (everything, "classes", PLAIN),
}


def conduct(name: str, layout: jreg.Layout) -> dict[str, np.ndarray]:
    """What the study of a family leaves: columns, parameters, outputs of validation rows, and the final network."""
    of, task, options = FAMILIES[name]
    space = jreg.grid(rate=[0.05], strength=[1e-3, 1e-2])
    kept = [keep.network, keep.outputs, keep.train_scores]
    options = {"cv": FOLDS, "batch_size": BATCH, "keep": kept, "progress": False} | options
    study = jreg.cross_validate(of, data(task), space, layout=layout, **options)
    found = {
        "history": study.history,
        "epochs": study.epochs_run,
        "best epochs": study.best_epochs,
        "status": study.status,
    }
    for setting in range(len(space.settings)):
        for kind in study.spec.keep:
            trees = [tree for _, tree in study.results.kept(setting, kind)] if kind != "RowScores" else []
            leaves = jax.tree.leaves(trees)
            found |= {f"{kind} {setting} {number}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
    if name in ("everything", "batch", "metrics"):
        final = jreg.refit(study, progress=False)
        found |= {f"refit {n}": np.asarray(leaf) for n, leaf in enumerate(jax.tree.leaves((final.params, final.test)))}
    return found


def main(folder: str, *names: str) -> None:
    """Writes what the studies leave."""
    warnings.filterwarnings("ignore", "data=4 has 4 devices")
    jreg.use_cpu_devices(8)
    programs: list[Any] = []
    bytes_of = compiled.bytes_of

    def described(program: Any) -> int | None:
        text = program.as_text()
        devices = sorted(device.id for device in jax.tree.leaves(program.input_shardings)[0].device_set)
        programs.append((devices, int([*PARTITIONS.findall(text), 1][0]), len(COLLECTIVE.findall(text))))
        return bytes_of(program)

    compiled.bytes_of = described
    for name in names:
        batch = 2 if name == "batches of slots" else 1
        layouts = {"one": jreg.Layout(jax.devices()[:1]), "shared": jreg.Layout(slots=batch, batch=batch, data=4)}
        assert layouts["shared"].groups == 2
        if name == "small":
            # In the program of the first group, which is compiled by then.
            layouts["group"] = jreg.Layout(jax.devices()[:4], data=4)
        for kind, layout in layouts.items():
            if kind == "shared":
                programs.clear()
            np.savez(Path(folder) / f"{name}-{kind}.npz", **conduct(name, layout))
        (Path(folder) / f"{name}-programs.json").write_text(json.dumps(programs))


if __name__ == "__main__":
    main(*sys.argv[1:])
