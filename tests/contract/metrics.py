"""Rows of `jreg.metrics`, whose metrics are values: they come under the functions that take or make them."""

import jax.numpy as jnp

from contract import F32, LABELS, TARGETS, WEIGHTS, Case
from jreg import metrics


def row(of, metric, shape, targets):
    return Case(of, lambda x, s: metrics.as_metric("row", metric)(x, targets, WEIGHTS), shape, (), out_dtype=F32)


def product(x, targets):
    return x.astype(jnp.float32)[:, 0] * targets.astype(jnp.float32)


def largest(x, targets, weights):
    return jnp.max(weights * product(x, targets))


def mean_square(params):
    return jnp.mean(jnp.square(params))


CASES = [
    row(metrics.as_metric, metrics.accuracy, (5, 3), LABELS),
    row(metrics.as_metric, metrics.log_loss, (5, 3), LABELS),
    row(metrics.as_metric, metrics.log_loss, (5, 1), LABELS % 2),
    row(metrics.as_metric, metrics.perplexity, (5, 3), LABELS),
    row(metrics.as_metric, metrics.mse, (5, 1), TARGETS),
    row(metrics.as_metric, metrics.mae, (5, 1), TARGETS),
    row(metrics.as_metric, metrics.r2, (5, 1), TARGETS),
    row(metrics.as_metric, metrics.balanced_accuracy, (5, 3), LABELS),
    row(metrics.as_metric, metrics.mcc, (5, 3), LABELS),
    row(metrics.as_metric, metrics.brier, (5, 3), LABELS),
    row(metrics.as_metric, metrics.roc_auc, (5, 3), LABELS),
    row(metrics.as_metric, metrics.average_precision, (5, 1), LABELS % 2),
    row(metrics.as_metric, metrics.rmse, (5, 1), TARGETS),
    row(metrics.as_metric, metrics.mape, (5, 1), TARGETS),
    row(metrics.f1, metrics.f1("macro"), (5, 3), LABELS),
    row(metrics.top_k_accuracy, metrics.top_k_accuracy(2), (5, 3), LABELS),
    row(metrics.ece, metrics.ece(10), (5, 3), LABELS),
    row(metrics.pinball, metrics.pinball(0.2), (5, 1), TARGETS),
    row(metrics.average, metrics.average(product, maximize=True), (5, 1), TARGETS),
    row(metrics.collecting, metrics.collecting(largest, maximize=True), (5, 1), TARGETS),
    Case(
        metrics.of_params,
        lambda x, s: metrics.of_params(mean_square, maximize=False)(x),
        (4, 3),
        (),
        out_dtype=F32,
    ),
]
