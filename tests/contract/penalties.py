"""Rows of `jreg.penalties`."""

import jax
import jax.numpy as jnp

from contract import F32, WEIGHTS, Case
from jreg import penalties

REFERENCE = jnp.linspace(-1.0, 1.0, 15).reshape(5, 3)
INPUTS = jnp.linspace(-2.0, 2.0, 20).reshape(5, 4)
READOUT = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)


def network(x):
    return jnp.tanh(x @ READOUT.astype(x.dtype))


def relu_network(params, x):
    return jax.nn.relu(x @ params[0]) @ params[1]


def state(x):
    return penalties.spectral_norm_init(jax.random.key(1), x)


CASES = [
    Case(penalties.l1, lambda x, s: penalties.l1(x), (5, 3), ()),
    Case(penalties.l2, lambda x, s: penalties.l2(x), (5, 3), ()),
    Case(
        penalties.elastic_net,
        lambda x, s: penalties.elastic_net(x, s),
        (5, 3),
        (),
        strengths=(0.0, 0.25, 2.0),
        identity=0.0,
        unchanged=penalties.l1,
        rounded=True,
    ),
    Case(
        penalties.elastic_net_ratio,
        lambda x, s: penalties.elastic_net_ratio(x, s),
        (5, 3),
        (),
        strengths=(0.0, 0.25, 1.0),
        identity=1.0,
        unchanged=penalties.l1,
        rounded=True,
    ),
    Case(penalties.l2_sp, lambda x, s: penalties.l2_sp(x, REFERENCE), (5, 3), ()),
    Case(penalties.group_lasso, lambda x, s: penalties.group_lasso(x), (5, 3), ()),
    Case(penalties.group_lasso, lambda x, s: penalties.group_lasso(x, axis=-1), (2, 2, 3, 4), (), dtypes=(F32,)),
    Case(
        penalties.sparse_group_lasso,
        lambda x, s: penalties.sparse_group_lasso(x, s),
        (5, 3),
        (),
        strengths=(0.0, 0.25, 1.0),
        identity=1.0,
        unchanged=penalties.l1,
        rounded=True,
    ),
    Case(penalties.hoyer_square, lambda x, s: penalties.hoyer_square(x), (5, 3), ()),
    Case(penalties.log_sum, lambda x, s: penalties.log_sum(x, 0.1), (5, 3), ()),
    Case(penalties.orthogonal, lambda x, s: penalties.orthogonal(x), (5, 3), ()),
    Case(penalties.orthogonal, lambda x, s: penalties.orthogonal(x, axis=-1), (2, 2, 3, 4), (), dtypes=(F32,)),
    Case(penalties.soft_orthogonality, lambda x, s: penalties.soft_orthogonality(x), (5, 3), ()),
    Case(
        penalties.soft_orthogonality,
        lambda x, s: penalties.soft_orthogonality(x, double_sided=True),
        (5, 3),
        (),
        dtypes=(F32,),
    ),
    Case(penalties.srip, lambda x, s: penalties.srip(x), (5, 3), ()),
    Case(penalties.weight_correlation, lambda x, s: penalties.weight_correlation(x), (5, 3), ()),
    Case(penalties.weight_correlation, lambda x, s: penalties.weight_correlation(x), (2, 2, 3, 4), (), dtypes=(F32,)),
    Case(penalties.nuclear_norm, lambda x, s: penalties.nuclear_norm(x), (5, 3), ()),
    Case(penalties.spectral_norm, lambda x, s: penalties.spectral_norm(x), (5, 3), ()),
    Case(penalties.spectral_norm_init, lambda x, s: state(x), (5, 3), (3,), out_dtype=F32),
    Case(penalties.spectral_norm_step, lambda x, s: penalties.spectral_norm_step(x, state(x))[0], (5, 3), ()),
    Case(penalties.total_variation, lambda x, s: penalties.total_variation(x), (4, 3, 2), ()),
    Case(penalties.kl_sparsity, lambda x, s: penalties.kl_sparsity(jax.nn.sigmoid(x), WEIGHTS, 0.1), (5, 3), ()),
    # Zeros reach the clipped means.
    Case(
        penalties.kl_sparsity,
        lambda x, s: penalties.kl_sparsity(jnp.square(x) / 9, WEIGHTS, 0.1),
        (5, 3),
        (),
        dtypes=(F32,),
    ),
    Case(penalties.variance, lambda x, s: penalties.variance(x, WEIGHTS), (5, 3), ()),
    Case(penalties.decov, lambda x, s: penalties.decov(x, WEIGHTS), (5, 3), ()),
    Case(penalties.laplacian, lambda x, s: penalties.laplacian(x, WEIGHTS, INPUTS, 1.5), (5, 3), ()),
    Case(penalties.confidence, lambda x, s: penalties.confidence(x), (5,), ()),
    Case(penalties.r_drop, lambda x, s: penalties.r_drop(*x), [(5,), (5,)], ()),
    Case(penalties.jacobian, lambda x, s: penalties.jacobian(network, x), (3,), ()),
    Case(
        penalties.jacobian_projection,
        lambda x, s: penalties.jacobian_projection(jax.random.key(2), network, x),
        (3,),
        (),
    ),
    Case(
        penalties.input_gradient,
        lambda x, s: penalties.input_gradient(lambda z: jnp.sum(jnp.square(network(z))), x),
        (3,),
        (),
    ),
    Case(
        penalties.path_norm,
        lambda x, s: penalties.path_norm(relu_network, x, jnp.zeros((7, 5), x[0].dtype)),
        [(5, 3), (3, 2)],
        (),
    ),
    Case(
        penalties.flooding,
        lambda x, s: penalties.flooding(x, s),
        (),
        (),
        strengths=(0.0, 0.25, 2.0),
        identity=0.0,
        unchanged=jnp.abs,
    ),
]
# What is summed up is a number in float32 at least.
CASES = [case if case.of is penalties.flooding else case._replace(out_dtype=F32) for case in CASES]
