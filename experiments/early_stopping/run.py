"""Is early stopping a regularizer, and how much patience does it need?

Command:  python experiments/early_stopping/run.py        (--smoke runs in seconds)
Data:     a quadratic of two weights; linear regression on 60 rows of diabetes, tried on 293 others, 200 draws;
          scikit-learn's digits
Network:  none, gradient descent from 0 on least squares; MLP 64-64-10 by plain SGD, batches of 32, learning rates 0.01,
          0.1 and 0.5, 900 steps, 5 seeds; MLP 64-64-10 with Adam 3e-3, without and with dropout 0.5, 80 epochs, 10
          folds x 3 seeds, stopped on a tenth of the training rows
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work; 23 s, 24 s of processor time
Result:   early stopping against ridge of strength 1 / (rate x steps): the shares of the least-squares solution they
          leave differ by at most 0.2036 and a factor of 1.2984, whose square is the 1.69 that Ali, Kolter and
          Tibshirani (2019) prove for the ratio of their risks; on diabetes the mean errors have a ratio of at most
          1.031, least values of 0.5064 and 0.5091, and 0.5592 at the end
          |w_t - w_0| <= rate x t x max|g| holds in every step, with equality in the first; after 900 steps the distance
          is 0.235, 0.054 and 0.011 of the bound
          patience 1 costs 0.014 of accuracy against all 80 epochs, 5 costs 0.003 and runs 32 to 37 of them; no patience
          gains anything here, where 80 epochs don't overfit
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, statistics

HERE = Path(__file__).parent
BLUE, RED, SAND = "#1f4e79", "#b3372e", "#e0a458"
PATIENCES, DROPOUTS, RATES = (1, 2, 3, 5, 8, 12, 20, 40), (0.0, 0.5), (0.01, 0.1, 0.5)


def paths(hessian: np.ndarray, slope: np.ndarray, rate: float, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(steps, ..., weights)``: after t steps from 0 on 1/2 w'Hw - b'w, and with L2 of strength 1 / (rate t)."""
    w, stopped = np.zeros_like(slope), []
    for step in range(1, steps[-1] + 1):
        w = w - rate * ((hessian @ w[..., None])[..., 0] - slope)
        if step in steps:
            stopped.append(w)
    ridge = [np.linalg.solve(hessian + np.eye(slope.shape[-1]) / (rate * t), slope[..., None])[..., 0] for t in steps]
    return np.array(stopped), np.array(ridge)


def shrinkage() -> dict[str, float]:
    """How far the shares of the least-squares solution are apart that both leave, over all x = rate x t x curvature."""
    x = np.logspace(-4, 4, 100_001)
    stopped, ridge = -np.expm1(-x), x / (1 + x)
    return {
        "largest_difference": round(float(np.max(stopped - ridge)), 4),
        "at_x": round(float(x[np.argmax(stopped - ridge)]), 3),
        "largest_ratio": round(float(np.max(stopped / ridge)), 4),
    }


def errors_on_diabetes(draws: int, steps: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """``(steps, draws)``: squared errors on the rows that weren't drawn, of both; the targets' variance is 1."""
    data = jreg.load_dataset("diabetes")
    x, y = ((a - a.mean(axis=0)) / a.std(axis=0) for a in (np.float64(data.x), np.float64(data.y)))
    orders = np.stack([np.random.default_rng(draw).permutation(len(x)) for draw in range(draws)])
    rows, others = orders[:, :60], orders[:, 60:]
    hessian = np.einsum("dni,dnj->dij", x[rows], x[rows]) / 60
    both = paths(hessian, np.einsum("dni,dn->di", x[rows], y[rows]) / 60, rate, steps)
    stopped, ridge = (np.square(np.einsum("dni,tdi->tdn", x[others], w) - y[others]).mean(axis=-1) for w in both)
    return stopped, ridge


def against_ridge(smoke: bool, out: Path) -> dict[str, Any]:
    """Both paths on a quadratic, and both errors on diabetes."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    hessian, best, rate = turn @ np.diag([1.0, 0.15]) @ turn.T, turn @ np.array([1.0, 1.4]), 0.02
    shown = (20, 100, 500)
    stopped, ridge = paths(hessian, hessian @ best, rate, np.arange(1, 601 if smoke else 5001))
    figure = Figure(figsize=(9.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.5, 100), np.linspace(-0.1, 1.9, 100)), axis=-1)
    heights = np.einsum("...i,ij,...j->...", grid - best, hessian, grid - best)
    left.contour(grid[..., 0], grid[..., 1], heights, levels=10, colors="#b8c0c8", linewidths=0.8)
    left.plot(*stopped.T, color=BLUE, linewidth=2, label="early stopping, t steps")
    left.plot(*ridge.T, color=RED, linewidth=2, linestyle="--", label=r"ridge, $\alpha = 1/(\eta t)$")
    for t in shown:
        left.plot(*np.stack([stopped[t - 1], ridge[t - 1]]).T, color="black", linewidth=0.8, marker="o", markersize=3)
        left.annotate(f"t = {t}", stopped[t - 1], fontsize=8, xytext=(6, -3), textcoords="offset points")
    left.plot(*best, "*", color="black", markersize=10, label="least loss")
    left.set(xlabel="weight $w_1$", ylabel="weight $w_2$")
    left.set_title("A quadratic: stopping after t steps is near ridge", fontsize=10)
    steps = np.unique(np.logspace(0, 2 if smoke else 4, 80).astype(int))
    errors = errors_on_diabetes(10 if smoke else 200, steps, 0.05)
    for name, values, colour, look in zip(("early stopping", "ridge"), errors, (BLUE, RED), ("-", "--"), strict=True):
        right.plot(0.05 * steps, values.mean(axis=1), color=colour, linestyle=look, linewidth=2, label=name)
    right.set(xscale="log", xlabel=r"$\eta t = 1/\alpha$ (no unit)", ylabel="squared error on other rows (variances)")
    least = " and ".join(f"{values.mean(axis=1).min():.3f}" for values in errors)
    right.set_title(f"Diabetes, 60 rows: least errors {least}", fontsize=10)
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "ridge.png", dpi=100)
    means = [values.mean(axis=1) for values in errors]
    places = [int(mean.argmin()) for mean in means]
    difference = statistics.paired_difference(
        *(values[place, :, None] for values, place in zip(errors, places, strict=True)), 0.0
    )
    apart = np.linalg.norm(stopped - ridge, axis=1).max() / np.linalg.norm(best)
    return {
        "shrinkage": shrinkage(),
        "quadratic": {"largest_distance_by_norm": round(float(apart), 4)},
        "diabetes": {
            "least_errors": [round(float(mean.min()), 4) for mean in means],
            "at": [round(float(0.05 * steps[place]), 2) for place in places],
            "difference": [round(float(value), 5) for value in difference[:3]],
            "without": round(float(means[0][-1]), 4),
            "largest_ratio_of_mean_errors": round(float(np.max(means[0] / means[1])), 4),
        },
    }


def distances(smoke: bool, out: Path) -> dict[str, Any]:
    """How far plain SGD gets from where it began, beside the bound, in a loop of one's own."""
    data = jreg.load_dataset("digits")
    x, y, network = jnp.asarray(data.x, jnp.float32) / 16, jnp.asarray(data.y), nn.MLP((64, 10))

    def loss(params: Any, rows: Any) -> Any:
        outputs = network.apply({"params": params}, x[rows])
        return losses.softmax_cross_entropy(outputs, y[rows]).mean()

    def trained(rate: Any, seed: Any) -> tuple[Any, Any]:
        first = network.init(jax.random.key(seed), x[:1])["params"]

        def step(params: Any, key: Any) -> tuple[Any, tuple[Any, Any]]:
            gradient = jax.grad(loss)(params, jax.random.randint(key, (32,), 0, len(x)))
            params = jax.tree.map(lambda w, g: w - rate * g, params, gradient)
            return params, (optax.tree.norm(optax.tree.sub(params, first)), optax.tree.norm(gradient))

        return jax.lax.scan(step, first, jax.random.split(jax.random.key(seed), 20 if smoke else 900))[1]

    seeds = jnp.arange(5)
    each = jax.vmap(jax.vmap(trained, (None, 0)), (0, None))
    moved, slopes = (np.asarray(values, np.float64) for values in jax.jit(each)(jnp.array(RATES), seeds))
    steps, rates = np.arange(1, moved.shape[-1] + 1), np.array(RATES)[:, None, None]
    bound = rates * steps * np.maximum.accumulate(slopes, axis=-1)
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, colour in enumerate((SAND, RED, BLUE)):
        axes.plot(
            steps, moved[number].mean(axis=0), color=colour, linewidth=2, label=rf"distance, $\eta$ = {RATES[number]:g}"
        )
        axes.plot(steps, bound[number].mean(axis=0), color=colour, linestyle=":", linewidth=2)
    axes.plot([], [], color="black", linestyle=":", label=r"bound $\eta\, t \max|g|$")
    axes.set(xscale="log", yscale="log", xlabel="steps t of SGD", ylabel=r"$|w_t - w_0|$ (no unit)")
    axes.set_title("Digits: weights stay far inside the bound", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "bound.png", dpi=120)
    ratio, length = moved / bound, moved / (rates * np.cumsum(slopes, axis=-1))
    return {
        "steps": len(steps),
        "largest_ratio": round(float(ratio.max()), 6),
        "rates": {
            str(rate): {
                "distance": round(float(moved[number, :, -1].mean()), 3),
                "bound": round(float(bound[number, :, -1].mean()), 2),
                "ratio": round(float(ratio[number, :, -1].mean()), 4),
                "ratio_to_path_length": round(float(length[number, :, -1].mean()), 4),
            }
            for number, rate in enumerate(RATES)
        },
    }


def recipe(hp: Any) -> jreg.Recipe:
    """A small network for digits; both rates of dropout share a program."""
    model = nn.MLP((64, 10), dropout=hp["dropout"])
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.adam(3e-3), preprocess=jreg.data.scale(16))


def replayed(curves: Any, patience: int) -> tuple[np.ndarray, np.ndarray]:
    """The best epoch and the epochs run, had each training along the last axis been stopped with this patience."""
    stopping, epochs = jreg.EarlyStopping(patience), curves.shape[-1]

    def one(curve: Any) -> tuple[Any, Any]:
        def step(state: Any, seen: Any) -> tuple[Any, Any]:
            state = stopping.update(state, *seen, {})
            return state, state.stopped

        state, stopped = jax.lax.scan(step, stopping.init({}), (curve, jnp.arange(epochs, dtype=jnp.int32)))
        return state.best_epoch, jnp.minimum(jnp.sum(~stopped, dtype=jnp.int32) + 1, epochs)

    found = jax.jit(jax.vmap(one))(jnp.asarray(curves, jnp.float32).reshape(-1, epochs))
    best, run = (np.asarray(values).reshape(curves.shape[:-1]) for values in found)
    return best, run


def patience(smoke: bool, out: Path) -> dict[str, Any]:
    """One study without stopping, in which every patience is replayed, and one with it to see that this is the same."""
    data, space = jreg.load_dataset("digits"), jreg.grid(dropout=DROPOUTS)
    folds, seeds, epochs = (2, 1, 3) if smoke else (10, 3, 80)
    asked = {"cv": folds, "seeds": seeds, "epochs": epochs, "batch_size": 32, "validation_fraction": 0.1, "keep": []}
    study = jreg.cross_validate(recipe, data, space, stopping=jreg.EarlyStopping(epochs), **asked)
    curves, accuracies = study.curve("stop_loss"), study.curve("val_accuracy")
    stops = {value: replayed(curves, value) for value in (PATIENCES[:2] if smoke else PATIENCES)}
    found: dict[str, Any] = {"trainings": int(np.prod(curves.shape[:-1]))}
    if not smoke:
        real = jreg.cross_validate(recipe, data, space, stopping=jreg.EarlyStopping(5), **asked)
        found["replay_equals_stopping"] = int((real.best_epochs == stops[5][0]).sum())
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (dropout, colour) in enumerate(zip(DROPOUTS, (BLUE, RED), strict=True)):
        rows = []
        for value, (best, run) in stops.items():
            score = np.take_along_axis(accuracies[number], best[number][..., None], axis=-1)[..., 0]
            gain = statistics.paired_difference(score, accuracies[number, ..., -1], 1 / (folds - 1))
            mean, error = statistics.mean_and_standard_error(score)
            rows.append(
                {
                    "patience": value,
                    "accuracy": round(float(mean), 4),
                    "standard_error": round(float(error), 4),
                    "against_all_epochs": [round(float(number), 4) for number in gain[:3]],
                    "epochs": round(float(run[number].mean()), 1),
                }
            )
        last = round(float(accuracies[number, ..., -1].mean()), 4)
        found[f"dropout {dropout:g}"] = {"all_epochs": last, "by_patience": rows}
        look = {"color": colour, "marker": "o", "markersize": 4, "label": f"dropout {dropout:g}"}
        values = [row["accuracy"] for row in rows]
        left.errorbar(list(stops), values, [row["standard_error"] for row in rows], capsize=2, **look)
        left.axhline(last, color=colour, linestyle=":", linewidth=1)
        right.plot(list(stops), [row["epochs"] for row in rows], **look)
    left.set(ylabel="validation accuracy", title="Little patience costs accuracy (dotted: all epochs)")
    right.set(ylabel="epochs run", title=f"and saves epochs, of {epochs}")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="patience (epochs)", xticks=list(stops), xticklabels=list(stops))
        axes.minorticks_off()
        axes.title.set_fontsize(10)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "patience.png", dpi=120)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes early_stopping.json and three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures and the numbers go")
    parser.add_argument("--again", action="store_true", help="measure what early_stopping.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="a tiny version, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "early_stopping.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not options.again else {}
    parts: dict[str, Callable[[bool, Path], dict[str, Any]]] = {
        "ridge": against_ridge,
        "bound": distances,
        "patience": patience,
    }
    for name, measure in parts.items():
        if name not in found:
            found[name] = measure(options.smoke, options.out)
            path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name}: {found[name]}")
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
