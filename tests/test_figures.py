"""Pictures of scores and of learning curves, drawn from numbers without a training."""

import math

import numpy as np
import pytest

import jreg
from jreg import search
from jreg.report import figures, learning, ranked
from jreg.report.canvas import COLOURS, DASHES, MARKERS, Scored, plain
from jreg.report.lines import MOST_LINES
from jreg.report.scales import scale_of
from jreg.training import Column

INF = math.inf
GRIDS = {
    "lines": jreg.grid(l2=[0.0, 1e-4, 1e-3], dropout=[0.0, 0.5]),
    "heatmap": jreg.grid(l2=[0.0, 1e-4, 1e-3], max_norm=[1.0, 3.0, INF]),
    "dots": jreg.grid(activation=["relu", "tanh", "gelu"], width=[16, 32, 64, 128], depth=[1, 2, 3]),
    "points": jreg.random_space(
        12, 0, l2=search.log_uniform(1e-4, 1e-1), dropout=search.uniform(0.0, 0.9), width=[8, 16]
    ),
}


def scored(space: jreg.Space, means=None, simple: int = 2, lost=(), **changes) -> Scored:
    """The last setting is the best one and the first the worst, unless there are means."""
    count = len(space.settings)
    means = np.linspace(0.5, 0.9, count) if means is None else np.array(means)
    means[list(lost)] = np.nan
    order = sorted(range(count), key=lambda number: (np.isnan(means[number]), -means[number]))
    worst = [number for number in order if np.isfinite(means[number])][-1]
    marks = {"best": order[0], "one-standard-error rule": simple, "worst": worst}
    found = Scored(space, means, np.full(count, 0.01), order, marks, "val_accuracy", True, "5 folds", "digits")
    return found._replace(**changes)


def legend_of(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def marked(axes) -> dict[str, tuple[float, float]]:
    lines = (line for line in axes.lines if line.get_label() in ("best", "one-standard-error rule", "worst"))
    return {line.get_label(): tuple(float(data[0]) for data in line.get_data()) for line in lines}


@pytest.mark.parametrize(
    ("space", "kind", "along"),
    [
        *((space, kind, None) for kind, space in GRIDS.items()),
        (jreg.grid(l2=[0.1, 0.2], dropout=[0.0, 0.2, 0.5]), "lines", ("dropout",)),
        (jreg.grid(l2=[0.1, 0.2, 0.3], a=[0.0, 0.5, 0.9], b=[1.0, 2.0]), "lines", ("l2",)),
        (jreg.grid(width=[16, 32]), "lines", ("width",)),
        (jreg.grid(bias=[True, False]), "dots", ()),
        (jreg.grid(l2=[0.1]), "dots", ()),
        (jreg.grid(l2=[0.1, 0.2], layers=range(9)), "dots", ()),
        (jreg.grid(l2=[0.1, 0.2], layers=range(8)), "lines", ("l2",)),
        (jreg.random_space(9, 0, dropout=search.uniform(0.01, 0.9)), "lines", ("dropout",)),
    ],
)
def test_which_picture_a_space_gets(space, kind, along):
    found = figures.kind_of(space)
    assert found[0] == kind
    assert along in (None, found[1])


@pytest.mark.parametrize("kind", GRIDS)
def test_nothing_hides_or_leaves_the_picture_and_the_axes_say_what_they_are(kind):
    figure = figures.scores(scored(GRIDS[kind], lost=[1], title="d" * 90, score="val_" + "s" * 60))
    figure.canvas.draw()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    inside = figure.get_tightbbox()
    assert min(inside.min) > -0.02
    assert (np.array(inside.max) < figure.get_size_inches() + 0.02).all()
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    if kind != "heatmap":
        assert {"best", "one-standard-error rule", "worst"} <= set(legend_of(figure))


def test_the_title_says_which_setting_is_best_and_how_sure_that_is():
    lines = figures.scores(scored(GRIDS["lines"], lost=[1])).get_suptitle().split("\n")
    assert lines[0] == "digits: l2=0.001 dropout=0.5 is best, 0.9000 ± 0.01"
    assert lines[1] == "6 settings, 1 without a score; mean and standard error over 5 folds"
    assert figures.scores(scored(jreg.grid(l2=[0.1]), simple=0)).get_suptitle().startswith("digits: 1 setting\n")


def test_a_zero_and_an_infinity_have_places_on_a_logarithmic_axis():
    figure = figures.scores(scored(jreg.grid(l2=[1e-2, 0.0, 1e-4, 1e-3, INF])))
    (axes,) = figure.axes
    at = scale_of(jreg.grid(l2=[0.0, 1e-4, 1e-3, 1e-2, INF]), "l2").at
    shown = axes.transData.transform([(at[value], 0.5) for value in (0.0, 1e-4, 1e-3, 1e-2, INF)])[:, 0]
    gaps = np.diff(shown)
    assert (gaps > 20).all()
    # Decades are equally long.
    assert gaps[1] == pytest.approx(gaps[2], rel=1e-6)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.0001", "0.001", "0.01", "∞"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, 0.2, 0.5], "linear"), ([1.0, 10.0], "linear"), ([1e-3, 1.0], "log"), ([0.0, 1e-3, 1.0], "symlog"),
        ([0.0, 1e-3, 1e-2], "symlog"),
        ([-1.0, 100.0], "linear"), ([0.0, INF], "linear"), ([INF], "linear"), ([-INF, 1.0, 2.0], "linear"),
    ],
)  # fmt: skip
def test_scales(values, kind):
    scale = scale_of(jreg.grid(l2=values), "l2")
    assert scale.kind == kind
    places = [scale.at[value] for value in sorted(values)]
    assert np.isfinite(places).all()
    assert (np.diff(places) > 0).all()


def test_the_space_says_which_axes_are_logarithmic():
    space = jreg.random_space(9, 0, a=search.uniform(0.001, 1.0), b=search.log_uniform(1.0, 2.0))
    assert [scale_of(space, name).kind for name in "ab"] == ["linear", "log"]


def test_of_many_lines_those_that_are_marked_are_always_drawn():
    space = jreg.grid(l2=[1e-4, 1e-3, 1e-2], dropout=[0.0, 0.1, 0.2, 0.3, 0.4], norm=[1.0, 3.0])
    means = np.linspace(0.9, 0.5, 30).reshape(10, 3)  # one row a dropout and a norm
    means = np.moveaxis(means.reshape(5, 2, 3), 2, 0).ravel()
    simple, worst = space.settings.index({"l2": 1e-3, "dropout": 0.4, "norm": 1.0}), int(np.argmin(means))
    figure = figures.lines(scored(space, means, simple), "l2")
    (axes,) = figure.axes
    labels = legend_of(figure)
    assert "2 more combinations" in labels
    named = [label for label in labels if "dropout" in label]
    assert len(named) == MOST_LINES == 8
    for number in (simple, worst, 0):
        setting = space.settings[number]
        assert f"dropout={setting['dropout']:.4g} norm={setting['norm']:.4g}" in named
    assert {name: y for name, (_, y) in marked(axes).items()} == {
        "best": means.max(), "one-standard-error rule": means[simple], "worst": means.min()
    }  # fmt: skip
    # The others are there without colours.
    grey = [line for line in axes.lines if line.get_marker() == "."]
    assert len(grey) == 2


def test_lines_differ_in_colours_and_in_markers_and_in_dashes():
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(DASHES)) == MOST_LINES
    # Okabe and Ito, Color universal design (2008).
    assert {*COLOURS} == {
        "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["$l$2", "a$b", "_l2", "l_2^x", "two\nlines", "λ", "正則化", "x" * 200, "\\frac{$$}", "%"]
)
def test_names_are_shown_as_they_are(name):
    from matplotlib.cbook import is_math_text

    shown = plain(name)
    assert not is_math_text(shown)
    assert "\n" not in shown
    assert len(shown) <= 80
    assert not shown.startswith("_")
    value = name if len(name) < 20 else "x"
    figure = figures.scores(scored(jreg.grid(**{name: [0.0, 0.5, 1.0], "_other$": [value, "b"]}), title=name))
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_xlabel() == shown
    assert next(label for label in legend_of(figure) if "_other" in label).startswith(" _other\\$=")


def test_a_ranked_list_leaves_nothing_out_that_is_marked():
    space = jreg.grid(activation=["relu", "tanh", "gelu"], seed=range(50))
    means = np.random.default_rng(0).permutation(150) / 150
    simple = int(np.argsort(-means)[100])
    found = scored(space, means, simple)
    figure = figures.scores(found)
    (axes,) = figure.axes
    (bars,) = axes.containers
    x, rows = bars.lines[0].get_data()
    assert len(x) == 40
    assert (np.diff(x) < 0).all()
    assert (np.diff(rows) == 1).all()
    assert {name: place[0] for name, place in marked(axes).items()} == {
        "best": means.max(), "one-standard-error rule": means[simple], "worst": means.min()
    }  # fmt: skip
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [int(label.split()[-1]) for label in labels] == [*range(1, 39), 101, 150]
    assert "110 not shown" in figure.get_suptitle()


def test_the_cells_of_a_heatmap_are_the_means():
    space = GRIDS["heatmap"]
    found = scored(space, lost=[4])
    figure = figures.scores(found)
    axes = figure.axes[0]
    (image,) = axes.images
    columns, rows = [0.0, 1e-4, 1e-3], [1.0, 3.0, INF]
    shown = np.ma.filled(image.get_array(), np.nan)
    for number, setting in enumerate(space.settings):
        place = rows.index(setting["max_norm"]), columns.index(setting["l2"])
        np.testing.assert_equal(shown[place], found.means[number])
    written = {tuple(np.int64(text.get_position())): text.get_text() for text in axes.texts}
    assert written[2, 2] == "0.9000\n± 0.0100\nbest"
    assert written[0, 2].endswith("1-SE rule")
    assert written[1, 1] == "no score"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "3", "∞"]


def test_random_settings_are_points_of_each_hyperparameter():
    space = GRIDS["points"]
    figure = figures.scores(scored(space))
    assert [axes.get_xlabel() for axes in figure.axes] == ["l2", "dropout"]
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "linear"]
    assert {"width=8", "width=16"} <= set(legend_of(figure))
    for axes in figure.axes:
        name = axes.get_xlabel()
        drawn = np.concatenate([container.lines[0].get_xdata() for container in axes.containers])
        np.testing.assert_array_equal(np.sort(drawn), sorted(space.axes[name]))
        assert marked(axes)["best"] == (space.settings[-1][name], 0.9)


def test_what_is_off_in_some_settings_is_drawn_too():
    space = jreg.random_space(
        30,
        0,
        on=[True, False],
        l2=search.when("on", True, search.log_uniform(1e-4, 1e-1), otherwise=0.0),
        max_norm=search.when("on", True, search.uniform(1.0, 5.0), otherwise=INF),
    )
    l2, max_norm = figures.scores(scored(space)).axes
    places = [np.sort(np.concatenate([c.lines[0].get_xdata() for c in axes.containers])) for axes in (l2, max_norm)]
    assert l2.get_xscale() == "symlog"
    assert l2.get_xlim()[0] <= places[0][0] == 0
    assert max_norm.get_xlabel() == "max_norm (last place: infinity)"
    finite = sorted({setting["max_norm"] for setting in space.settings} - {INF})
    np.testing.assert_array_equal(sorted(set(places[1]))[:-1], finite)
    assert finite[-1] < places[1][-1] <= max_norm.get_xlim()[1]


def test_the_interval_of_paired_differences_is_students():
    from scipy import stats

    found = np.random.default_rng(0).normal(size=(3, 5))
    means, widths = ranked.paired_interval(found)
    for row, mean, width in zip(found, means, widths, strict=True):
        interval = stats.ttest_1samp(row, 0.0).confidence_interval(0.95)
        np.testing.assert_allclose((mean - width, mean + width), interval)


def test_one_fold_and_one_seed_have_no_intervals():
    space = GRIDS["lines"]
    found = scored(space, errors=np.full(6, np.nan), over="1 fold")
    figure = ranked.differences(found, found.means[:, None], "seed")
    figure.canvas.draw()
    assert "interval" not in figure.get_suptitle()
    assert "mean over 1 fold" in figures.scores(found).get_suptitle()


def test_curves_go_on_until_the_last_training_stops():
    values = np.array([[4.0, 2.0, 1.0, np.nan, np.nan], [2.0, 1.0, 0.5, 0.25, np.nan]])
    found = {"train_loss": values, "val_loss": values + 1}
    panel = learning.Panel("train_loss", Column("validation", "loss", "loss"))
    figure = learning.curves({"best: $l$2=1": found}, [panel], "digits")
    figure.canvas.draw()
    axes, count = figure.axes
    assert figure.get_suptitle() == "digits: learning curves"
    assert axes.get_title() == "best\n\\$l\\$2=1"
    assert axes.get_yscale() == "log"
    thick, thin = (
        next(line for line in axes.lines if line.get_label() == f"train_loss: {label}")
        for label in ("mean", "mean of the trainings that are left")
    )
    np.testing.assert_array_equal(thick.get_ydata(), [3.0, 1.5, 0.75, np.nan])
    np.testing.assert_array_equal(thin.get_data(), [[3, 4], [0.75, 0.25]])
    assert thin.get_linewidth() < thick.get_linewidth()
    (stairs,) = count.patches
    assert stairs.get_data().values.tolist() == [2, 2, 2, 1]


def test_curves_of_losses_that_are_negative_or_infinite_have_a_linear_axis():
    values = np.array([[1.0, -1.0, np.inf], [2.0, 1.0, np.nan]])
    panel = learning.Panel("train_loss", Column("validation", "loss", "loss"))
    figure = learning.curves({"best": {"train_loss": values, "val_loss": values}}, [panel], "digits")
    figure.canvas.draw()
    assert figure.axes[0].get_yscale() == "linear"
