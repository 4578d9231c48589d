"""Nodes of an ONNX graph: activations and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg._base.described import Vocabulary

# Operators of this version, which every current runtime has; the file's own version came with it.
_OPSET, _IR = 20, 10
_PLAIN = Vocabulary({})
_SAME_NAMED = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "soft_sign": "Softsign",
    "selu": "Selu",
    "mish": "Mish",
    "hard_silu": "HardSwish",
    "hard_swish": "HardSwish",
    "identity": "Identity",
    "sin": "Sin",
    "cos": "Cos",
    "exp": "Exp",
    "abs": "Abs",
    "sign": "Sign",
    "arctan": "Atan",
}


class Graph:
    """Nodes and constants in the order in which they are computed.

    Args:
      hp: values that a description may name.
    """

    def __init__(self, hp: Mapping[str, Any]):
        self.hp = hp
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of its output."""
        import onnx

        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: Any) -> str:
        """An array of the model; its name."""
        import onnx

        array = np.array(values, None if np.asarray(values).dtype.kind in "iu" else np.float32)
        self.constants.append(onnx.numpy_helper.from_array(array, f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def number(self, described: Any) -> float:
        """A number that a description has."""
        return float(_PLAIN.rebuilt(described, self.hp))

    def activated(self, x: str, described: Any) -> str:
        """The activation of x; `described` as in model.json.

        Raises:
          ValueError: ONNX has no such function.
        """
        whole = {"function": described} if isinstance(described, str) else described
        name, options = whole["function"].split(".")[-1], dict(whole.get("options", {}))
        if whole.get("arguments"):
            raise ValueError(f"ONNX can't have the activation {name} with arguments that aren't named")
        if name == "gelu":
            return self.add("Gelu", x, approximate="tanh" if options.pop("approximate", True) else "none")
        if name == "maxout":
            parts = self.constant(np.array([0, -1, options["pieces"]]))
            return self.add("ReduceMax", self.add("Reshape", x, parts), self.constant(np.array([2])), keepdims=0)
        if name in ("leaky_relu", "elu", "celu"):
            given = {"leaky_relu": ("negative_slope", 0.01), "elu": ("alpha", 1.0), "celu": ("alpha", 1.0)}[name]
            operator = {"leaky_relu": "LeakyRelu", "elu": "Elu", "celu": "Celu"}[name]
            return self.add(operator, x, alpha=self.number(options.get(*given)))
        if name in _SAME_NAMED:
            return self.add(_SAME_NAMED[name], x)
        if name in ("silu", "swish"):
            return self.add("Mul", x, self.add("Sigmoid", x))
        if name == "square":
            return self.add("Mul", x, x)
        if name in ("relu6", "hard_tanh"):
            low, high = (0.0, 6.0) if name == "relu6" else (-1.0, 1.0)
            return self.add("Clip", x, self.constant(low), self.constant(high))
        if name == "hard_sigmoid":
            return self.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        if name == "log_sigmoid":
            return self.add("Neg", self.add("Softplus", self.add("Neg", x)))
        if name in ("softmax", "log_softmax"):
            return self.add("Softmax" if name == "softmax" else "LogSoftmax", x, axis=-1)
        raise ValueError(f"ONNX has no activation {name}")

    def preprocessed(self, x: str, dtype: np.dtype, described: Any, statistics: Any) -> str:
        """What the network is given of examples of a dtype.

        Raises:
          ValueError: ONNX can't have this preprocessing.
        """
        if described is None:
            return self._float(x, dtype)
        name, arguments = described["name"], described.get("arguments", {})
        if name == "chain":
            for part, own in zip(described["parts"], statistics, strict=True):
                x, dtype = self.preprocessed(x, dtype, part, own), np.dtype(np.float32)
            return x
        if name == "standardize":
            mean, deviation, offset = statistics
            x = self.add("Sub", self._shifted(x, dtype, offset), self.constant(mean))
            return self.add("Div", x, self.constant(deviation))
        if name == "min_max":
            least, width, offset = statistics
            low, high = (np.float32(self.number(arguments[end])) for end in ("low", "high"))
            x = self.add("Sub", self._shifted(x, dtype, offset), self.constant(least))
            x = self.add("Mul", self.add("Div", x, self.constant(width)), self.constant(high - low))
            return self.add("Add", x, self.constant(low))
        if name == "scale":
            return self.add("Div", self._float(x, dtype), self.constant(self.number(arguments["divisor"])))
        if name == "impute":
            x = self._float(x, dtype)
            return self.add("Where", self.add("IsNaN", x), self.constant(statistics), x)
        raise ValueError(f"ONNX can't have the preprocessing {name}: it has standardize, min_max, scale and impute")

    def restored(self, y: str, described: Any, statistics: Any) -> str:
        """Outputs ``(n, k)`` in the units of the targets, which were preprocessed."""
        name, arguments = described["name"], described.get("arguments", {})
        if name == "chain":
            for part, own in zip(reversed(described["parts"]), reversed(statistics), strict=True):
                y = self.restored(y, part, own)
            return y
        if name == "scale":
            return self.add("Mul", y, self.constant(self.number(arguments["divisor"])))
        if name not in ("standardize", "min_max"):
            raise ValueError(
                f"ONNX can't undo the targets' preprocessing {name}: it has standardize, min_max and scale"
            )
        first, factor, offset = statistics
        if name == "min_max":
            low, high = (np.float32(self.number(arguments[end])) for end in ("low", "high"))
            y = self.add("Div", self.add("Sub", y, self.constant(low)), self.constant(high - low))
        y = self.add("Mul", y, self.constant(np.reshape(factor, (1, -1))))
        y = self.add("Add", y, self.constant(np.reshape(first, (1, -1))))
        if offset is None:
            return y
        return self.add("Add", y, self.constant(np.reshape(offset, (1, -1)).astype(np.float32)))

    def _float(self, x: str, dtype: np.dtype) -> str:
        return x if dtype == np.float32 else self.add("Cast", x, to=1)

    def _shifted(self, x: str, dtype: np.dtype, offset: Any) -> str:
        if offset is None:
            return self._float(x, dtype)
        if dtype.kind == "f":
            return self.add("Sub", self._float(x, dtype), self.constant(np.asarray(offset, np.float32)))
        if dtype.kind != "i":
            raise ValueError(f"ONNX can't have the preprocessing of examples of {dtype}: train on floating ones")
        return self.add("Cast", self.add("Sub", x, self.constant(np.asarray(offset, dtype))), to=1)

    def model(
        self, y: str, given: int, x_shape: Sequence[Any], y_shape: Sequence[Any], about: Mapping[str, str]
    ) -> bytes:
        """The whole model from ``x`` to ``outputs``, checked by ONNX.

        Args:
          y: the name of what becomes the outputs.
          given: ONNX's number of the examples' dtype.
          x_shape, y_shape: with a text for what is open.
          about: texts that the model has beside it.
        """
        import onnx

        self.nodes.append(onnx.helper.make_node("Identity", [y], ["outputs"], name="outputs"))
        inputs = [onnx.helper.make_tensor_value_info("x", given, list(x_shape))]
        outputs = [onnx.helper.make_tensor_value_info("outputs", 1, list(y_shape))]
        graph = onnx.helper.make_graph(self.nodes, "jreg", inputs, outputs, self.constants)
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OPSET)], ir_version=_IR)
        made.producer_name = "jreg"
        onnx.helper.set_model_props(made, dict(about))
        onnx.checker.check_model(made, full_check=True)
        return made.SerializeToString()
