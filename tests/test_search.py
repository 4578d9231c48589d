"""Random and quasi-random spaces, beside scipy's distributions, scipy's points and a slow loop.

A test that draws says how probable a false alarm would be with another seed.
"""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optax
import pytest
from scipy import stats
from scipy.stats import qmc

import jreg
from jreg import losses, nn, penalties, report, search

METHODS = ("random", "sobol", "halton", "latin_hypercube")
ENGINES = {"sobol": qmc.Sobol, "halton": qmc.Halton, "latin_hypercube": qmc.LatinHypercube}
each_method = pytest.mark.parametrize("method", METHODS)
QUANTILES = np.linspace(0, 1, 101)[:-1]


def column(space, name):
    return [setting[name] for setting in space.settings]


# distributions


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (0.1, 0.100001), (-1e-9, 1e9), (1, 2)])
def test_uniform_has_the_quantiles_of_scipy(low, high):
    found = [search.uniform(low, high).ppf(q) for q in QUANTILES]
    np.testing.assert_allclose(found, stats.uniform(low, high - low).ppf(QUANTILES), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("low", "high"), [(1e-5, 1e-1), (1.0, 2.0), (1e-30, 1e30), (0.5, 0.500001)])
def test_log_uniform_has_the_quantiles_of_scipy(low, high):
    found = [search.log_uniform(low, high).ppf(q) for q in QUANTILES]
    np.testing.assert_allclose(found, stats.loguniform(low, high).ppf(QUANTILES), rtol=1e-12)


@pytest.mark.parametrize(
    "distribution",
    [
        search.uniform(1.0, 2.0),
        search.uniform(-1e308, 1.7e308),
        search.log_uniform(1e-300, 1e300),
        search.uniform(3, 4),
    ],
    ids=str,
)
def test_no_quantile_leaves_the_bounds(distribution):
    found = [distribution.ppf(q) for q in (0.0, 1e-17, 0.5, 1 - 2**-53)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(distribution.low, rel=1e-12)
    assert distribution.low <= found[0] <= found[-1] <= distribution.high


@pytest.mark.parametrize("weights", [[1, 2, 3], [0.0, 1.0, 0.0], [1, 0, 1], [1e-3, 1e3, 1.0], [1e308, 1e308, 1e308]])
def test_a_choice_has_the_quantiles_of_scipys_discrete_distribution(weights):
    found = [search.choice(["a", "b", "c"], weights).ppf(q) for q in QUANTILES + 1e-6]
    shares = np.array(weights) / np.max(weights)
    expected = stats.rv_discrete(values=(np.arange(3), shares / shares.sum())).ppf(QUANTILES + 1e-6)
    assert found == [("a", "b", "c")[int(place)] for place in expected]


def test_a_weight_of_zero_is_never_drawn_at_an_end():
    ends = (0.0, 1 - 2**-53)
    assert [search.choice([1, 2, 3, 4], [0, 1, 1, 0]).ppf(q) for q in ends] == [2, 3]


def test_without_weights_all_are_alike():
    assert [search.choice(range(4)).ppf(q) for q in (0.0, 0.24, 0.25, 0.5, 0.75, 0.99)] == [0, 0, 1, 2, 3, 3]


# Kolmogorov and Smirnov's test, and the chi-squared one, at a level of 1e-7: that is the probability of a false alarm
# of each test with another seed, for independent points. For the other methods, whose points are more even, it is less.
LEVEL = 1e-7


@each_method
def test_draws_follow_their_distributions(method):
    space = jreg.random_space(
        1000, 3, method=method, a=search.uniform(-1.0, 3.0), b=search.log_uniform(1e-6, 1.0), c=stats.norm(2.0, 0.5)
    )
    for name, expected in {"a": stats.uniform(-1, 4), "b": stats.loguniform(1e-6, 1), "c": stats.norm(2, 0.5)}.items():
        assert stats.kstest(column(space, name), expected.cdf).pvalue > LEVEL, name


@each_method
def test_choices_come_as_often_as_they_weigh(method):
    space = jreg.random_space(
        1000, 5, method=method, a=search.choice(["x", "y", "z"], [1, 2, 5]), b=search.uniform(0, 1)
    )
    counts = [column(space, "a").count(value) for value in "xyz"]
    assert stats.chisquare(counts, [125, 250, 625]).pvalue > LEVEL


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("count", [64, 100])
def test_quasi_random_points_are_more_even_than_random_ones(method, count):
    def unevenness(method, seed):
        axes = dict.fromkeys("ab", search.uniform(0.0, 1.0))
        space = jreg.random_space(count, seed, method=method, **axes)
        return qmc.discrepancy(np.array([column(space, "a"), column(space, "b")]).T)

    # Over 1,000 seeds half the mean of 20 random discrepancies lies 6 standard deviations above the mean of 20 of a
    # Latin hypercube, the worst of the three, so that a false alarm is less probable than 1e-8.
    seeds = range(20)
    assert np.mean([unevenness(method, s) for s in seeds]) < np.mean([unevenness("random", s) for s in seeds]) / 2


# points


@each_method
@pytest.mark.parametrize("count", [1, 16, 21])
def test_points_are_those_of_scipy_with_the_same_seed(method, count):
    space = jreg.random_space(count, 11, method=method, a=search.uniform(0.0, 1.0), b=search.uniform(2.0, 4.0))
    if method == "random":
        points = np.random.default_rng(11).random((count, 2))
    elif method == "sobol":
        points = qmc.Sobol(2, rng=11).random_base2(math.ceil(math.log2(count)))[:count]
    else:
        points = ENGINES[method](2, rng=11).random(count)
    np.testing.assert_allclose(
        np.array([column(space, "a"), column(space, "b")]).T, points * [1, 2] + [0, 2], rtol=1e-14
    )


@each_method
def test_a_seed_gives_the_same_space_and_another_one_another(method):
    def drawn(seed):
        return jreg.random_space(9, seed, method=method, l2=search.log_uniform(1e-4, 1.0), width=[8, 16])

    assert drawn(2) == drawn(2)
    assert not set(column(drawn(2), "l2")) & set(column(drawn(3), "l2"))


@pytest.mark.parametrize("method", ["random", "sobol", "halton"])
def test_more_settings_begin_with_the_same(method):
    few, many = (jreg.random_space(n, 0, method=method, a=search.uniform(0, 1), b=[1, 2]) for n in (5, 40))
    assert many.settings[:5] == few.settings


@each_method
def test_what_has_one_value_changes_nothing_for_the_others(method):
    alone = jreg.random_space(8, 0, method=method, l2=search.uniform(0.0, 1.0))
    beside = jreg.random_space(8, 0, method=method, epochs=3, l2=search.uniform(0.0, 1.0), name=["a"])
    assert column(alone, "l2") == column(beside, "l2")
    assert set(column(beside, "epochs")) == {3}


def test_every_interval_of_a_latin_hypercube_is_hit_once():
    space = jreg.random_space(50, 4, method="latin_hypercube", a=search.uniform(0, 50), b=search.uniform(0, 50))
    for name in "ab":
        assert sorted(map(math.floor, column(space, name))) == list(range(50))


# spaces


def test_axes_are_ascending_numbers_and_choices_in_the_order_given():
    space = jreg.random_space(
        30, 0, l2=search.log_uniform(1e-3, 1.0), max_norm=search.choice([3.0, 1.0, 2.0]), width=[32, 8, 16], rate=0.1
    )
    assert space.axes["l2"] == tuple(sorted(column(space, "l2")))
    assert space.axes["max_norm"] == (3.0, 1.0, 2.0)
    assert space.axes["width"] == (32, 8, 16)
    assert space.axes["rate"] == (0.1,)
    assert list(space.settings[0]) == ["l2", "max_norm", "width", "rate"]
    assert space.logarithmic == ("l2",)


def test_axes_hold_only_what_occurs():
    space = jreg.random_space(3, 0, width=range(100), l2=search.uniform(0, 1))
    assert sorted(space.axes["width"]) == sorted(column(space, "width"))


@pytest.mark.parametrize(
    ("axis", "traced"),
    [
        (search.uniform(1, 5), True),
        (search.log_uniform(1, 5), True),
        (stats.randint(1, 5), True),
        (search.choice([0, 0.5]), True),
        (search.choice([0.0, 1]), True),
        (search.choice([1, 2]), False),
        (search.choice(np.arange(3)), False),
        (search.choice(["relu", "tanh"]), False),
        (search.choice([(16, 16), (32,)]), False),
        ([1.0, 2.0], True),
        ([1, 2], False),
        (0.5, True),
        ("relu", False),
        (search.when("on", 1, search.uniform(1, 2), otherwise=0), True),
        (search.when("on", 1, [0.5, 1], otherwise=0), True),
        (search.when("on", 1, [1, 2], otherwise=0.0), True),
        (search.when("on", 1, [1, 2], otherwise=0), False),
        (search.when("on", 1, ["a", "b"], otherwise=None), False),
        # It is traced even where the condition never holds in what is drawn.
        (search.when("never", 1, search.uniform(1, 2), otherwise=0), True),
    ],
)
def test_a_float_among_the_possible_numbers_makes_an_axis_traced(axis, traced):
    space = jreg.random_space(12, 0, on=[1, 2], never=search.choice([1, 2], [0, 1]), h=axis)
    assert ("h" in space.traced) == traced
    if traced:
        assert {type(value) for value in (*column(space, "h"), *space.axes["h"])} == {float}
    else:
        assert float not in {type(value) for value in column(space, "h")}


def test_settings_are_grouped_by_their_static_part():
    space = jreg.random_space(40, 1, l2=search.uniform(0, 1), width=[8, 16], activation=search.choice(["relu", "tanh"]))
    groups = space.groups()
    expected = {}
    for number, setting in enumerate(space.settings):
        expected.setdefault((("width", setting["width"]), ("activation", setting["activation"])), []).append(number)
    assert groups == expected
    assert len(groups) == 4


def test_equal_settings_are_kept_once():
    space = jreg.random_space(100, 0, width=[8, 16], activation=["relu", "tanh"])
    # One of the four is missed with a probability of 4 * 0.75**100, which is 1e-12.
    assert len(space.settings) == 4
    combinations = set(itertools.product([8, 16], ["relu", "tanh"]))
    assert {tuple(setting.values()) for setting in space.settings} == combinations
    assert jreg.random_space(7, 0, width=8, l2=0.1).settings == ({"width": 8, "l2": 0.1},)


# conditions


def test_conditions_are_those_of_a_slow_loop():
    space = jreg.random_space(
        64,
        7,
        # Listed before what it depends on.
        nesterov=search.when("momentum", 0.0, False, otherwise=True),
        momentum=search.when("optimizer", ["sgd", "rmsprop"], search.uniform(0.5, 0.99), otherwise=0.0),
        optimizer=search.choice(["adam", "sgd", "rmsprop"], [2, 1, 1]),
        decay=search.when("optimizer", "rmsprop", search.when("width", 16, [0.8, 0.9], otherwise=0.7), otherwise=0),
        width=[8, 16],
    )
    points = np.random.default_rng(7).random((64, 4))
    expected = []
    for momentum, optimizer, decay, width in points:
        setting = {"optimizer": "adam" if optimizer < 0.5 else "sgd" if optimizer < 0.75 else "rmsprop"}
        setting["width"] = 8 if width < 0.5 else 16
        setting["momentum"] = 0.0 if setting["optimizer"] == "adam" else 0.5 + 0.49 * momentum
        setting["nesterov"] = setting["momentum"] != 0
        setting["decay"] = 0.0
        if setting["optimizer"] == "rmsprop":
            setting["decay"] = 0.7
            if setting["width"] == 16:
                setting["decay"] = 0.8 if decay < 0.5 else 0.9
        if setting not in expected:
            expected.append(setting)
    assert len(space.settings) == len(expected)
    for found, wanted in zip(space.settings, expected, strict=True):
        assert found == wanted | {"momentum": pytest.approx(wanted["momentum"], rel=1e-14)}
    assert list(space.settings[0]) == ["nesterov", "momentum", "optimizer", "decay", "width"]
    assert space.traced == ("momentum", "decay")
    assert space.axes["decay"] == (0.0, 0.7, 0.8, 0.9)
    assert space.axes["momentum"][0] == 0.0
    assert space.axes["nesterov"] == (True, False)


def test_a_value_of_otherwise_that_is_a_choice_keeps_its_place():
    space = jreg.random_space(50, 0, on=[1, 2], c=search.when("on", 1, [0.5, 0.0, 1.0], otherwise=0.0))
    assert space.axes["c"] == (0.5, 0.0, 1.0)


# what is refused

U = search.uniform(0.0, 1.0)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (
            lambda: search.uniform(2, 1),
            ValueError,
            "uniform's low is 2 and its high 1, but low must be below high: swap",
        ),
        (lambda: search.uniform(1.0, 1.0), ValueError, "uniform's low is 1 and its high 1, but low must be below high"),
        (lambda: search.uniform(0, math.inf), ValueError, "uniform's high is inf, but must be a finite number"),
        (lambda: search.uniform(math.nan, 1), ValueError, "uniform's low is nan, but must be a finite number"),
        (lambda: search.uniform("a", 1), TypeError, "uniform's low is 'a', but must be a number"),
        (lambda: search.uniform(True, 2), TypeError, "uniform's low is True, but must be a number"),
        (lambda: search.log_uniform(0, 1), ValueError, "log_uniform's low is 0, but must be above 0: take uniform, or"),
        (lambda: search.log_uniform(-0.5, 1), ValueError, "log_uniform's low is -0.5, but must be above 0"),
        (lambda: search.log_uniform(2, 1), ValueError, "log_uniform's low is 2 and its high 1, but low must be below"),
        (
            lambda: search.log_uniform(1, -math.inf),
            ValueError,
            "log_uniform's high is -inf, but must be a finite number",
        ),
        (lambda: search.choice([]), ValueError, "choice has no values: give at least one"),
        (lambda: search.choice([1.0, math.nan]), ValueError, "choice has the value NaN"),
        (lambda: search.choice([0.1, "a"]), TypeError, "choice mixes numbers with other values"),
        (lambda: search.choice([[8]]), TypeError, r"choice has the value \[8\], which is not hashable"),
        (
            lambda: search.choice([U, 0.5]),
            TypeError,
            r"choice has the value Uniform\(.*\), a distribution: give it alone",
        ),
        (lambda: search.choice([1, 2], [1]), ValueError, "choice has 1 weights for 2 values: give one weight for each"),
        (lambda: search.choice([1, 2], 1), ValueError, "choice has 1 weights for 2 values"),
        (lambda: search.choice([1, 2], [1, -1]), ValueError, "a weight of choice is -1, but must be .* at least 0"),
        (lambda: search.choice([1, 2], [1, math.inf]), ValueError, "a weight of choice is inf, but must be a finite"),
        (lambda: search.choice([1, 2], ["a", 1]), TypeError, "a weight of choice is 'a', but must be a number"),
        (
            lambda: search.choice([1, 2], [0, 0]),
            ValueError,
            r"weights are \(0.0, 0.0\), but one must be above 0: leave",
        ),
        (lambda: search.when(3, 1, U, otherwise=0), TypeError, "when's first argument is 3, but must be the name"),
        (
            lambda: search.when("a", [], U, otherwise=0),
            ValueError,
            r"when\('a', ...\) has no values: give at least one",
        ),
        (lambda: search.when("a", 1, U, otherwise=math.nan), ValueError, r"when\('a', ...\) has the value NaN"),
        (lambda: search.when("a", 1, U, otherwise=[0]), TypeError, r"has the value \[0\], which is not hashable"),
    ],
)
def test_a_distribution_that_makes_no_sense_is_refused(make, error, sentence):
    with pytest.raises(error, match=sentence) as found:
        make()
    assert "\n" not in str(found.value)


class Constant:
    """A distribution of one value."""

    def __init__(self, value):
        self.value = value

    def ppf(self, share):
        return self.value


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"count": 0}, ValueError, "random_space's count is 0, but must be at least 1"),
        ({"count": -3}, ValueError, "random_space's count is -3, but must be at least 1"),
        ({"count": 2.0}, TypeError, "random_space's count is 2.0, but must be a whole number of at least 1"),
        ({"seed": -1}, ValueError, "random_space's seed is -1, but must be at least 0"),
        ({"seed": None}, TypeError, "random_space's seed is None, but must be a whole number"),
        ({"method": "lhs"}, ValueError, "method is 'lhs', but must be one of 'random', 'sobol', 'halton', 'latin_"),
        ({"method": None}, ValueError, "random_space's method is None, but must be one of 'random', "),
        ({"l2": []}, ValueError, "hyperparameter 'l2' has no values: give at least one"),
        ({"l2": [0.1, None]}, TypeError, "hyperparameter 'l2' mixes numbers with other values"),
        ({"l2": stats.norm(0, -1)}, ValueError, "hyperparameter 'l2' has the value NaN"),
        ({"l2": Constant(np.inf)}, ValueError, "hyperparameter 'l2' has the value inf as the median of its distrib"),
        ({"l2": Constant("much")}, TypeError, "hyperparameter 'l2' has a distribution with the median 'much', but"),
        ({"l2": [U, U]}, TypeError, "hyperparameter 'l2' has the value Uniform.*, a distribution: give it alone"),
        (
            {"a": search.when("b", 1, U, otherwise=0), "c": 1},
            ValueError,
            "hyperparameter 'a' depends on 'b', which is not in the space: it has a, c",
        ),
        (
            {"a": search.when("b", ["sgd", "sdg"], U, otherwise=0), "b": ["adam", "sgd"]},
            ValueError,
            "hyperparameter 'a' is drawn where 'b' is 'sdg', but 'b' is one of 'adam', 'sgd'",
        ),
        (
            {"a": search.when("b", 0.5, U, otherwise=0), "b": U},
            ValueError,
            "hyperparameter 'a' is drawn where 'b' is 0.5, but 'b' comes from a range: give it a choice",
        ),
        (
            {"a": search.when("b", 0, U, otherwise=0), "b": search.when("a", 0, U, otherwise=0)},
            ValueError,
            "hyperparameters depend on each other, 'a' on 'b' on 'a': draw one of them without a when",
        ),
        (
            {"a": search.when("a", 0, U, otherwise=0)},
            ValueError,
            "hyperparameters depend on each other, 'a' on 'a': draw one of them without a when",
        ),
        (
            {"a": search.when("b", 1, U, otherwise="none"), "b": [1, 2]},
            TypeError,
            r"hyperparameter 'a' mixes numbers with other values: 'none', 0.5",
        ),
    ],
)
def test_a_random_space_that_makes_no_sense_is_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence) as found:
        jreg.random_space(**{"count": 4, "seed": 0, **arguments})
    assert "\n" not in str(found.value)


def test_a_space_without_axes_is_refused():
    with pytest.raises(ValueError, match="the space is empty: give at least one hyperparameter, random_space"):
        jreg.random_space(4, 0)


def test_there_is_no_hidden_seed():
    with pytest.raises(TypeError, match="seed"):
        jreg.random_space(4, l2=[0.1])


# studies


def recipe(hp):
    rate = hp["learning_rate"]
    momentum = hp["momentum"]
    optimizer = optax.sgd(rate, momentum) if hp["optimizer"] == "sgd" else optax.rmsprop(rate, momentum=momentum)
    return jreg.Recipe(
        nn.MLP((hp["width"], 3)),
        losses.softmax_cross_entropy,
        optimizer,
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
        preprocess=jreg.data.standardize(),
    )


def space_of(count):
    return jreg.random_space(
        count,
        seed=0,
        method="sobol",
        optimizer=["sgd", "rmsprop"],
        learning_rate=search.log_uniform(1e-3, 1e-1),
        momentum=search.when("optimizer", "sgd", search.uniform(0.5, 0.9), otherwise=0.0),
        l2=search.log_uniform(1e-4, 1e-1),
        width=8,
    )


@pytest.fixture(scope="module")
def study():
    return jreg.cross_validate(recipe, jreg.load_dataset("wine"), space_of(7), cv=3, epochs=6, progress=False)


@pytest.mark.slow
def test_a_study_of_a_random_space_is_that_of_its_settings_alone(study):
    assert np.isfinite(study.scores).all()
    assert study.scores.shape == (7, 3, 1)
    assert len(study.spec.space.groups()) == 2
    for number in (0, 3):
        setting = study.spec.space.settings[number]
        alone = jreg.cross_validate(
            recipe, study.data, jreg.grid(**setting), cv=3, epochs=6, progress=False, layout=study.layout
        )
        np.testing.assert_array_equal(alone.scores[0], study.scores[number])
    assert study.best.mean > 0.8


def test_a_random_study_is_shown_and_written(study, tmp_path):
    # A line of heading, two above the settings, and the baseline below them.
    assert len(study.table(width=120).splitlines()) == 1 + 2 + 7 + 1
    study.save(tmp_path)
    report.save_pictures(study.results, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert [setting["hyperparameters"] for setting in found["settings"]] == list(study.spec.space.settings)
    assert (tmp_path / "scores.png").stat().st_size > 10_000


RECIPE = """
import optax
import jreg
from jreg import losses, nn, on_params, penalties, search

space = jreg.random_space({arguments})
def recipe(hp):
    return jreg.Recipe(
        nn.MLP((hp["width"], 3)),
        losses.softmax_cross_entropy,
        optax.adam(1e-2),
        penalty=hp["l2"] * on_params(penalties.l2),
    )
"""


def sweep(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(RECIPE.format(arguments=arguments))
    return subprocess.run(
        [sys.executable, "-m", "jreg", "sweep", "mine.py", "--data", "wine", "--epochs", "2", "--folds", "2", "--json"],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.slow
def test_the_command_line_sweeps_a_random_space(tmp_path):
    done = sweep(tmp_path, "5, seed=3, method='halton', l2=search.log_uniform(1e-4, 1e-1), width=[4, 8]")
    assert done.returncode == 0, done.stderr
    expected = jreg.random_space(5, 3, method="halton", l2=search.log_uniform(1e-4, 1e-1), width=[4, 8])
    found = [setting["hyperparameters"] for setting in json.loads(done.stdout)["settings"]]
    assert found == list(expected.settings)
    assert (tmp_path / "runs" / "wine" / "scores.png").exists()


def test_importing_jreg_leaves_scipy_stats_alone():
    code = "import jreg, sys; jreg.random_space(3, 0, l2=[0.1, 0.2]); assert 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, env=os.environ | {"JAX_PLATFORMS": "cpu"})
