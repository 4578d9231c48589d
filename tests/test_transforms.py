import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import ElasticNet, Lasso, MultiTaskLasso

import jreg
from jreg import projections, prox
from jreg.transforms import decoupled_weight_decay, project, proximal

RNG = np.random.default_rng(0)
PARAMS = {
    "Conv_0": {"kernel": jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32), "bias": jnp.full(4, 9.0)},
    "Dense_0": {"kernel": jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32), "bias": jnp.full(5, 9.0)},
}
UPDATES = jax.tree.map(lambda w: jnp.asarray(RNG.normal(size=w.shape), jnp.float32), PARAMS)
MOVED = jax.tree.map(lambda w, u: w + u, PARAMS, UPDATES)
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def landing(transform, updates=UPDATES, params=PARAMS):
    @jax.jit
    def step(updates, params):
        moved, _ = transform.update(updates, transform.init(params), params)
        return optax.apply_updates(params, moved)

    return step(updates, params)


def max_norm(c):
    return functools.partial(projections.max_norm, c=c)


def l1_step(strength, *where):
    return proximal(prox.l1, strength, 0.1, *where)


def test_project_lands_on_the_projected_weights():
    new = landing(project(max_norm(0.5)))
    for layer in PARAMS:
        expected = jax.jit(max_norm(0.5))(MOVED[layer]["kernel"])
        np.testing.assert_allclose(new[layer]["kernel"], expected, rtol=1e-6, atol=1e-6)
        axes = tuple(range(expected.ndim - 1))
        norms = np.sqrt(np.sum(np.square(np.asarray(new[layer]["kernel"], np.float64)), axis=axes))
        np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


def test_project_last_in_a_chain_holds_over_many_steps():
    chain = optax.chain(optax.sgd(0.5, momentum=0.9), project(projections.non_negative))
    params, state = PARAMS, chain.init(PARAMS)
    step = jax.jit(chain.update)
    for _ in range(10):
        updates, state = step(UPDATES, state, params)
        params = jax.tree.map(lambda w, u: w + u, params, updates)
        assert min(float(params[layer]["kernel"].min()) for layer in params) >= 0.0


@pytest.mark.parametrize("transform", [project(max_norm(0.1)), decoupled_weight_decay(0.3), l1_step(3.0)])
def test_biases_are_left_alone_by_default(transform):
    new = landing(transform)
    for layer in PARAMS:
        np.testing.assert_array_equal(new[layer]["bias"], MOVED[layer]["bias"])
        assert not np.array_equal(new[layer]["kernel"], MOVED[layer]["kernel"])


@pytest.mark.parametrize(
    "make",
    [
        lambda where: project(max_norm(0.1), where),
        lambda where: decoupled_weight_decay(0.3, where),
        lambda where: l1_step(3.0, where),
    ],
)
@pytest.mark.parametrize("where", ["Dense_0/*", lambda path, leaf: path.startswith("Dense")])
def test_where_chooses_by_path(make, where):
    new = landing(make(where))
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(new["Conv_0"][name], MOVED["Conv_0"][name])
        assert not np.array_equal(new["Dense_0"][name], MOVED["Dense_0"][name])


@pytest.mark.parametrize(
    "make",
    [
        lambda where: project(max_norm(0.1), where),
        lambda where: decoupled_weight_decay(0.3, where),
        lambda where: l1_step(3.0, where),
    ],
)
def test_a_choice_that_matches_nothing_lists_the_paths(make):
    with pytest.raises(
        ValueError, match=r"'\*/kernal' matches no parameter; the paths are: Conv_0/bias, Conv_0/kernel"
    ):
        landing(make("*/kernal"))


@pytest.mark.parametrize(
    ("transform", "name"),
    [
        (project(max_norm(1.0)), "project"),
        (decoupled_weight_decay(0.1), "decoupled_weight_decay"),
        (l1_step(0.1), "proximal"),
        (proximal(prox.l1, 0.1, optax.constant_schedule(0.1)), "proximal"),
    ],
)
def test_update_without_params_says_what_is_missing(transform, name):
    with pytest.raises(ValueError, match=f"{name} needs the parameters"):
        transform.update(UPDATES, transform.init(PARAMS))


def test_decoupled_decay_is_the_closed_form():
    new = landing(decoupled_weight_decay(0.25))
    for layer in PARAMS:
        w, u = (np.asarray(tree[layer]["kernel"], np.float64) for tree in (PARAMS, UPDATES))
        np.testing.assert_allclose(new[layer]["kernel"], 0.75 * w + u, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, -1, float("nan"), np.float64(-2)])
def test_a_known_negative_decay_is_refused(rate):
    with pytest.raises(ValueError, match=r"decoupled_weight_decay's rate is .* must be a finite number of at least 0"):
        decoupled_weight_decay(rate)


@pytest.mark.adam
@pytest.mark.parametrize("learning_rate", [1e-1, 1e-4])
def test_decoupled_decay_is_free_of_the_learning_rate_and_adamw_is_not(learning_rate):
    # Without a gradient Adam doesn't move, so what is left of a weight is the decay alone.
    ours = landing(optax.chain(optax.adam(learning_rate), decoupled_weight_decay(0.25)), ZEROS)
    theirs = landing(optax.adamw(learning_rate, weight_decay=0.25), ZEROS)
    w = np.asarray(PARAMS["Dense_0"]["kernel"])
    np.testing.assert_allclose(ours["Dense_0"]["kernel"], 0.75 * w, rtol=1e-6)
    np.testing.assert_allclose(theirs["Dense_0"]["kernel"], (1 - 0.25 * learning_rate) * w, rtol=1e-6)


@pytest.mark.adam
def test_decoupled_decay_does_not_pass_through_adams_rescaling():
    # Adam's first step is learning_rate * sign(gradient), to eps / |gradient|.
    chain = optax.chain(optax.adam(0.01), decoupled_weight_decay(0.25))
    gradients = jax.tree.map(lambda w: jnp.where(w > 0, 50.0, -3.0), PARAMS)
    w = np.asarray(PARAMS["Dense_0"]["kernel"])
    np.testing.assert_allclose(landing(chain, gradients)["Dense_0"]["kernel"], 0.75 * w - 0.01 * np.sign(w), rtol=2e-5)


@pytest.mark.adam
@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_decoupled_decay_equals_adamw_with_the_rate_over_the_learning_rate(rate):
    ours = landing(optax.chain(optax.adam(0.05), decoupled_weight_decay(rate)))
    theirs = landing(optax.adamw(0.05, weight_decay=rate / 0.05, mask=lambda p: jax.tree.map(lambda w: w.ndim > 1, p)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7), ours, theirs)


def test_sgd_moves_no_further_than_rate_times_steps_times_the_largest_gradient():
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(40, 5)), jnp.float32), jnp.asarray(rng.normal(size=40), jnp.float32)
    rate, optimizer = 0.2, optax.sgd(0.2)
    start = w = jnp.asarray(rng.normal(size=5), jnp.float32)
    state, gradient = optimizer.init(w), jax.jit(jax.grad(lambda w: jnp.mean(jnp.square(x @ w - y))))
    largest = 0.0
    for t in range(1, 31):
        g = gradient(w)
        largest = max(largest, float(jnp.linalg.norm(g)))
        updates, state = optimizer.update(g, state, w)
        w = optax.apply_updates(w, updates)
        moved = float(jnp.linalg.norm(w - start))
        assert moved <= rate * t * largest * (1 + 1e-6)
        assert t > 1 or moved >= rate * largest * (1 - 1e-6)  # with equality at the first step


def test_strengths_are_traced_under_jit_and_vmap():
    def run(c, rate):
        return landing(optax.chain(optax.sgd(0.1), decoupled_weight_decay(rate), project(max_norm(c))))

    cs, rates = jnp.array([0.5, 2.0]), jnp.array([0.0, 0.3])
    batched = jax.jit(jax.vmap(run))(cs, rates)
    for n in range(2):
        alone = run(float(cs[n]), float(rates[n]))
        jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=2e-6, atol=2e-6), batched, alone)


def test_transforms_without_a_schedule_keep_no_state():
    for transform in (project(max_norm(1.0)), decoupled_weight_decay(0.1), l1_step(0.1)):
        assert jax.tree.leaves(transform.init(PARAMS)) == []


@pytest.mark.adam  # optax.apply_updates itself promotes
@pytest.mark.parametrize("transform", [project(max_norm(0.5)), decoupled_weight_decay(0.25), l1_step(3.0)])
def test_half_precision_weights_with_float32_updates_are_accepted(transform):
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), PARAMS)
    new, full = landing(transform, params=half), landing(transform)
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("bfloat16")}
    np.testing.assert_allclose(
        np.asarray(new["Dense_0"]["kernel"], np.float32), full["Dense_0"]["kernel"], rtol=2.0**-6, atol=2.0**-6
    )


def test_transforms_work_inside_optax_masked():
    mask = {"Conv_0": False, "Dense_0": True}
    new = landing(optax.masked(decoupled_weight_decay(0.25), mask), ZEROS)
    np.testing.assert_array_equal(new["Conv_0"]["kernel"], PARAMS["Conv_0"]["kernel"])
    np.testing.assert_allclose(new["Dense_0"]["kernel"], 0.75 * np.asarray(PARAMS["Dense_0"]["kernel"]), rtol=1e-6)


OPERATORS = [
    prox.l1,
    functools.partial(prox.l1, non_negative=True),
    functools.partial(prox.elastic_net, beta=0.5),
    prox.group_lasso,
    functools.partial(prox.group_lasso, axis=-1),
    functools.partial(prox.sparse_group_lasso, l1_ratio=0.5),
    prox.non_negative,
]


@pytest.mark.some(4)
@pytest.mark.parametrize("operator", [*OPERATORS, prox.l2, prox.nuclear_norm])
def test_proximal_lands_on_the_operators_result(operator):
    new = landing(proximal(operator, 7.0, 0.1))
    for layer in PARAMS:
        expected = jax.jit(operator)(MOVED[layer]["kernel"], 0.7)
        np.testing.assert_allclose(new[layer]["kernel"], expected, rtol=1e-6, atol=3e-6)


@pytest.mark.some(10)
@pytest.mark.adam  # optax.apply_updates itself promotes
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("compiled", [True, False])
def test_zeros_of_the_operator_are_exact_after_apply_updates(operator, dtype, compiled):
    rng = np.random.default_rng(1)
    # Over twelve powers of ten, so that w + (new - w) isn't new for most weights.
    w, u = (jnp.asarray(rng.normal(size=(40, 60)) * 10.0 ** rng.uniform(-6, 4, size=(40, 60)), dtype) for _ in "wu")
    w, u = (jnp.concatenate([a, jnp.full((40, 1), 0.01, dtype)], axis=1) for a in (w, u))
    w, u = (jnp.concatenate([a, jnp.full((1, 61), 0.01, dtype)]) for a in (w, u))
    transform = proximal(operator, 5.0, 0.1)

    def step(w, u):
        return optax.apply_updates(w, transform.update(u, transform.init(w), w)[0]), operator(w + u, 0.5)

    new, wanted = (np.asarray(a, np.float64) for a in (jax.jit(step) if compiled else step)(w, u))
    assert 0 < np.count_nonzero(wanted == 0) < wanted.size
    assert (new[wanted == 0] == 0).all()
    assert np.isfinite(new).all()


def test_proximal_with_a_zero_strength_or_learning_rate_changes_nothing():
    for transform in (l1_step(0.0), proximal(prox.l1, 1.0, 0.0), proximal(prox.nuclear_norm, 0.0, 0.1)):
        new = landing(transform)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), new, MOVED)


@pytest.mark.parametrize("value", [-0.1, -1, float("nan"), np.float64(-2)])
def test_a_known_negative_strength_or_learning_rate_of_proximal_is_refused(value):
    with pytest.raises(ValueError, match=r"proximal's strength is .* must be a finite number of at least 0"):
        proximal(prox.l1, value, 0.1)
    with pytest.raises(ValueError, match=r"proximal's learning_rate is .* must be a finite number of at least 0"):
        proximal(prox.l1, 0.1, value)


def test_proximal_takes_traced_numbers():
    def run(strength, rate):
        return landing(optax.chain(optax.sgd(rate), proximal(prox.group_lasso, strength, rate)))

    strengths, rates = jnp.array([0.5, 20.0]), jnp.array([0.1, 0.2])
    batched = jax.jit(jax.vmap(run))(strengths, rates)
    for n in range(2):
        alone = run(float(strengths[n]), float(rates[n]))
        jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=2e-6, atol=2e-6), batched, alone)


def test_proximal_follows_a_schedule_in_step_with_the_optimizer():
    rates = [0.3, 0.2, 0.1, 0.05, 0.4]

    def schedule(count):
        return jnp.asarray(rates, jnp.float32)[count]

    rng = np.random.default_rng(2)
    w, gradients = rng.normal(size=(5, 4)), rng.normal(size=(5, 5, 4))
    chain = optax.chain(optax.sgd(schedule), proximal(prox.l1, 2.0, schedule))
    params = jnp.asarray(w, jnp.float32)
    state, step = chain.init(params), jax.jit(chain.update)
    for rate, gradient in zip(rates, gradients, strict=True):
        updates, state = step(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        moved = w - rate * gradient
        w = np.sign(moved) * np.maximum(np.abs(moved) - 2.0 * rate, 0)
        np.testing.assert_allclose(params, w, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(params) == 0, w == 0)
    assert int(state[-1].count) == len(rates)
    assert state[-1].count.dtype == jnp.int32


def test_proximal_passes_over_extra_arguments():
    transform = l1_step(1.0)
    assert isinstance(transform, optax.GradientTransformationExtraArgs)
    transform.update(UPDATES, transform.init(PARAMS), PARAMS, value=jnp.float32(1.0))


def minimum(x, y, make, rate, steps=20_000):
    """Where `make(rate)` comes to rest on the halved mean squared error of a linear map with a bias."""
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    optimizer = make(rate)

    def loss(params):
        return jnp.sum(jnp.square(x @ params["kernel"] + params["bias"][None, :] - y)) / (2 * len(x))

    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    start = {"kernel": jnp.zeros((x.shape[1], y.shape[1])), "bias": jnp.zeros(y.shape[1])}
    params, _ = jax.jit(lambda p: jax.lax.fori_loop(0, steps, step, (p, optimizer.init(p))))(start)
    return np.asarray(params["kernel"]), np.asarray(params["bias"])


@pytest.fixture(scope="module")
def diabetes():
    """Standardized examples, standardized targets plus 0.5 (a bias to be found), and a rate below 1 / curvature."""
    data = jreg.load_dataset("diabetes")
    x, y = np.asarray(data.x, np.float64), np.asarray(data.y, np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, ((y - y.mean()) / y.std() + 0.5)[:, None], 0.9 / np.linalg.eigvalsh(x.T @ x / len(x)).max()


# Each row: scikit-learn's model, and the operator and strength of the same objective.
EXACT = {"tol": 1e-12, "max_iter": 100_000}
LINEAR = {
    "lasso": (Lasso(0.05, **EXACT), prox.l1, 0.05),
    "non-negative lasso": (Lasso(0.05, positive=True, **EXACT), functools.partial(prox.l1, non_negative=True), 0.05),
    # scikit-learn's a * r * |w| + a * (1 - r) / 2 * w^2 as strength * (|w| + beta * w^2).
    "elastic net": (ElasticNet(0.1, l1_ratio=0.7, **EXACT), functools.partial(prox.elastic_net, beta=0.3 / 1.4), 0.07),
}


@pytest.mark.parametrize("name", LINEAR)
def test_proximal_gradient_descent_comes_to_rest_where_scikit_learn_does(diabetes, name):
    x, y, rate = diabetes
    model, operator, strength = LINEAR[name]
    model.fit(x, y[:, 0])
    kernel, bias = minimum(x, y, lambda r: optax.chain(optax.sgd(r), proximal(operator, strength, r)), rate)
    np.testing.assert_allclose(kernel[:, 0], model.coef_, atol=1e-4)
    np.testing.assert_allclose(bias, model.intercept_, atol=1e-4)
    assert 0 < np.count_nonzero(model.coef_) < len(model.coef_)
    np.testing.assert_array_equal(kernel[:, 0] == 0, model.coef_ == 0)


def test_proximal_group_lasso_over_outputs_is_the_multitask_lasso(diabetes):
    x, y, rate = diabetes
    targets = y @ [[1.0, -0.5, 0.3]] + 0.5 * np.random.default_rng(0).normal(size=(len(x), 3))
    model = MultiTaskLasso(0.1, **EXACT).fit(x, targets)
    operator = functools.partial(prox.group_lasso, axis=-1)
    kernel, _ = minimum(x, targets, lambda r: optax.chain(optax.sgd(r), proximal(operator, 0.1, r)), rate)
    np.testing.assert_allclose(kernel, model.coef_.T, atol=1e-4)
    assert 0 < np.count_nonzero(kernel) < kernel.size
    np.testing.assert_array_equal(kernel == 0, model.coef_.T == 0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_wants_the_learning_rate_over_one_minus_momentum(diabetes, nesterov):
    x, y, rate = diabetes
    rate /= 10
    coefficients = {alpha: Lasso(alpha, **EXACT).fit(x, y[:, 0]).coef_ for alpha in (0.05, 0.005)}
    for factor, alpha in [(10, 0.05), (1, 0.005)]:

        def make(r, factor=factor):
            return optax.chain(optax.sgd(r, momentum=0.9, nesterov=nesterov), proximal(prox.l1, 0.05, factor * r))

        kernel, _ = minimum(x, y, make, rate)
        np.testing.assert_allclose(kernel[:, 0], coefficients[alpha], atol=1e-4)


@pytest.mark.adam
def test_after_adam_the_ratio_decides_and_not_the_gradient():
    # A tiny gradient that keeps its sign, and one a million times larger that alternates.
    def run(strength, steps=400, rate=0.01):
        chain = optax.chain(optax.adam(rate), proximal(prox.l1, strength, rate))

        def step(n, carry):
            w, state = carry
            updates, state = chain.update(jnp.array([[1e-3], [1e3]]) * jnp.array([[1.0], [(-1.0) ** n]]), state, w)
            return optax.apply_updates(w, updates), state

        start = jnp.zeros((2, 1))
        return np.asarray(jax.jit(lambda w: jax.lax.fori_loop(0, steps, step, (w, chain.init(w))))(start)[0])[:, 0]

    steady, alternating = run(0.5)
    # Adam's step is the rate itself there (to its eps over the gradient); half of it is taken back.
    np.testing.assert_allclose(steady, -400 * 0.01 * 0.5, rtol=1e-3)
    assert alternating == 0
    assert run(1.01).tolist() == [0, 0]


def test_proximal_and_then_project_keeps_zeros_and_the_set():
    threshold = jax.jit(lambda w: prox.l1(w, 0.5))
    for projection in (max_norm(0.5), projections.unit_norm, projections.non_negative):
        new = landing(optax.chain(l1_step(5.0), project(projection)))
        for layer in PARAMS:
            thresholded = threshold(MOVED[layer]["kernel"])
            kernel = np.asarray(new[layer]["kernel"])
            assert (kernel[np.asarray(thresholded) == 0] == 0).all()
            np.testing.assert_allclose(kernel, jax.jit(projection)(thresholded), rtol=1e-5, atol=1e-6)
    shrunk = landing(optax.chain(project(max_norm(0.5)), l1_step(0.5)))["Dense_0"]["kernel"]
    assert np.linalg.norm(shrunk, axis=0).max() <= 0.5
    shrunk = landing(optax.chain(project(projections.unit_norm), l1_step(0.5)))["Dense_0"]["kernel"]
    assert np.linalg.norm(shrunk, axis=0).max() < 0.95  # off the set, as the docstring says


@pytest.mark.slow
@pytest.mark.adam  # the schedule divides an int32
def test_a_study_sweeps_the_strength_of_proximal(blobs):
    def recipe(hp):
        rate = optax.cosine_decay_schedule(hp["learning_rate"], 30)
        return jreg.Recipe(
            jreg.nn.MLP((8, 3)),
            jreg.losses.softmax_cross_entropy,
            optax.chain(optax.sgd(rate), proximal(prox.group_lasso, hp["strength"], rate)),
        )

    options = {"epochs": 6, "batch_size": 16}
    space = [{"strength": s, "learning_rate": 0.1} for s in (0.0, 0.01, 10.0)]
    study = jreg.cross_validate(recipe, blobs, space, cv=3, progress=False, **options)
    assert study.best.hyperparameters["strength"] < 10.0
    zeros = []
    for setting in (space[0], space[2]):
        fitted = jreg.fit(jax.random.key(0), recipe, blobs, setting, **options)
        zeros.append(sum(int((leaf == 0).sum()) for leaf in jax.tree.leaves(fitted.params) if leaf.ndim > 1))
    assert zeros == [0, 2 * 8 + 8 * 3]
