"""Which parameters are weights, and along which axes: against slow loops over layers, heads and units."""

import dataclasses
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jreg
from jreg import nn, penalties, projections, prox, transforms
from jreg.objective import Forward

RNG = np.random.default_rng(0)
X = jnp.ones((1, 4, 4, 2))


def filled(tree):
    """The tree with normal numbers for weights, so that no two arrays are alike."""
    return jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), tree)


class Block(linen.Module):
    bias: bool = True

    @linen.compact
    def __call__(self, x, _):
        h = linen.LayerNorm(use_bias=self.bias)(x)
        h = linen.MultiHeadDotProductAttention(num_heads=2, use_bias=self.bias)(h, h)
        return linen.DenseGeneral(8, use_bias=self.bias, name="up")(h), None


class Transformer(linen.Module):
    bias: bool = True

    @linen.compact
    def __call__(self, x):
        x = linen.Embed(11, 8)(x)
        scanned = linen.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = scanned(self.bias, name="layers")(x, None)
        h = linen.MultiHeadDotProductAttention(num_heads=2, name="last")(x, x)
        return linen.Dense(5)(h.mean(axis=1))


def shapes(module, *inputs):
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]


SHAPES = shapes(Transformer(), jnp.ones((2, 5), jnp.int32))
# Keys and values are like queries, and would be more to compile.
for attention in (SHAPES["layers"]["MultiHeadDotProductAttention_0"], SHAPES["last"]):
    del attention["key"], attention["value"]
TRANSFORMER = filled(SHAPES)
ATTENTION = "layers/MultiHeadDotProductAttention_0"


def at(tree, path):
    for part in path.split("/"):
        tree = tree[part]
    return np.asarray(tree)


def matrices():
    """Every matrix ``(in, out)`` of the transformer, one layer after the other, by hand."""
    for n in range(3):
        yield at(TRANSFORMER, f"{ATTENTION}/query/kernel")[n].reshape(8, 2 * 4)
        yield at(TRANSFORMER, f"{ATTENTION}/out/kernel")[n].reshape(2 * 4, 8)
    yield from at(TRANSFORMER, "layers/up/kernel")
    yield at(TRANSFORMER, "last/query/kernel").reshape(8, 2 * 4)
    yield at(TRANSFORMER, "last/out/kernel").reshape(2 * 4, 8)
    yield at(TRANSFORMER, "Dense_0/kernel")


def lifted(penalty, params, **choice):
    return jreg.on_params(penalty, **choice)(Forward(params, None, None))


def value(penalty, params, **choice):
    return float(lifted(penalty, params, **choice))


def moved(transform, params):
    """The parameters after an update of zeros."""
    updates, _ = transform.update(jax.tree.map(jnp.zeros_like, params), transform.init(params), params)
    return jax.tree.map(jnp.add, params, updates)


def singular(m):
    return np.linalg.svd(m.astype(float), compute_uv=False)


def excess(m):
    return m.T.astype(float) @ m - np.eye(m.shape[1])


def cosines(m):
    unit = m.astype(float) / np.linalg.norm(m, axis=0)
    return (np.abs(unit.T @ unit).sum() - m.shape[1]) / (m.shape[1] * (m.shape[1] - 1))


PENALTIES = [
    (penalties.nuclear_norm, lambda m: singular(m).sum()),
    (penalties.spectral_norm, lambda m: singular(m).max()),
    (lambda w: penalties.group_lasso(w), lambda m: np.linalg.norm(m, axis=0).sum()),
    (
        partial(penalties.sparse_group_lasso, l1_ratio=0.25),
        lambda m: 0.25 * np.abs(m).sum() + 0.75 * np.linalg.norm(m, axis=0).sum(),
    ),
    (penalties.orthogonal, lambda m: np.abs(excess(m)).sum()),
    (penalties.soft_orthogonality, lambda m: np.square(excess(m)).sum()),
    (partial(penalties.srip, iterations=20), lambda m: np.abs(np.linalg.eigvalsh(excess(m))).max()),
    (penalties.weight_correlation, cosines),
    (penalties.hoyer_square, lambda m: np.abs(m).sum() ** 2 / np.square(m).sum()),
]


def test_a_penalty_of_a_transformer_is_that_of_its_matrices():
    # One program for all: most of the time is the compiler's.
    found = jax.jit(lambda params: [lifted(penalty, params) for penalty, _ in PENALTIES])(TRANSFORMER)
    expected = [sum(map(of_matrix, matrices())) for _, of_matrix in PENALTIES]
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    np.testing.assert_allclose(np.delete(found, 6), np.delete(expected, 6), rtol=1e-5)  # srip is an estimate


def polar(m):
    u, _, vt = np.linalg.svd(m, full_matrices=False)
    return u @ vt


def lowered(m, t):
    u, s, vt = np.linalg.svd(m, full_matrices=False)
    return u * np.maximum(s - t, 0) @ vt


def onto_simplex(v):
    """The least that all must give up for the sum 1, found by halving."""
    low, high = v.min() - 1, v.max()
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(v - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(v - low, 0)


def shortened(m, t):
    return m * np.maximum(1 - t / np.linalg.norm(m, axis=0), 0)


LIFTED = {
    "max": (jreg.project(partial(projections.max_norm, c=1.0)), lambda m: m / np.maximum(np.linalg.norm(m, axis=0), 1)),
    "lambda": (jreg.project(lambda w: projections.unit_norm(w)), lambda m: m / np.linalg.norm(m, axis=0)),
    "polar": (jreg.project(projections.orthogonal), polar),
    "simplex": (
        jreg.project(partial(projections.simplex, total=1.0)),
        lambda m: np.stack([onto_simplex(column) for column in m.T], axis=1),
    ),
    "ball": (jreg.project(partial(projections.spectral_ball, c=1.5)), lambda m: m - lowered(m, 1.5)),
    "nuclear": (jreg.proximal(prox.nuclear_norm, 1.0, 0.5), partial(lowered, t=0.5)),
    "lasso": (jreg.proximal(prox.group_lasso, 1.0, 0.5), partial(shortened, t=0.5)),
}


@pytest.mark.slow
def test_a_lifted_function_changes_a_transformers_matrices():
    everything = jax.jit(lambda params: {name: moved(transform, params) for name, (transform, _) in LIFTED.items()})
    for name, after in everything(TRANSFORMER).items():
        places = map(LIFTED[name][1], matrices())
        found = [at(after, f"{ATTENTION}/{part}/kernel")[n] for n in range(3) for part in ("query", "out")]
        found += [*at(after, "layers/up/kernel"), *(at(after, f"last/{part}/kernel") for part in ("query", "out"))]
        for array, matrix in zip([*found, at(after, "Dense_0/kernel")], places, strict=True):
            np.testing.assert_allclose(array.reshape(matrix.shape), matrix, atol=2e-5, err_msg=name)
        for row in jreg.where(TRANSFORMER):
            if not row.chosen:
                np.testing.assert_array_equal(at(after, row.path), at(TRANSFORMER, row.path))


def test_the_spectral_penalty_has_a_vector_for_each_layer():
    penalty = transforms.spectral_penalty(0.5)

    def run(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        start = penalty.init(params)
        state = jax.lax.fori_loop(0, 200, lambda _, state: penalty.update(zeros, state, params)[1], start)
        return penalty.update(zeros, state, params)[0]

    params = {"layers": {"attention": TRANSFORMER["layers"]["MultiHeadDotProductAttention_0"]}}
    updates = jax.jit(run)(params)["layers"]["attention"]

    def slope(m):  # of a quarter of the squared largest singular value
        u, s, vt = np.linalg.svd(m)
        return 0.5 * s[0] * np.outer(u[:, 0], vt[0])

    for name in ("query", "out"):
        wanted = [slope(m.reshape(8, 8)) for m in at(params, f"layers/attention/{name}/kernel")]
        np.testing.assert_allclose(at(updates, f"{name}/kernel").reshape(3, 8, 8), wanted, atol=1e-3)
    assert not at(updates, "query/bias").any()


def test_an_embeddings_units_are_its_rows():
    assert not jreg.where(TRANSFORMER)["Embed_0/embedding"].chosen
    after = moved(jreg.project(projections.unit_norm, "*embedding"), TRANSFORMER)
    np.testing.assert_allclose(np.linalg.norm(at(after, "Embed_0/embedding"), axis=1), 1, rtol=1e-5)


def test_an_explicit_axis_counts_the_arrays_own_axes():
    query = at(TRANSFORMER, "last/query/kernel")
    for penalty in (partial(penalties.group_lasso, axis=-1), lambda w: penalties.group_lasso(w, axis=-1)):
        found = value(penalty, TRANSFORMER, where="last/query/kernel")
        np.testing.assert_allclose(found, np.linalg.norm(query, axis=-1).sum(), rtol=1e-5)


def test_convolutions_and_dense_layers_are_as_bare_arrays():
    params = filled(shapes(linen.Sequential([linen.Conv(3, (2, 2)), linen.Conv(4, (2, 2)), linen.Dense(2)]), X))
    table = jreg.where(params)
    kernels = [row.path for row in table if row.path.endswith("kernel")]
    assert [row.path for row in table if row.chosen] == kernels
    for penalty in (penalties.nuclear_norm, penalties.weight_correlation, penalties.group_lasso):

        def by_hand(params, penalty=penalty):
            alone = [penalty(params[path.split("/")[0]]["kernel"]).astype(jnp.float32) for path in kernels]
            return 0.0 + 1.0 * (alone[0] + alone[1] + alone[2])

        # Equal programs have equal results, to the last bit.
        assert str(jax.make_jaxpr(partial(lifted, penalty))(params)) == str(jax.make_jaxpr(by_hand)(params))
    one = {"Conv_0": {"kernel": np.ones((3, 4, 2), np.float32)}}
    assert jreg.where(one)["Conv_0/kernel"].inputs == (0, 1)


def rows(params, *paths):
    table = jreg.where(params)
    return [table[path][2:3] + table[path][4:] for path in paths]


def test_layers_without_biases_are_known_by_their_normalization():
    params = shapes(Transformer(bias=False), jnp.ones((2, 5), jnp.int32))["layers"]
    found = rows({"layers": params, "Dense_0": {"bias": np.ones(3)}}, "layers/up/kernel", f"{ATTENTION}/query/kernel")
    assert found == [(True, (0,), (1,), (2,)), (True, (0,), (1,), (2, 3))]


@pytest.mark.parametrize("cell", [linen.LSTMCell(4), linen.GRUCell(4), linen.SimpleCell(4)])
def test_recurrent_kernels_are_weights(cell):
    params = shapes(linen.RNN(cell), jnp.ones((1, 2, 3)))
    assert all(row.chosen == row.path.endswith("kernel") for row in jreg.where(params))
    stacked = jax.tree.map(lambda w: np.ones((5, *w.shape)), params)
    assert {row[4:] for row in jreg.where(stacked) if row.chosen} == {((0,), (1,), (2,))}


def dict_of(module):
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def test_nnx_modules():
    rngs = nnx.Rngs(0)
    make = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: nnx.Linear(4, 4, rngs=rngs)))
    params = {
        "attention": dict_of(nnx.MultiHeadAttention(2, 8, decode=False, use_bias=False, rngs=rngs)),
        "lora": dict_of(nnx.LoRALinear(8, 4, lora_rank=2, rngs=rngs)),
        "embed": dict_of(nnx.Embed(7, 3, rngs=rngs)),
        "stacked": dict_of(make(nnx.Rngs(0))),
        "norm": dict_of(nnx.LayerNorm(3, rngs=rngs)),
    }
    table = jreg.where(params)
    assert {row.path for row in table if row.chosen} == {
        *(f"attention/{name}/kernel" for name in ("query", "key", "value", "out")),
        *("lora/kernel", "lora/lora/lora_a", "lora/lora/lora_b", "stacked/kernel"),
    }
    found = rows(params, "attention/key/kernel", "attention/out/kernel", "lora/lora/lora_b", "stacked/kernel")
    assert [row[1:] for row in found] == [
        ((), (0,), (1, 2)),
        ((), (0, 1), (2,)),
        ((), (0,), (1,)),
        ((0,), (1,), (2,)),
    ]
    boxed = nnx.state(nnx.Linear(3, 2, rngs=rngs), nnx.Param)  # its leaves are called kernel/value and bias/value
    assert [row.chosen for row in jreg.where(boxed)] == [False, True]


def test_haikus_names():
    params = filled(
        {
            "__layer_stack_no_per_layer/linear": {"w": np.ones((3, 8, 8)), "b": np.ones((3, 8))},
            "__layer_stack_no_per_layer/layer_norm": {"scale": np.ones((3, 8)), "offset": np.ones((3, 8))},
            "batch_norm": {"scale": np.ones((1, 1, 4)), "offset": np.ones((1, 1, 4))},
            "embed": {"embeddings": np.ones((7, 8))},
            "conv1_d": {"w": np.ones((3, 8, 4)), "b": np.ones(4)},
            "gru": {"w_i": np.ones((4, 12)), "w_h": np.ones((4, 12)), "b": np.ones(12)},
        }
    )
    chosen = [row.path for row in jreg.where(params) if row.chosen]
    assert chosen == ["__layer_stack_no_per_layer/linear/w", "conv1_d/w", "gru/w_h", "gru/w_i"]
    stack = params["__layer_stack_no_per_layer/linear"]["w"]
    found = value(penalties.nuclear_norm, params, where="*linear/w")
    np.testing.assert_allclose(found, sum(singular(m).sum() for m in stack), rtol=1e-5)


def module(name, *fields, home="equinox.nn._linear"):
    """A class as Equinox makes them, known by where it is from."""
    made = dataclasses.make_dataclass(name, fields, namespace={"__module__": home})
    return jax.tree_util.register_dataclass(made)


Linear, Embedding, LayerNorm = (module(name, "weight", "bias") for name in ("Linear", "Embedding", "LayerNorm"))
Network = module("Network", "embedding", "layers", "norm", home="equinox._module")


def test_equinox_modules_have_the_outputs_first():
    layers = [
        Linear(RNG.normal(size=(4, 4)).astype(np.float32), None),
        Linear(RNG.normal(size=(5, 3, 4)).astype(np.float32), np.ones((5, 3), np.float32)),
    ]
    norm = LayerNorm(np.ones((3, 4), np.float32), np.ones((3, 4), np.float32))
    params = Network(Embedding(np.ones((7, 4), np.float32), None), layers, norm)
    assert [row.path for row in jreg.where(params) if row.chosen] == ["layers/0/weight", "layers/1/weight"]
    after = moved(jreg.project(projections.unit_norm), params)
    for layer in after.layers:
        np.testing.assert_allclose(np.linalg.norm(layer.weight, axis=-1), 1, rtol=1e-5)
    rows = moved(jreg.project(projections.unit_norm, "embedding*"), params).embedding.weight
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_the_parameters_of_from_equinox_go_by_the_biases_among_them():
    params = filled({"0": {"weight": np.ones((4, 6)), "bias": np.ones(4)}, "1": {"weight": np.ones((4, 4))}})
    assert {row[4:] for row in jreg.where(params) if row.chosen} == {((), (1,), (0,))}
    with pytest.raises(ValueError, match=r"which axes of '1/weight', .* give the lift an axis"):
        value(penalties.group_lasso, {"1": params["1"]})
    assert jreg.where({"0": {"weight": np.ones((6, 4)), "bias": np.ones(4)}})["0/weight"].inputs == (0,)


FOREIGN = filled({"mixer": {"table": np.ones((3, 4, 5)), "plain": np.ones((4, 5))}})


def test_what_cannot_be_known_is_an_error_that_names_axis():
    table = FOREIGN["mixer"]["table"]
    expected = r"which axes of 'mixer/table', an array of shape \(3, 4, 5\), .* give the lift an axis for this path"
    for penalty in (penalties.nuclear_norm, penalties.group_lasso, lambda w: penalties.orthogonal(w)):
        with pytest.raises(ValueError, match=expected):
            value(penalty, FOREIGN)
    for transform in (jreg.project(projections.unit_norm), jreg.proximal(prox.group_lasso, 0.1, 0.1)):
        with pytest.raises(ValueError, match=expected):
            moved(transform, FOREIGN)
    with pytest.raises(ValueError, match=expected):
        transforms.spectral_penalty(0.1).init(FOREIGN)
    # What doesn't depend on axes, or is told them, has a value.
    np.testing.assert_allclose(
        value(penalties.l1, FOREIGN), sum(np.abs(w).sum() for w in FOREIGN["mixer"].values()), 1e-5
    )
    found = value(partial(penalties.group_lasso, axis=1), FOREIGN, where="*table")
    np.testing.assert_allclose(found, np.linalg.norm(table, axis=1).sum(), rtol=1e-5)


def test_axes_are_said_by_path():
    table, plain = FOREIGN["mixer"]["table"], FOREIGN["mixer"]["plain"]
    axis = {"*/table": jreg.Axes(inputs=-1, stack=0)}
    found = value(penalties.nuclear_norm, FOREIGN, axis=axis)
    np.testing.assert_allclose(found, sum(singular(m).sum() for m in [*table, plain]), rtol=1e-5)
    after = moved(jreg.project(projections.unit_norm, axis=axis), FOREIGN)["mixer"]
    np.testing.assert_allclose(np.linalg.norm(after["table"], axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(after["plain"], axis=0), 1, rtol=1e-5)
    after = moved(jreg.proximal(prox.group_lasso, 1.0, 0.5, "*table", axis=(0, 1)), FOREIGN)["mixer"]["table"]
    np.testing.assert_allclose(after.reshape(12, 5), shortened(table.reshape(12, 5), 0.5), atol=1e-5)
    assert jreg.where(FOREIGN, axis=axis)["mixer/table"][4:] == ((0,), (2,), (1,))


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ({"*/tabel": 0}, r"axis names the path '\*/tabel', which matches none of the chosen: mixer/plain, mixer/table"),
        ({"*/table": 3}, r"axis=3 does not exist in 'mixer/table', an array of shape \(3, 4, 5\)"),
        ({"*/table": jreg.Axes(0, 0)}, r"names an axis twice in 'mixer/table'"),
        ({"*/table": "in"}, r"axis is 'in' for 'mixer/table', but must be a number, several, jreg.Axes"),
    ],
)
def test_axes_that_do_not_exist(axis, expected):
    with pytest.raises((ValueError, TypeError), match=expected):
        jreg.where(FOREIGN, axis=axis)


def test_two_ways_to_read_an_array_are_one_too_many():
    kernel = {"proj": {"kernel": np.ones((4, 4, 4)), "bias": np.ones((4, 4))}}  # heads, or layers
    assert jreg.where(kernel)["proj/kernel"].inputs is None
    assert "?" in str(jreg.where(kernel))


@pytest.mark.parametrize(
    ("params", "path", "axes"),
    [
        ({"w_q": (8, 2, 4), "b_q": (2, 4)}, "w_q", ((), (0,), (1, 2))),  # a hand-made tree
        ({"stem": {"kernel": (3, 3, 1, 4)}}, "stem/kernel", ((), (0, 1, 2), (3,))),
        ({"attention": {"kv_einsum": {"w": (2, 3, 8, 4)}}}, "attention/kv_einsum/w", (None, None, None)),
        ({"conv": {"kernel": (3, 4, 8), "bias": (4,)}}, "conv/kernel", ((), (0, 2), (1,))),  # a transposed kernel
        ({"Dense_0": {"kernel": (4, 3, 5), "bias": (5, 3)}}, "Dense_0/kernel", (None, None, None)),  # layers not first
        ({"ConvLocal_0": {"kernel": (5, 12, 4), "bias": (5, 4)}}, "ConvLocal_0/kernel", ((0,), (1,), (2,))),
        (
            {"ScanMixer_0": {"proj": {"kernel": (5, 3, 4)}}},
            "ScanMixer_0/proj/kernel",
            (None, None, None),
        ),  # may be shared
        ({"layer_stack": {"mix": {"w": (5, 3, 4)}}}, "layer_stack/mix/w", ((0,), (1,), (2,))),
    ],
)
def test_names_shapes_and_biases_tell_axes(params, path, axes):
    table = jreg.where(jax.tree.map(np.ones, params, is_leaf=lambda node: isinstance(node, tuple)))
    assert [row.path for row in table if row.chosen] == [path]
    assert table[path][4:] == axes


def test_a_flat_dictionary_of_pytorch_has_its_outputs_first():
    params = {
        "fc.weight": jnp.ones((4, 3)),
        "fc.bias": jnp.ones(4),
        "conv.weight": jnp.ones((8, 3, 5, 5)),
        "conv.bias": jnp.ones(8),
        "emb.weight": jnp.ones((10, 3)),
    }
    table = jreg.where(params)
    assert [(row.path, row.chosen, row.outputs) for row in table if len(row.shape) > 1] == [
        ("conv.weight", True, (0,)),
        ("emb.weight", False, (0,)),
        ("fc.weight", True, (0,)),
    ]


def test_layers_that_are_counted_along_another_axis_are_an_error():
    # What nn.scan with variable_axes={"params": 1} makes: (in, layers, out).
    params = {
        "Dense_0": {"kernel": jnp.ones((8, 3, 8))},
        "SelfAttention_0": {"query": {"kernel": jnp.ones((8, 3, 2, 4)), "bias": jnp.ones((2, 3, 4))}},
    }
    assert jreg.where(params)["Dense_0/kernel"].inputs is None
    known = jreg.where(params, axis={"Dense_0/*": jreg.Axes(inputs=0, stack=1)})["Dense_0/kernel"]
    assert (known.stack, known.inputs, known.outputs) == ((1,), (0,), (2,))


def test_the_table_says_what_is_chosen_and_why():
    table = jreg.where(TRANSFORMER)
    lines = str(table).splitlines()
    assert re.split(r" {2,}", lines[0]) == ["path", "shape", "chosen", "what it is", "stack", "in", "out"]
    found = {words[0]: words[1:] for words in (re.split(r" {2,}", line) for line in lines[1:])}
    assert found["layers/LayerNorm_0/scale"] == ["(3, 8)", "no", "scale", "0", "1"]
    assert found[f"{ATTENTION}/out/kernel"] == ["(3, 2, 4, 8)", "yes", "weights of an affine map", "0", "1, 2", "3"]
    assert found["Embed_0/embedding"][1:3] == ["no", "embedding"]
    assert len(found) == len(jax.tree.leaves(TRANSFORMER))
    assert table.mask == jax.tree.map(lambda _: False, TRANSFORMER) | jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key == "kernel", TRANSFORMER
    )


def test_nothing_but_weights_is_shown_and_not_an_error():
    assert [row.what for row in jreg.where({"bias": np.ones((2, 3)), "scale": np.ones(3)})] == ["bias", "scale"]


def test_frozen_parameters_are_left_out_by_optaxs_masks():
    params = {
        name: {"kernel": np.full((2, 2), 2, np.float32), "bias": np.ones(2, np.float32)} for name in ("frozen", "head")
    }

    def by_function(params):  # a flag for a whole subtree, as optax has it
        return {name: name == "head" for name in params}

    assert value(penalties.l2, params, where=by_function) == 8 + 1
    assert value(penalties.l2, params, where={"frozen": False, "head": True}) == 8 + 1

    def weights_of_the_head(params):
        flags = jreg.where(params).mask
        return {name: tree if name == "head" else jax.tree.map(lambda _: False, tree) for name, tree in flags.items()}

    assert value(penalties.l2, params, where=weights_of_the_head) == 8
    after = moved(jreg.decoupled_weight_decay(0.5, weights_of_the_head), params)
    assert (after["frozen"]["kernel"] == 2).all()
    assert (after["head"]["kernel"] == 1).all()
    # The same mask means the same to optax.
    masked = optax.masked(optax.add_decayed_weights(-0.5), weights_of_the_head)
    jax.tree.map(np.testing.assert_array_equal, moved(masked, params), after)
    with pytest.raises(ValueError, match=r"where is a tree with the paths"):
        value(penalties.l2, params, where={"frozen": False, "tail": True})


def test_layers_of_standardized_weights_and_changed_networks_know_the_units():
    layer = nn.WeightStandardized(linen.DenseGeneral((2, 4)))
    x = jnp.eye(8)
    kernel, bias = RNG.normal(size=(8, 2, 4)), RNG.normal(size=(2, 4))
    params = {"layer": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}}
    found = layer.apply({"params": params}, x) - params["layer"]["bias"][None]
    np.testing.assert_allclose(found, (kernel - kernel.mean(0)) / np.sqrt(kernel.var(0) + 1e-5), atol=1e-4)
    model = jreg.models.with_weights(linen.DenseGeneral((2, 4)), projections.unit_norm)
    outputs, _ = model.apply(params["layer"], {}, x, train=False, key=None, mask=None)
    found = np.linalg.norm(outputs - params["layer"]["bias"][None], axis=0)
    np.testing.assert_allclose(found, 1, rtol=1e-4)
    assert math.isclose(float(np.square(found).sum()), 8, rel_tol=1e-4)
