"""Temperature scaling: against a grid, the condition of its minimum and closed forms; cross-fitted in a study."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.metrics import log_loss

from jreg import metrics
from jreg.statistics import temperature
from jreg.study import OutOfFold
from jreg.study.calibration import calibration

RNG = np.random.default_rng(8)
N, K = 300, 4
LOGITS = 3 * RNG.normal(size=(N, K))
# Drawn at a temperature of 2.5, so that the logits are too sure.
LABELS = np.array([RNG.choice(K, p=p) for p in softmax(LOGITS / 2.5, axis=1)])
ONE = LOGITS[:, 0]
FLAGS = (RNG.random(N) < expit(ONE / 2.5)).astype(int)
WEIGHTS = np.resize([1.0, 0.0, 2.0, 0.5], N)
GRID = np.exp(np.linspace(np.log(1.5), np.log(4.0), 4001))


def test_it_minimizes_the_log_loss_on_a_fine_grid():
    losses = [-np.average(log_softmax(LOGITS / t, axis=1)[np.arange(N), LABELS], weights=WEIGHTS) for t in GRID]
    found = temperature(LOGITS, LABELS, WEIGHTS)
    assert abs(np.log(found / GRID[np.argmin(losses)])) <= np.log(GRID[1] / GRID[0])
    assert found != pytest.approx(temperature(LOGITS, LABELS), rel=1e-3)


def test_the_derivative_is_zero_there():
    found = temperature(LOGITS, LABELS, WEIGHTS)
    mean = (softmax(LOGITS / found, axis=1) * LOGITS).sum(axis=1)
    slope = np.average(mean - LOGITS[np.arange(N), LABELS], weights=WEIGHTS)
    assert abs(slope) < 1e-9
    found = temperature(ONE, FLAGS)
    assert abs(np.mean((expit(ONE / found) - FLAGS) * ONE)) < 1e-9


def test_closed_forms():
    # Sure by z everywhere and right with a share p, the best logit is that of p.
    for z, p in ((4.0, 0.75), (0.3, 0.9), (-2.0, 0.2)):
        flags = (np.arange(20) < 20 * p).astype(int)
        assert temperature(np.full(20, z), flags) == pytest.approx(z / logit(p), rel=1e-9)
    # Logits c times as large have a temperature c times as large; a shift of a row changes nothing.
    found = temperature(LOGITS, LABELS)
    assert temperature(7 * LOGITS + RNG.normal(size=(N, 1)), LABELS) == pytest.approx(7 * found, rel=1e-9)


def test_one_output_and_two_logits_agree_and_labels_are_flat_rows():
    found = temperature(ONE, FLAGS)
    assert temperature(ONE[:, None], FLAGS) == found
    assert temperature(np.stack([np.zeros(N), ONE], axis=1), FLAGS) == pytest.approx(found, rel=1e-9)
    flags = (LOGITS + 3 * RNG.normal(size=(N, K)) > 0).astype(int)
    assert temperature(LOGITS, flags) == pytest.approx(temperature(LOGITS.ravel(), flags.ravel()), rel=1e-9)
    sequences = LOGITS.reshape(100, 3, K), LABELS.reshape(100, 3)
    assert temperature(*sequences) == pytest.approx(temperature(LOGITS, LABELS), rel=1e-9)


def test_ends_where_there_is_no_minimum():
    assert temperature(LOGITS, LOGITS.argmax(1)) == 1e-3
    assert temperature(LOGITS, LOGITS.argmin(1)) == 1e3
    assert temperature(np.ones((5, 3)), np.array([0, 1, 2, 0, 0])) == 1
    assert temperature(np.zeros(4), np.array([0, 1, 1, 1])) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((LOGITS[:, 0], LOGITS[:, 1]), TypeError, "targets have dtype float64.*a regression has no probabilities"),
        ((LOGITS, LABELS[:-1]), ValueError, r"outputs of shape \(300, 4\) and targets of shape \(299,\)"),
        ((LOGITS, np.stack([LABELS] * 2, axis=1)), ValueError, r"outputs of shape \(300, 4\) and targets of shape"),
        ((LOGITS, LABELS + 1), ValueError, "reach from 1 to 4, but there are 4 classes, numbered from 0"),
        ((LOGITS[:, 0], LABELS), ValueError, "reach from 0 to 3, but one output says 0 or 1"),
        ((np.where(LOGITS > 9, np.nan, np.inf), LABELS), ValueError, "outputs that are NaN or infinite"),
        ((LOGITS, LABELS, -WEIGHTS), ValueError, "weights must be 300 finite numbers .* from -2 to -0"),
        ((LOGITS, LABELS, WEIGHTS[:2]), ValueError, r"weights must be 300 finite numbers .* shape \(2,\)"),
        ((LOGITS, LABELS, 0 * WEIGHTS), ValueError, "not all 0"),
        ((np.empty((0, 3)), np.empty(0, int)), ValueError, r"outputs of shape \(0, 3\)"),
        ((3.0, 1), ValueError, r"outputs of shape \(\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        temperature(*arguments)


def found(splits=5, **changes):
    rows = np.arange(N)
    outputs = np.stack([LOGITS, LOGITS + 0.5 * RNG.normal(size=(N, K))]).astype("f")
    made = OutOfFold(rows, rows % splits, LABELS.astype(np.int32), outputs, "classification", "softmax")
    return made._replace(**changes)


def test_a_studys_calibration_is_cross_fitted():
    made = found(weights=WEIGHTS)
    result = calibration(made, bins=15)
    assert result.temperature == pytest.approx(2.5, rel=0.35)
    both = made.outputs.reshape(-1, K), np.tile(LABELS, 2), np.tile(WEIGHTS, 2)
    assert result.temperature == pytest.approx(temperature(*both), rel=1e-12)
    # By a loop: the rows of a fold are judged at the temperature of the others.
    before, after = [], []
    for outputs in made.outputs.astype(float):
        cooled = outputs.copy()
        for fold in range(5):
            others = np.tile(made.folds != fold, 2)
            number = temperature(both[0][others], both[1][others], both[2][others])
            assert result.by_fold[fold] == pytest.approx(number, rel=1e-12)
            cooled[made.folds == fold] /= number
        before.append(log_loss(LABELS, softmax(outputs, axis=1), sample_weight=WEIGHTS))
        after.append(log_loss(LABELS, softmax(cooled, axis=1), sample_weight=WEIGHTS))
    assert result.log_loss == pytest.approx(np.mean(before), rel=1e-5)
    assert result.log_loss_after == pytest.approx(np.mean(after), rel=1e-5)
    each = [float(metrics.ece(15)(outputs, made.targets, WEIGHTS)) for outputs in made.outputs]
    assert result.ece == pytest.approx(np.mean(each), rel=1e-5)
    assert result.ece_after < result.ece / 2


def test_no_row_is_judged_by_a_temperature_that_it_chose_in_another_repeat():
    rows = np.tile(np.arange(N), 2)
    order = np.argsort(rows, kind="stable")
    folds = np.concatenate([np.arange(N) % 2, 2 + np.arange(N) // 150])[order]
    made = found(rows=rows[order], folds=folds, targets=LABELS[rows[order]], outputs=LOGITS[rows[order]][None])
    result = calibration(made, bins=10)
    for fold in range(4):
        inside = rows[order][folds == fold]
        others = ~np.isin(rows[order], inside)
        assert result.by_fold[fold] == pytest.approx(temperature(made.outputs[0][others], made.targets[others]))


def test_one_output_and_what_has_no_probabilities():
    single = found(outputs=ONE[None, :, None].astype("f"), targets=FLAGS, link="sigmoid")
    result = calibration(single, bins=10)
    assert result.temperature == pytest.approx(temperature(ONE.astype("f"), FLAGS), rel=1e-9)
    with pytest.raises(ValueError, match="a regression has no probabilities to calibrate: there are some of classes"):
        calibration(found(task="regression", link="identity"), bins=10)
    with pytest.raises(ValueError, match="a loss with the link None has no probabilities to calibrate"):
        calibration(found(link=None), bins=10)
    with pytest.raises(ValueError, match="fold 0 leaves no rows for a temperature to be fitted on"):
        calibration(found(splits=1), bins=10)
    with pytest.raises(ValueError, match="calibration's number of bins is 0"):
        calibration(found(), bins=0)
