"""Spaces: their order, and what of a setting is traced."""

import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid

import jreg
from jreg.recipe import extremes
from jreg.search.space import as_space


def test_a_grid_is_the_product_with_the_last_axis_fastest():
    space = jreg.grid(l2=[0.1, 0.2], width=[8, 16, 32])
    assert [(s["l2"], s["width"]) for s in space.settings] == [
        (0.1, 8), (0.1, 16), (0.1, 32), (0.2, 8), (0.2, 16), (0.2, 32),
    ]  # fmt: skip
    assert space.axes == {"l2": (0.1, 0.2), "width": (8, 16, 32)}


def test_a_grid_is_that_of_scikit_learn():
    # scikit-learn sorts the names.
    axes = {"a": [0.5, 0.1], "b": ["relu", "tanh"], "c": [3, 1, 2]}
    assert list(jreg.grid(**axes).settings) == list(ParameterGrid(axes))


@pytest.mark.parametrize(
    ("axis", "traced"),
    [
        ([0.1, 0.2], True),
        ([0, 0.5], True),
        ([0.0], True),
        (0.3, True),
        (np.logspace(-3, -1, 3), True),
        (np.float32([0.5, 1.0]), True),
        ([1.0, float("inf")], True),
        ([64, 128], False),
        (np.arange(2), False),
        ([True, False], False),
        ("relu", False),
        (["relu", "tanh"], False),
        ([(16, 16), (32,)], False),
        ([None, "batch"], False),
    ],
)
def test_an_axis_with_a_floating_number_is_traced(axis, traced):
    assert jreg.grid(h=axis).traced == (("h",) if traced else ())


def test_numbers_of_a_traced_axis_are_all_floats():
    assert [type(value) for value in jreg.grid(l2=[0, 0.5, np.float32(1), np.int64(2)]).axes["l2"]] == [float] * 4


def test_numpy_values_become_plain_ones():
    space = jreg.grid(l2=np.logspace(-3, -1, 3), width=np.array([8, 16]), bias=np.array([True]))
    assert space.axes == {"l2": (1e-3, 1e-2, 1e-1), "width": (8, 16), "bias": (True,)}
    assert {type(v) for axis in space.axes.values() for v in axis} == {float, int, bool}


def test_a_single_value_is_an_axis_of_one():
    assert jreg.grid(l2=0.1, activation="relu", width=8).settings == ({"l2": 0.1, "activation": "relu", "width": 8},)


def test_a_generator_is_read_once():
    assert jreg.grid(l2=(10.0**-n for n in range(2))).axes["l2"] == (1.0, 0.1)


def test_as_static_changes_only_what_is_traced():
    space = jreg.grid(l2=[0.1, 0.2], rate=[0.5])
    fixed = space.as_static("rate")
    assert fixed.traced == ("l2",)
    assert (fixed.settings, fixed.axes) == (space.settings, space.axes)
    assert space.as_static("l2", "rate").traced == ()
    with pytest.raises(KeyError, match="the space has no hyperparameter 'dropout': it has l2, rate"):
        space.as_static("dropout")


def test_a_traced_space_is_one_group():
    assert jreg.grid(l2=[0.1, 0.2], rate=[0.0, 0.5]).groups() == {(): [0, 1, 2, 3]}


def test_settings_are_grouped_by_their_static_part():
    space = jreg.grid(width=[8, 16], l2=[0.1, 0.2], activation=["relu", "tanh"])
    groups = space.groups()
    assert list(groups) == [
        (("width", width), ("activation", activation)) for width in (8, 16) for activation in ("relu", "tanh")
    ]
    assert sorted(number for group in groups.values() for number in group) == list(range(8))
    for static, group in groups.items():
        assert all(space.settings[number][name] == value for number in group for name, value in static)


def test_settings_listed_one_by_one_keep_their_order():
    listed = [{"l2": 0.1, "width": 8}, {"width": 16, "l2": 0}, {"l2": 0.1, "width": 16}]
    space = as_space(listed)
    assert space.settings == ({"l2": 0.1, "width": 8}, {"l2": 0.0, "width": 16}, {"l2": 0.1, "width": 16})
    assert space.axes == {"l2": (0.1, 0.0), "width": (8, 16)}
    assert space.traced == ("l2",)


def test_scikit_learns_grid_is_a_list_of_settings():
    axes = {"l2": [0.1, 0.2], "width": [8, 16]}
    assert as_space(ParameterGrid(axes)).settings == jreg.grid(**axes).settings


def test_a_space_is_a_space_already():
    space = jreg.grid(l2=[0.1])
    assert as_space(space) is space


@pytest.mark.parametrize(
    ("axes", "error", "sentence"),
    [
        ({}, ValueError, "the space is empty: give at least one hyperparameter"),
        ({"l2": []}, ValueError, "the space is empty: hyperparameter 'l2' has no values"),
        ({"l2": np.array([])}, ValueError, "the space is empty: hyperparameter 'l2' has no values"),
        ({"l2": [0.1, float("nan")]}, ValueError, "hyperparameter 'l2' has the value NaN"),
        ({"l2": np.nan}, ValueError, "hyperparameter 'l2' has the value NaN"),
        ({"widths": [[8, 8]]}, TypeError, r"'widths' has the value \[8, 8\], which is not hashable"),
        ({"l2": [0.1, None]}, TypeError, "'l2' mixes numbers with other values: 0.1, None"),
        ({"l2": [0.1, "strong"]}, TypeError, "'l2' mixes numbers with other values"),
        ({"l2": [0.5, True]}, TypeError, "'l2' mixes numbers with other values"),
        (
            {"l2": jreg.search.uniform(0.0, 1.0)},
            TypeError,
            r"'l2' has the value Uniform\(low=0.0, high=1.0\), a distribution: give it alone, to jreg.random_space",
        ),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(axes, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.grid(**axes)


@pytest.mark.parametrize(
    ("space", "error", "sentence"),
    [
        ([], ValueError, "the space is empty: give at least one setting"),
        ([{}], ValueError, "the space is empty"),
        ([{"l2": 0.1}, {"l1": 0.1}], ValueError, r"the setting {'l1': 0.1} has other hyperparameters than the first"),
        ([{"l2": 0.1}, {"l2": 0.1, "l1": 0.1}], ValueError, "has other hyperparameters than the first"),
        ([{"l2": 0.1}, {"l2": float("nan")}], ValueError, "hyperparameter 'l2' has the value NaN"),
        ([{"l2": 0.1}, {"l2": "a"}], TypeError, "mixes numbers with other values"),
        (
            {"l2": [0.1]},
            TypeError,
            "the space is a dict, but must come from jreg.grid or jreg.random_space, or be a list",
        ),
        (None, TypeError, "the space is a NoneType, but must"),
        (3, TypeError, "the space is a int, but must"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(space, error, sentence):
    with pytest.raises(error, match=sentence):
        as_space(space)


def test_a_setting_is_checked_at_the_ends_of_its_own_group():
    settings = [{"kind": "a", "s": 0.0}, {"kind": "a", "s": 1.0}, {"kind": "b", "s": 2.0}, {"kind": "b", "s": 3.0}]
    space = as_space(settings)
    found = [extremes(space, [space.settings[n] for n in group]) for group in space.groups().values()]
    assert found == [settings[:2], settings[2:]]
