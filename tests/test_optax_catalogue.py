"""What docs/api/transforms.md says of every optimizer and wrapper of optax: which of them work in a recipe, and how."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import jreg
from jreg import losses, transforms
from jreg.training import Status

# optax warns of names that it has renamed, and the page lists those, too.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PAGE = Path(__file__).parents[1] / "docs" / "api" / "transforms.md"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)
DATA = jreg.Dataset(X, Y)
KEY = jax.random.key(0)
SGD = optax.sgd(0.1)


@pytest.fixture(autouse=True)
def optax_promotes_ranks():
    with jax.numpy_rank_promotion("allow"):
        yield


def start(key, x):
    return {"kernel": jax.random.normal(key, (3, 1)) / 3, "bias": jnp.zeros(1)}


LINEAR = (start, lambda params, x, train, rngs: x @ params["kernel"] + params["bias"][None])


def words(text):
    return text.split()


def by_name(params):
    return {name: name for name in params}


def biases(params):
    return {name: name == "bias" for name in params}


def matrices(params):
    return jax.tree.map(lambda w: contrib.MuonDimensionNumbers(), params)


def behind(transform):
    return optax.chain(SGD, transform)


def before(transform):
    return optax.chain(transform, SGD)


def norm(updates, **_):
    return optax.tree.norm(updates)


def part(name, *numbers, **more):
    """A scale_by_... as optax's own optimizers use it."""
    return lambda: optax.chain(getattr(optax, name)(*numbers, **more), optax.scale(-0.05))


def contributed(name, *numbers, **more):
    return lambda: optax.chain(getattr(contrib, name)(*numbers, **more), optax.scale(-0.05))


# Each one made so that it lowers the squared error of a linear model.
OPTIMIZERS = {
    name: lambda name=name: getattr(optax, name)(0.05)
    for name in words(
        "adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lion nadam "
        "nadamw novograd optimistic_adam_v2 radam rmsprop rprop sgd sign_sgd signum sm3 yogi "
    )
}
OPTIMIZERS |= {
    "lbfgs": optax.lbfgs,
    "noisy_sgd": lambda: optax.noisy_sgd(0.05, 0.01, 0.55, KEY),
    "optimistic_adam": lambda: optax.optimistic_adam(0.05),
    "optimistic_gradient_descent": lambda: optax.optimistic_gradient_descent(0.05),
    "polyak_sgd": optax.polyak_sgd,
    "contrib.galore": lambda: contrib.galore(0.05, rank=1),
    "contrib.sophia": lambda: contrib.sophia(0.05),
    "contrib.acprop": lambda: contrib.acprop(0.002),
    "contrib.cocob": contrib.cocob,
    "contrib.momo": lambda: contrib.momo(0.05),
    "contrib.prodigy": lambda: contrib.prodigy(1.0, estim_lr0=1e-2),
    "contrib.dadapt_adamw": lambda: contrib.dadapt_adamw(1.0, estim_lr0=1e-2),
    "contrib.dog": lambda: contrib.dog(1.0, init_step=("heuristic", 1e-2)),
    "contrib.dowg": lambda: contrib.dowg(1.0, init_estim_sq_dist=1e-2),
}
OPTIMIZERS |= {
    f"contrib.{name}": lambda name=name: getattr(contrib, name)(0.05)
    for name in words(
        "ademamix adopt madgrad momo_adam muon schedule_free_adamw schedule_free_sgd simplified_ademamix "
    )
}
WRAPPERS = {
    "adaptive_grad_clip": lambda: before(optax.adaptive_grad_clip(0.5)),
    "add_decayed_weights": lambda: behind(optax.add_decayed_weights(-1e-3)),
    "add_noise": lambda: before(optax.add_noise(0.01, 0.5, KEY)),
    "apply_every": lambda: before(optax.apply_every(2)),
    "apply_if_finite": lambda: optax.apply_if_finite(SGD, 3),
    "centralize": lambda: before(optax.centralize()),
    "chain": lambda: optax.chain(SGD),
    "clip": lambda: before(optax.clip(1.0)),
    "clip_by_block_rms": lambda: before(optax.clip_by_block_rms(1.0)),
    "clip_by_global_norm": lambda: before(optax.clip_by_global_norm(1.0)),
    "conditionally_mask": lambda: optax.conditionally_mask(SGD, lambda step: step % 2 == 0),
    "conditionally_transform": lambda: before(optax.conditionally_transform(optax.clip(1.0), lambda step: step < 5)),
    "ema": lambda: before(optax.ema(0.5)),
    "flatten": lambda: optax.flatten(SGD),
    "freeze": lambda: behind(optax.freeze(biases)),
    "identity": lambda: behind(optax.identity()),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.sgd)(optax.linear_schedule(0.1, 0.05, 10)),
    "inject_stateful_hyperparams": lambda: optax.inject_stateful_hyperparams(optax.sgd)(0.1),
    "keep_params_nonnegative": lambda: behind(optax.keep_params_nonnegative()),
    "masked": lambda: behind(optax.masked(optax.set_to_zero(), biases)),
    "MultiSteps": lambda: optax.MultiSteps(SGD, 2),
    "multi_transform": lambda: optax.multi_transform({"kernel": optax.adam(0.1), "bias": SGD}, by_name),
    "named_chain": lambda: optax.named_chain(("clip", optax.clip(1.0)), ("sgd", SGD)),
    "normalize_by_update_norm": lambda: before(optax.normalize_by_update_norm()),
    "partition": lambda: optax.partition({"kernel": optax.adam(0.1), "bias": SGD}, by_name),
    "scale": lambda: optax.scale(-0.1),
    "selective_transform": lambda: optax.selective_transform(SGD, freeze_mask=biases),
    "set_to_zero": lambda: optax.partition({"kernel": SGD, "bias": optax.set_to_zero()}, by_name),
    "snapshot": lambda: behind(optax.snapshot("norm", norm)),
    "stateless": lambda: behind(optax.stateless(lambda updates, params: updates)),
    "stateless_with_tree_map": lambda: behind(optax.stateless_with_tree_map(lambda update, weight: update)),
    "trace": lambda: before(optax.trace(0.5)),
    "with_extra_args_support": lambda: optax.with_extra_args_support(SGD),
    "zero_nans": lambda: before(optax.zero_nans()),
    "contrib.hutchinson_estimator_diag_hessian": lambda: contrib.sophia(0.05, update_interval=2),
    "contrib.mechanize": lambda: contrib.mechanize(SGD, s_init=1e-2),
    "contrib.normalize": lambda: before(contrib.normalize()),
    "contrib.reduce_on_plateau": lambda: behind(contrib.reduce_on_plateau(patience=2)),
    "contrib.schedule_free": lambda: contrib.schedule_free(SGD, 0.1),
    "contrib.split_real_and_imaginary": lambda: contrib.split_real_and_imaginary(SGD),
}
PARTS = {
    name: part(name)
    for name in words(
        "scale_by_adadelta scale_by_adam scale_by_adamax scale_by_adan scale_by_amsgrad scale_by_belief "
        "scale_by_factored_rms scale_by_lion scale_by_novograd scale_by_optimistic_gradient "
        "scale_by_param_block_norm scale_by_param_block_rms scale_by_radam scale_by_rms scale_by_rss scale_by_sign "
        "scale_by_sm3 scale_by_stddev scale_by_trust_ratio scale_by_yogi "
    )
}
PARTS |= {
    "scale_by_rprop": lambda: optax.chain(optax.scale_by_rprop(0.05), optax.scale(-1.0)),
    "scale_by_distance_over_gradients": part("scale_by_distance_over_gradients", reps_rel=1e-2),
    "scale_by_backtracking_linesearch": lambda: behind(optax.scale_by_backtracking_linesearch(10)),
    "scale_by_zoom_linesearch": lambda: behind(optax.scale_by_zoom_linesearch(10)),
    "scale_by_lbfgs": lambda: optax.chain(optax.scale_by_lbfgs(), optax.scale(-0.2)),
    "scale_by_learning_rate": lambda: optax.scale_by_learning_rate(0.1),
    "scale_by_polyak": lambda: optax.chain(optax.sgd(1.0), optax.scale_by_polyak()),
    "scale_by_schedule": lambda: optax.scale_by_schedule(optax.linear_schedule(-0.1, -0.05, 10)),
    "contrib.scale_by_galore": contributed("scale_by_galore", rank=1),
    "contrib.scale_by_madgrad": lambda: contrib.scale_by_madgrad(0.05),
    "contrib.scale_by_muon": lambda: before(
        optax.masked(contrib.scale_by_muon(weight_dimension_numbers=matrices), {"kernel": True, "bias": False})
    ),
    "contrib.scale_by_acprop": lambda: optax.chain(contrib.scale_by_acprop(), optax.scale(-0.002)),
    "contrib.scale_by_cocob": lambda: contrib.scale_by_cocob(),
}
PARTS |= {
    f"contrib.{name}": contributed(name)
    for name in words("scale_by_ademamix scale_by_adopt scale_by_simplified_ademamix ")
}
WORKS = OPTIMIZERS | WRAPPERS | PARTS
# What the page says doesn't work, and how that ends.
FAILS = {
    "monitor": (lambda: behind(optax.monitor({"norm": norm})), r"a state of another structure after an update"),
    "measure_with_ema": (
        lambda: behind(optax.monitor({"norm": optax.measure_with_ema(norm, 0.9)})),
        r"a state of another structure after an update",
    ),
    "contrib.sam": (
        lambda: contrib.sam(SGD, optax.chain(contrib.normalize(), optax.sgd(0.05)), opaque_mode=True),
        r"unexpected keyword argument 'value': .* use jreg\.transforms\.sam",
    ),
    "lookahead": (
        lambda: optax.lookahead(SGD, 5, 0.5),
        r"(?s)no attribute 'fast'.*; for the pairs of optax\.lookahead there is no place",
    ),
    "contrib.differentially_private_aggregate": (
        lambda: before(contrib.differentially_private_aggregate(1.0, 0.1, KEY)),
        r"batch dimension",
    ),
    "contrib.dpsgd": (lambda: contrib.dpsgd(0.1, 1.0, 0.1, 0), r"batch dimension"),
}


def recipe_of(make):
    return jreg.Recipe(LINEAR, losses.squared_error, make())


def objective(params):
    return jnp.mean(losses.squared_error(LINEAR[1](params, X, True, None), Y))


def trained(make, steps):
    """The objective before the first step and after the last one, where evaluation looks."""
    recipe = recipe_of(make)

    def step(carry, _):
        params, state = carry
        value, gradients = jax.value_and_grad(objective)(params)
        elsewhere = objective, (lambda params, _: jax.grad(objective)(params))
        updates, state = recipe.update(gradients, state, params, value, *elsewhere)
        return (optax.apply_updates(params, updates), state), None

    params = start(KEY, X)
    carry = (params, recipe.optimizer.init(params))
    (last, state), _ = jax.lax.scan(step, carry, length=steps) if steps > 1 else step(carry, None)
    return objective(params), objective(transforms.evaluation_params(state, last))


def test_the_page_has_each_public_transform_of_optax_and_says_of_each_whether_it_works():
    section = PAGE.read_text().split("## What of optax works in a recipe")[1].split("\n## ")[0]
    rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `")]
    said = {name: works.strip() for names, works, _ in rows for name in re.findall(r"`([\w.]+)`", names)}
    assert {name for name, works in said.items() if works == "no"} == set(FAILS)
    assert {name for name, works in said.items() if works == "yes"} == set(WORKS)
    public = {
        prefix + name
        for module, prefix in ((optax, ""), (contrib, "contrib."))
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if "GradientTransformation" in str(inspect.signature(f).return_annotation) and not name.startswith("_")
    }
    assert public - set(said) == set()


@pytest.mark.adam  # optax promotes
def test_every_one_takes_a_step_of_a_recipe():
    for name, make in WORKS.items():
        shapes = jax.eval_shape(lambda make=make: trained(make, 1))
        assert [leaf.shape for leaf in shapes] == [(), ()], name


# One of each family, in one program: rules of the gradients alone, line searches, what looks at the loss, averages,
# second derivatives, and wrappers.
FAMILIES = words(
    "sgd adam polyak_sgd contrib.reduce_on_plateau contrib.schedule_free_sgd contrib.sophia MultiSteps partition "
    "scale_by_backtracking_linesearch"
)


@pytest.mark.adam
def test_one_of_each_family_lowers_the_loss():
    found = jax.jit(lambda: {name: trained(WORKS[name], 30) for name in FAMILIES})()
    for name, (first, last) in found.items():
        assert float(last) < 0.8 * float(first), name


@pytest.mark.slow
@pytest.mark.adam
@pytest.mark.parametrize("name", WORKS)
def test_every_one_trains_in_a_study(name):
    def recipe(hp):
        return jreg.Recipe(
            LINEAR, losses.squared_error, WORKS[name](), penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2)
        )

    study = jreg.cross_validate(recipe, DATA, jreg.grid(l2=[0.0, 1e-3]), cv=2, epochs=12, batch_size=6, progress=False)
    assert set(study.status.ravel().tolist()) == {Status.COMPLETED}
    curve = study.curve("train_loss").mean(axis=(0, 1, 2))
    assert curve[-1] < curve[0]


@pytest.mark.adam
@pytest.mark.parametrize("name", FAILS)
def test_what_does_not_work_says_so_before_anything_trains(name):
    make, sentence = FAILS[name]
    with pytest.raises((TypeError, ValueError, AttributeError), match=sentence):
        jreg.fit(KEY, lambda hp: recipe_of(make), DATA, epochs=1)
