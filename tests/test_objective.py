import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import losses, penalties
from jreg._base import tree
from jreg.objective import Forward, Penalty, on_outputs, on_params
from jreg.penalties import l1, l2

PARAMS = {
    "Dense_0": {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.5]]), "bias": jnp.array([7.0, 7.0])},
    "Dense_1": {"kernel": jnp.array([[2.0], [-1.0]]), "bias": jnp.array([7.0])},
    "LayerNorm_0": {"scale": jnp.array([7.0, 7.0])},
}
# Sums of squares 14.25 and 5, of absolute values 6.5 and 3.
FORWARD = Forward(PARAMS, None, None)


def network(params, x):
    """Two identity units in a row, the lecture's example."""
    return (x @ params["w1"]) @ params["w2"]


def hand_loss(params):
    data = losses.squared_error(network(params, jnp.array([[2.0]])), jnp.array([5.0]))[0]
    penalty = (0.1 * on_params(l2))(Forward(params, None, None))
    return data + penalty, (data, penalty)


def test_one_step_by_hand():
    # Output .3*.5*2 = .3; loss 4.7**2/2; penalty .05*(.25+.09); gradients -4.7*.6+.05 and -4.7*1+.03.
    params = {"w1": jnp.array([[0.5]]), "w2": jnp.array([[0.3]])}
    gradients, (data, penalty) = jax.jit(jax.grad(hand_loss, has_aux=True))(params)
    optimizer = optax.sgd(0.01)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    new = optax.apply_updates(params, updates)
    np.testing.assert_allclose(
        [data, penalty, gradients["w1"][0, 0], gradients["w2"][0, 0], new["w1"][0, 0], new["w2"][0, 0]],
        [11.045, 0.017, -2.77, -4.67, 0.5277, 0.3467],
        rtol=3e-7,
    )


def trained(optimizer, alpha, decay, steps=25):
    """Weights after `steps` of a least-squares problem with L2 in the loss or decay by (1 - decay) before each."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(30, 4)), jnp.float32), jnp.asarray(rng.normal(size=(30, 1)), jnp.float32)
    penalty = alpha * on_params(l2)

    def objective(params):
        return jnp.mean(losses.squared_error(x @ params["w"], y[:, 0])) + penalty(Forward(params, None, None))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates({"w": (1 - decay) * params["w"]}, updates), state

    params = {"w": jnp.asarray(rng.normal(size=(4, 1)), jnp.float32)}
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return np.asarray(params["w"])


def test_l2_in_the_loss_is_decay_by_one_minus_eps_alpha_under_sgd():
    in_loss = trained(optax.sgd(0.1), alpha=0.5, decay=0.0)
    np.testing.assert_allclose(in_loss, trained(optax.sgd(0.1), alpha=0.0, decay=0.1 * 0.5), rtol=2e-6, atol=2e-7)
    assert np.abs(in_loss - trained(optax.sgd(0.1), alpha=0.0, decay=0.0)).max() > 0.05


@pytest.mark.adam
def test_l2_in_the_loss_is_not_decay_under_adam():
    in_loss = trained(optax.adam(0.1), alpha=0.5, decay=0.0)
    assert np.abs(in_loss - trained(optax.adam(0.1), alpha=0.0, decay=0.1 * 0.5)).max() > 0.01


@pytest.mark.adam
def test_first_adam_step_forgets_the_l2_strength():
    # Adam's first step is eps * sign(gradient) whatever the gradient's size, so weak L2 changes nothing there.
    plain, in_loss = (trained(optax.adam(0.1), alpha, 0.0, steps=1) for alpha in (0.0, 1e-4))
    decayed = trained(optax.adam(0.1), 0.0, 0.01, steps=1)
    np.testing.assert_allclose(in_loss, plain, atol=1e-6)
    assert np.abs(decayed - plain).min() > 1e-4


def test_biases_and_scales_are_left_alone_by_default():
    assert float(on_params(l2)(FORWARD)) == (14.25 + 5) / 2
    assert float(on_params(l1)(FORWARD)) == 6.5 + 3
    gradient = jax.grad(lambda params: on_params(l2)(Forward(params, None, None)))(PARAMS)
    assert gradient["Dense_0"]["bias"].tolist() == [0.0, 0.0]
    assert gradient["LayerNorm_0"]["scale"].tolist() == [0.0, 0.0]
    assert gradient["Dense_0"]["kernel"].tolist() == PARAMS["Dense_0"]["kernel"].tolist()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("*/kernel", 9.5),
        ("Dense_0/*", 6.5 + 14),
        ("Dense_1/kernel", 3.0),
        ("*/bias", 21.0),
        ("*", 9.5 + 21 + 14),
        (lambda path, leaf: leaf.shape == (2, 1), 3.0),
        (lambda path, leaf: path.startswith("LayerNorm"), 14.0),
    ],
)
def test_where_is_a_pattern_or_a_function_of_path_and_leaf(where, expected):
    assert float(on_params(l1, where)(FORWARD)) == expected


@pytest.mark.parametrize("where", ["*/kernal", "kernel", lambda path, leaf: False])
def test_a_choice_that_matches_nothing_lists_the_paths(where):
    with pytest.raises(ValueError, match=r"matches no parameter; the paths are: Dense_0/bias, Dense_0/kernel, Dense_1"):
        on_params(l2, where)(FORWARD)


def test_an_empty_tree_says_that_there_are_no_paths():
    with pytest.raises(ValueError, match="the paths are: none"):
        on_params(l2)(Forward({}, None, None))


def test_a_choice_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"where is 3, but must be a path pattern"):
        on_params(l2, 3)(FORWARD)


def test_paths_are_names_and_numbers_joined_by_slashes():
    nested = {"a": [jnp.ones(1), (jnp.ones(1),)], "b": optax.EmptyState()}
    assert [tree.path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(nested)] == ["a/0", "a/1/0"]


def test_penalties_add_scale_and_sum():
    a, b = on_params(l1), on_params(l2)
    for penalty in (0.5 * a + 2 * b, a * 0.5 + b * 2, sum([0.5 * a, 2 * b]), 0.5 * (a + 4 * b)):
        assert float(penalty(FORWARD)) == 0.5 * 9.5 + 2 * 9.625
    assert {name: float(v) for name, v in (0.5 * a + 2 * b).values(FORWARD).items()} == {"l1": 4.75, "l2": 19.25}


def test_terms_of_one_name_are_added():
    both = on_params(l2, "Dense_0/kernel") + 2 * on_params(l2, "Dense_1/kernel")
    assert {name: float(v) for name, v in both.values(FORWARD).items()} == {"l2": 7.125 + 5}


def test_addition_and_scaling_leave_the_operands_as_they_were():
    a = on_params(l2)
    _ = 3 * a + a
    assert len(a.terms) == 1
    assert float(a(FORWARD)) == 9.625


@pytest.mark.parametrize(
    "strength", [np.float64(2), np.float32(2), np.int64(2), np.array(2.0), jnp.float32(2), jnp.array(2.0), 2]
)
def test_numbers_of_every_library_scale_from_both_sides(strength):
    for penalty in (strength * on_params(l2), on_params(l2) * strength):
        assert isinstance(penalty, Penalty)
        assert float(penalty(FORWARD)) == 19.25


def test_no_penalty_is_zero():
    assert float(Penalty()(FORWARD)) == 0.0
    assert float((Penalty() + on_params(l2))(FORWARD)) == 9.625
    assert float((0 * on_params(l2))(FORWARD)) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a + 1,
        lambda a: a * a,
        lambda a: np.ones(3) * a,
        lambda a: a * jnp.ones(3),
        lambda a: "0.1" * a,
        lambda a: a + None,
    ],
)
def test_what_is_no_number_or_penalty_is_refused(wrong):
    with pytest.raises(TypeError):
        wrong(on_params(l2))


@pytest.mark.parametrize("strength", [-1, -1e-9, np.float64(-0.1), float("nan"), float("inf")])
def test_a_known_strength_must_be_finite_and_not_negative(strength):
    for scaled in (lambda: strength * on_params(l2), lambda: on_params(l1) + on_params(l2) * strength):
        with pytest.raises(ValueError, match=r"the strength of l2 is .* must be a finite number of at least 0"):
            scaled()


def test_strengths_are_traced_under_jit_vmap_and_grad():
    def total(a, b):
        return (a * on_params(l1) + b * (2 * on_params(l2)))(FORWARD)

    a, b = jnp.array([0.0, 1.0, 0.5]), jnp.array([1.0, 0.0, 2.0])
    assert jax.jit(jax.vmap(total))(a, b).tolist() == [19.25, 9.5, 4.75 + 38.5]
    assert [float(g) for g in jax.grad(total, argnums=(0, 1))(jnp.float32(1), jnp.float32(1))] == [9.5, 19.25]


def test_a_penalty_with_its_own_traced_parameter_is_a_partial():
    def total(beta):
        return on_params(functools.partial(penalties.elastic_net, beta=beta))(FORWARD)

    assert jax.jit(total)(0.5).tolist() == 0.5 * 19.25 + 9.5
    partial = on_params(functools.partial(penalties.elastic_net, beta=0.5))
    assert list(partial.values(FORWARD)) == ["elastic_net"]


def test_sum_over_half_precision_weights_is_a_float32():
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), PARAMS)
    total = (0.5 * on_params(l2))(Forward(half, None, None))
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, 9.625 / 2, rtol=2.0**-7)


def test_on_outputs_is_the_mean_over_rows_that_are_data():
    outputs = jnp.array([[1.0, 1.0], [2.0, 0.0], [100.0, 100.0], [3.0, 1.0]])
    mask = jnp.array([1.0, 1.0, 0.0, 1.0])
    # Half squared norms 1, 2 and 5.
    np.testing.assert_allclose((0.5 * on_outputs(l2))(Forward({}, outputs, mask)), 0.5 * 8 / 3, rtol=2e-7)


def test_on_outputs_of_padding_alone_is_zero():
    assert float(on_outputs(l2)(Forward({}, jnp.ones((3, 2)), jnp.zeros(3)))) == 0.0


def test_on_params_and_on_outputs_add():
    forward = Forward(PARAMS, jnp.ones((2, 4)), jnp.ones(2))
    assert float((on_params(l2) + 0.5 * on_outputs(l1))(forward)) == 9.625 + 2.0


def test_repr_names_every_term():
    assert repr(0.5 * on_params(l1) + on_params(l2)) == "0.5 * l1 + 1.0 * l2"
    assert repr(Penalty()) == "no penalty"
