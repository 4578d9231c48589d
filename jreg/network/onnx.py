"""Networks of `jreg.nn` as ONNX, which many runtimes without Python read."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jreg._base.names import shown
from jreg.network.describing import described
from jreg.network.graph import Graph
from jreg.network.predictions import values_of
from jreg.recipe import build
from jreg.training import measure

if TYPE_CHECKING:
    from jreg.network.network import Network

# What they do in training is left out; at evaluation they change nothing.
_SILENT = ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SaltAndPepper", "UniformNoise")
_NETWORKS = {"jreg.nn.Linear", "jreg.nn.MLP", "jreg.nn.CNN"}


def to_onnx(network: Network) -> bytes:
    """A network as an ONNX model from examples ``x`` to ``outputs``, which are those of `Network.outputs`.

    Preprocessing is part of it; the number of rows is open. Task, link and names of the classes are in the model's
    metadata. It has operators of version 20, which came with ONNX 1.15.

    Args:
      network: of `jreg.nn.MLP`, `jreg.nn.CNN` or `jreg.nn.Linear`, with batch or layer normalization or none, an
        activation that ONNX has, and preprocessing by `standardize`, `min_max`, `scale`, `impute` or chains of them.

    Raises:
      ImportError: onnx isn't installed.
      ValueError: a part of the network is none of these.

    Source: the ONNX operators' specification.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError('an ONNX model needs the package onnx: pip install "jreg[onnx]"') from None

    if not hasattr(network.example, "dtype"):
        raise ValueError(f"ONNX takes networks of one array, but this one takes {shown(network.example)}")
    static, hp, trees = network.given()
    params, model_state, statistics = jax.tree.map(np.asarray, trees)
    made = build(network.recipe, {**dict(static), **hp})
    found = described(made, hp)
    model = found["model"]
    if model is None or model["class"] not in _NETWORKS:
        name = found["unnamed"].get("model", "") if model is None else f"it is {model['class']}"
        raise ValueError(f"ONNX has jreg.nn.MLP, jreg.nn.CNN and jreg.nn.Linear, but not this network: {name}")
    for part in ("preprocess", "targets"):
        if part in found["unnamed"]:
            raise ValueError(f"ONNX can't have the network's {part}: {found['unnamed'][part]}")

    graph = Graph(hp)
    x = graph.preprocessed("x", np.dtype(network.example.dtype), found["preprocess"], statistics[0])
    layers = _Layers(graph, params, model_state.get("batch_stats", {}), model["arguments"])
    kind = model["class"].removeprefix("jreg.nn.")
    if kind == "CNN":
        x = layers.convolutions(x, network.example.shape)
    y = layers.dense(graph.add("Flatten", x, axis=1), kind)
    if made.targets is not None and made.targets.invert is not None:
        y = graph.restored(y, found["targets"], statistics[1])

    rows = jax.ShapeDtypeStruct((2, *network.example.shape), network.example.dtype)

    def outputs(trees: Any, x: Any) -> Any:
        return values_of(measure.forward(made, *trees, x), trees[2][1], made.targets)

    shape = jax.eval_shape(outputs, trees, rows).shape
    about = {"task": network.task, "link": str(network.link), "classes": json.dumps(network.classes)}
    given = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(network.example.dtype))
    return graph.model(y, given, ("n", *network.example.shape), ("n", *shape[1:]), about)


class _Layers:
    """Nodes of the layers of one network, from its parameters by Linen's names."""

    def __init__(self, graph: Graph, params: Mapping[str, Any], stats: Mapping[str, Any], arguments: Mapping[str, Any]):
        self.graph, self.params, self.stats, self.arguments = graph, params, stats, arguments
        self.counts: dict[str, int] = {}

    def convolutions(self, x: str, shape: tuple[int, ...]) -> str:
        """Convolutions of images ``(n, height, width, channels)``; ONNX has channels first."""
        graph, (height, width) = self.graph, shape[:2]
        if len(shape) == 2:
            x = graph.add("Unsqueeze", x, graph.constant(np.array([3])))
        for _ in self.arguments["channels"]:
            layer = self._next("Conv")
            low, high = ((layer["kernel"].shape[0] - 1 + end) // 2 for end in (0, 1))
            x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
            kernel = graph.constant(layer["kernel"].transpose(3, 2, 0, 1))
            x = graph.add("Conv", x, kernel, graph.constant(layer["bias"]), pads=[low, low, high, high])
            x = self._hidden(graph.add("Transpose", x, perm=[0, 2, 3, 1]), self._normalization)
            if min(height, width) > 1:
                x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
                x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
                x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
                height, width = height // 2, width // 2
        return x

    def dense(self, x: str, kind: str) -> str:
        """Dense layers of rows ``(n, d)``."""
        noise = self.arguments.get("noise")
        if noise is not None and noise["makes"]["class"].removeprefix("jreg.nn.") not in _SILENT:
            raise ValueError(f"ONNX can't have the network's noise, {noise['makes']['class']}")
        for _ in self.arguments["features"][:-1] if kind != "Linear" else ():
            x = self._hidden(self._affine(x), self._normalization if kind == "MLP" else None)
        return self._affine(x)

    def _affine(self, x: str) -> str:
        layer = self._next("Dense")
        bias = [self.graph.constant(layer["bias"])] if "bias" in layer else []
        return self.graph.add("Gemm", x, self.graph.constant(layer["kernel"]), *bias)

    def _hidden(self, x: str, normalization: Any) -> str:
        before = self.arguments["position"] == "before"
        x = self._normalized(x, normalization) if before else x
        x = self._activated(x)
        return x if before else self._normalized(x, normalization)

    def _activated(self, x: str) -> str:
        if self.arguments["activation"] == "prelu":
            slope = np.reshape(self._next("PReLU")["negative_slope"], (1,))
            return self.graph.add("PRelu", x, self.graph.constant(slope))
        return self.graph.activated(x, self.arguments["activation"])

    @functools.cached_property
    def _normalization(self) -> tuple[str, Mapping[str, Any]] | None:
        """The name of its layer and the arguments that differ from none."""
        given = self.arguments["normalization"]
        names = {"batch": "BatchNorm", "layer": "LayerNorm", "ghost_batch": "GhostBatchNorm"}
        if given is None:
            return None
        if isinstance(given, str) and given in names:
            return names[given], {"epsilon": 1e-6 if given == "layer" else 1e-5}
        if isinstance(given, Mapping) and "makes" in given:
            name, arguments = given["makes"]["class"].split(".")[-1], given["makes"]["arguments"]
            axes = [arguments[axis] for axis in ("axis", "reduction_axes", "feature_axes") if axis in arguments]
            if name in names.values() and all(axis == -1 for axis in axes):
                return name, arguments
        raise ValueError(f"ONNX can't have the normalization {shown(given)}: it has 'batch', 'ghost_batch' and 'layer'")

    def _normalized(self, x: str, normalization: tuple[str, Mapping[str, Any]] | None) -> str:
        if normalization is None:
            return x
        name, arguments = normalization
        place, layer = self._place(name), self._next(name)
        epsilon = self.graph.number(arguments["epsilon"])
        scale, bias = layer.get("scale"), layer.get("bias")
        if name == "LayerNorm":
            if scale is None:
                raise ValueError("ONNX can't have a layer normalization without a scale")
            bias = [] if bias is None else [self.graph.constant(bias)]
            return self.graph.add("LayerNormalization", x, self.graph.constant(scale), *bias, axis=-1, epsilon=epsilon)
        stats = self.stats[place]
        mean, variance = (stats[key] if key in stats else stats[f"ghost_{key}"] for key in ("mean", "var"))
        factor = (1 if scale is None else scale) / np.sqrt(variance + np.float32(epsilon))
        x = self.graph.add("Mul", self.graph.add("Sub", x, self.graph.constant(mean)), self.graph.constant(factor))
        return x if bias is None else self.graph.add("Add", x, self.graph.constant(bias))

    def _place(self, name: str) -> str:
        return f"{name}_{self.counts.get(name, 0)}"

    def _next(self, name: str) -> Mapping[str, Any]:
        place = self._place(name)
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.params.get(place, {})
