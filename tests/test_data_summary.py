"""What is in a data set: numbers worked out by hand, and pictures of samples."""

import numpy as np
import pytest

import jreg
from jreg import report
from jreg.data import summarize
from jreg.data.summary import to_text

X = np.array([[1, np.nan], [3, 5], [2, np.nan]])


def test_classes_and_features_of_a_table_with_missing_values():
    data = jreg.Dataset(
        X, [1, 0, 1], X[:1] - 2, [0], "pets", missing="keep", labels=["cat", "dog", "eel"], features=["age", "size"]
    )
    assert summarize(data) == {
        "name": "pets",
        "task": "classification",
        "rows": 3,
        "test_rows": 1,
        "shape": [2],
        "dtype": "float32",
        "bytes": 32,
        "least": -1.0,
        "most": 5.0,
        "missing": 3,
        "missing_rows": 3,
        "targets": [
            {"target": "cat", "rows": 1, "test_rows": 1},
            {"target": "dog", "rows": 2, "test_rows": 0},
            {"target": "eel", "rows": 0, "test_rows": 0},
        ],
        "features": [
            {"feature": "age", "least": -1.0, "mean": 1.25, "most": 3.0, "missing": 1 - 1},
            {"feature": "size", "least": 5.0, "mean": 5.0, "most": 5.0, "missing": 3},
        ],
    }
    lines = to_text(summarize(data)).splitlines()
    assert lines[:4] == [
        "pets: classification",
        "rows       3, 1 for the test",
        "examples   (2,) float32, -1 to 5, 3.2e-05 MB",
        "missing    3 in 3 rows",
    ]
    assert lines[5:7] == ["target  rows  test rows", "cat        1          1"]


def test_numbers_to_predict_and_labels_of_one_example():
    numbers = summarize(jreg.Dataset(np.zeros((2, 1)), [[1.0, 5.0], [2.0, 9.0]]))
    assert numbers["targets"][1] == {"target": "1", "least": 5.0, "mean": 7.0, "most": 9.0}
    labels = summarize(jreg.Dataset(np.zeros((3, 1)), [[0, 1], [1, 1], [0, 0]], labels=["a", "b"]))
    assert labels["targets"] == [{"target": n, "rows": k, "test_rows": 0} for n, k in (("a", 1), ("b", 2))]


def test_images_have_no_table_of_features_and_long_tables_are_cut():
    assert summarize(jreg.Dataset(np.zeros((2, 3, 3), np.uint8), [0, 1]))["features"] == []
    assert to_text(summarize(jreg.Dataset(np.zeros((2, 50)), [0, 1]))).splitlines()[-1] == "and 10 more"


def pictures(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_a_row_of_samples_for_each_class():
    x = np.zeros((7, 2, 3), np.uint8)
    x[:, 0, 0] = np.arange(7) * 10
    data = jreg.Dataset(x, [2, 0, 2, 0, 0, 2, 0], labels=["cat", "dog", "eel"])
    figure = report.samples(data, columns=3)
    assert [figure.axes[n].get_ylabel() for n in (0, 3)] == ["cat", "eel"]
    np.testing.assert_allclose([p[0, 0] for p in pictures(figure)], np.array([1, 3, 4, 0, 2, 5]) / 5)


def test_flat_examples_and_rows_that_are_not_full():
    data = jreg.Dataset([[0.0, 1.0, np.nan, 3.0]], [0.5], missing="keep")
    figure = report.samples(data, (2, 2), columns=2)
    np.testing.assert_allclose(pictures(figure)[0], [[0, 1 / 3], [0.5, 1]], rtol=1e-6)
    np.testing.assert_array_equal(pictures(figure)[1], 0.5)


@pytest.mark.parametrize(
    ("x", "shape", "sentence"),
    [
        (np.zeros((2, 6)), None, r"examples have shape \(6,\), but a picture needs \(height, width\)"),
        (np.zeros((2, 6)), (2, 2), r"examples have shape \(6,\), which shape \(2, 2\) doesn't fit"),
        (np.zeros((2, 1, 4, 5)), None, r"examples have shape \(1, 4, 5\), but a picture needs .* 1, 3 or 4 channels"),
    ],
)
def test_what_is_no_image_is_refused(x, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        report.samples(jreg.Dataset(x, [0, 1]), shape)
