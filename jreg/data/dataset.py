"""A data set in memory, checked once when it is made."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import jax
import numpy as np

from jreg._base.types import PyTree
from jreg.data._columns import some
from jreg.data._frames import is_frame
from jreg.data.arrays import convert, example, is_tree, parts, row_groups, row_weights, shown, structure
from jreg.data.encoding import Encoder
from jreg.data.targets import as_task, check_task, check_word, coded, seen_task, target


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples and targets, with a test set that no study looks at before the end.

    `x` and `y` are each one array, or several: a dict, tuple or NamedTuple of arrays with the same number of rows. A
    list is one array, whose items are rows. ``len(data)`` is the number of rows.

    Args:
      x: ``(n, ...)`` examples, two axes or more; where there are several arrays, one or more each. Dtypes are kept, so
        that tokens stay integers and images uint8; 64 bits become 32 as in JAX.
      y: ``(n,)`` targets; integers are class labels 0 to K - 1, floating ones are numbers to predict. Texts, or -1 and
        1, are labels too: they are coded, those of the test set alike, and the encoder keeps them. Or ``(n, k)``:
        integers 0 and 1 say which of k labels an example has (labels of one class each are given as ``(n,)`` instead,
        ``y.argmax(-1)``), floating ones are k numbers to predict. Or of any other shape, or several arrays, with the
        task given. They become int32 and float32.
      x_test, y_test: the held-out test set in the same form, or None.
      name: what tables and folders call it.
      missing: whether NaN in the examples is an error, ``"reject"``, or a missing value, ``"keep"``, that the recipe
        then has to `impute`.
      labels: the classes' names, or those of the k labels, where there are any.
      features: the features' names, where examples are rows of features that have any.
      task: ``"classification"`` (integers of any shape, such as the next tokens ``(n, length)``), ``"multilabel"`` or
        ``"regression"``; default: what `y` shows. It must be given for integers of another shape than above and for
        several arrays, and decides where it is given: whole floating numbers become labels, integers numbers to
        predict. Afterwards the attribute always says which one it is, and ``dataclasses.replace`` keeps it.
      weights: ``(n,)`` finite numbers of at least 0, not all 0: how much each row counts in the loss, the metrics and
        the statistics of preprocessing; default: 1 for all rows.
      groups: ``(n,)`` numbers or texts: which rows belong together, such as those of one patient, so that a
        number of folds leaves none in two; default: no groups.
      encoder: the `Encoder` of the table that the examples and the labels come from, or of the data frame that is `x`,
        where there is one; with features of other names it keeps the labels alone. Whoever replaces `x` by other
        numbers of the same features gives ``encoder=None``, as it makes the old ones.
      weights_test, groups_test: those of the test rows. Test scores are weighted by the first; rows that are weighted
        or belong to groups have no binomial interval.

    Raises:
      ValueError: the arrays' shapes don't fit, a value is NaN, infinite or too large, float32 rounds a column of
        examples by more than a hundredth of its standard deviation or one of targets by more than a tenth (as it does
        times in seconds since 1970), a label is out of range, the targets don't show the task, or there are more or
        fewer names than what they name.
      TypeError: an array doesn't hold real numbers, or labels are texts in one part alone.

    >>> data = Dataset(x=[[0.0], [1.0]], y=[0, 1], name="two points")
    >>> data.x.dtype, data.task, data.classes
    (dtype('float32'), 'classification', 2)
    >>> Dataset({"tokens": [[5, 2, 8], [1, 1, 0]], "age": [30.0, 41.0]}, [0.5, 1.5], weights=[1, 3], name="texts")
    Dataset(texts: 2 rows of age () float32, tokens (3,) int32, regression, weighted, no test set)
    """

    x: PyTree
    y: PyTree
    x_test: PyTree | None = None
    y_test: PyTree | None = None
    name: str = "data"
    missing: str = "reject"
    labels: Sequence[str] = ()
    features: Sequence[str] = ()
    # None until it is seen; afterwards always a str.
    task: Any = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    encoder: Encoder | None = None
    weights_test: np.ndarray | None = None
    groups_test: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.missing not in ("reject", "keep"):
            raise ValueError(f"{self.name}'s missing is {self.missing!r}, but must be 'reject' or 'keep'")
        check_word(self.task, self.name)
        for field in ("labels", "features"):
            if isinstance(getattr(self, field), str | Mapping | Set):
                kind = type(getattr(self, field)).__name__
                raise TypeError(f"{self.name}'s {field} are a {kind}, but must be a list of names in order")
            self._set(field, tuple(map(str, getattr(self, field))))
        names = self._frame_names()
        self._code()
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError(f"{self.name} has one of x_test and y_test, but needs both or neither")
        self._convert("")
        if self.x_test is not None:
            self._convert("_test")
            self._check_test()
        if self.task is None:
            self._set("task", seen_task(self.y, f"{self.name}'s y"))
        check_task(self.y, self.task, f"{self.name}'s y")
        if self.y_test is not None:
            check_task(self.y_test, self.task, f"{self.name}'s y_test")
            self._check_test_labels()
        self._check_names()
        if names and names == self.features and not (self.encoder and self.encoder.columns):
            task, labels = self.task, self.encoder.labels if self.encoder else ()
            kinds = (None,) * len(names)
            self._set("encoder", Encoder(names, kinds, task=task, labels=labels, missing=self.missing))
        self._check_rows()

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _frame_names(self) -> tuple[str, ...]:
        """The names of a data frame's columns, which must be the same for the test set; () of arrays."""
        frames: list[Any] = [part for part in (self.x, self.x_test) if is_frame(part)]
        if not is_frame(self.x):
            return ()
        names, test = (tuple(map(str, frame.columns)) for frame in (frames[0], frames[-1]))
        if test != names:
            raise ValueError(
                f"{self.name}'s x has the columns {some(names)}, but its x_test {some(test)}: give both the same in "
                "the same order"
            )
        if not self.features:
            self._set("features", names)
        return names

    def _code(self) -> None:
        """Codes labels that aren't class numbers, and keeps an encoder only for what it still makes."""
        before = self.encoder
        y, y_test, encoder = coded(self.y, self.y_test, self.task, self.labels, before, self.name)
        if encoder is not None:
            if encoder.features != self.features:
                encoder = dataclasses.replace(encoder, columns=(), categories=(), offsets=())
            if not self.labels or (before is not None and before.task != encoder.task):
                numbered = encoder.labels == tuple(range(len(encoder.labels)))
                self._set("labels", () if numbered else tuple(map(str, encoder.labels)))
        for field, value in (("y", y), ("y_test", y_test), ("encoder", encoder)):
            self._set(field, value)

    def _convert(self, part: str) -> None:
        values = getattr(self, "x" + part)
        # Whether float32 tells rows apart is seen in all of them.
        whole = not part
        checked = functools.partial(example, missing=self.missing, axes=1 if is_tree(values) else 2, whole=whole)
        self._set("x" + part, convert(checked, values, f"{self.name}'s x{part}"))
        y = convert(functools.partial(target, whole=whole), getattr(self, "y" + part), f"{self.name}'s y{part}")
        self._set("y" + part, as_task(y, self.task, f"{self.name}'s y{part}"))
        found = [pair for field in ("x" + part, "y" + part) for pair in parts(getattr(self, field), field)]
        for field, array in found[1:]:
            if len(array) != len(found[0][1]):
                raise ValueError(
                    f"{self.name} has {len(found[0][1])} rows in {found[0][0]} but {len(array)} in {field}"
                )

    def _check_test(self) -> None:
        for field in ("x", "y"):
            own, test = getattr(self, field), getattr(self, field + "_test")
            if jax.tree.structure(own) != jax.tree.structure(test):
                raise ValueError(
                    f"{self.name}'s {field} has {structure(own)}, but its {field}_test "
                    f"{structure(test)}: both need the same"
                )
        for (field, own), (_, test) in zip(parts(self.x, "x"), parts(self.x_test, "x_test"), strict=True):
            place = "" if field == "x" else f" in {field}"
            if test.shape[1:] != own.shape[1:]:
                raise ValueError(
                    f"{self.name}'s test examples have shape {test.shape[1:]}{place}, the others {own.shape[1:]}: "
                    "what changes x has to change x_test too, as in dataclasses.replace(data, x=..., x_test=...)"
                )
            if test.dtype != own.dtype:
                raise ValueError(f"{self.name}'s test examples are {test.dtype}{place}, the others {own.dtype}")
        for (field, own), (test_field, test) in zip(parts(self.y, "y"), parts(self.y_test, "y_test"), strict=True):
            if test.dtype != own.dtype:
                raise ValueError(f"{self.name}'s {field} is {own.dtype}, but its {test_field} is {test.dtype}")
            if test.shape[1:] != own.shape[1:]:
                raise ValueError(
                    f"{self.name}'s {field} has shape {own.shape}, but its {test_field} {test.shape}: one row per "
                    "example each, and as many columns"
                )

    def _check_test_labels(self) -> None:
        test = self.y_test
        if self.task != "classification" or is_tree(test) or test is None or test.size == 0:
            return
        if test.max() >= self.classes:
            raise ValueError(
                f"{self.name}'s y_test has label {test.max()}, out of range: y has labels 0 to {self.classes - 1}"
            )

    def _check_names(self) -> None:
        if self.labels and not is_tree(self.y):
            # A class may lack examples, but not a name.
            few = len(self.labels) < self.classes
            wrong = few if self.task == "classification" else len(self.labels) != self.classes
            if wrong or self.task == "regression":
                raise ValueError(f"{self.name} has names of {len(self.labels)} labels, but targets with {self.classes}")
        if self.features and not is_tree(self.x) and (len(self.features),) != self.x.shape[1:]:
            raise ValueError(
                f"{self.name} has names of {len(self.features)} features, but examples of shape {self.x.shape[1:]}: "
                "give other names, or features=() for none"
            )

    def _check_rows(self) -> None:
        """Weights and groups, one for each row of their part."""
        for part, y in (("", self.y), ("_test", self.y_test)):
            for field, checked in ((f"weights{part}", row_weights), (f"groups{part}", row_groups)):
                values, name = getattr(self, field), f"{self.name}'s {field}"
                if values is not None and y is None:
                    raise ValueError(f"{name} are given, but there is no test set that they belong to")
                if values is not None:
                    self._set(field, checked(values, len(jax.tree.leaves(y)[0]), name))
        if self.groups is not None and self.groups_test is not None:
            kinds = [
                "numbers" if groups.dtype.kind in "biuf" else "texts" for groups in (self.groups, self.groups_test)
            ]
            if kinds[0] != kinds[1]:
                raise TypeError(f"{self.name}'s groups are {kinds[0]}, but its groups_test {kinds[1]}: give both alike")

    @property
    def classes(self) -> int:
        """How many classes or labels there are, for regression numbers to predict; 0 where `y` is a tree."""
        if is_tree(self.y):
            return 0
        if self.task == "classification":
            return max(int(self.y.max()) + 1, len(self.labels))
        return self.y.shape[-1] if self.task == "multilabel" else math.prod(self.y.shape[1:])

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.y)[0])

    def __repr__(self) -> str:
        texts = [f"{self.name}: {len(self)} rows of {shown(self.x)}", self.task]
        if self.weights is not None:
            texts.append("weighted")
        if self.groups is not None:
            texts.append(f"{len(np.unique(self.groups))} groups")
        if self.y_test is None:
            return f"Dataset({', '.join(texts)}, no test set)"
        weighted = "" if self.weights_test is None else "weighted "
        groups = "" if self.groups_test is None else f" in {len(np.unique(self.groups_test))} groups"
        texts.append(f"{len(jax.tree.leaves(self.y_test)[0])} {weighted}test rows{groups}")
        return f"Dataset({', '.join(texts)})"
