"""A network of jreg.nn.MLP in NumPy alone: python numpy_reader.py FOLDER EXAMPLES.npy prints its outputs."""

import json
import sys
from pathlib import Path

import numpy as np

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def read(folder):
    """What model.json says, and the arrays of weights.safetensors by name."""
    model = json.loads((Path(folder) / "model.json").read_text())
    data = (Path(folder) / "weights.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")  # of a header in JSON, which the arrays follow
    header, arrays = json.loads(data[8 : 8 + length]), {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = (8 + length + place for place in entry["data_offsets"])
            kind = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}[entry["dtype"]]
            arrays[name] = np.frombuffer(data[start:end], kind).reshape(entry["shape"])
    return model, arrays


def outputs(folder, x):
    """The network's outputs for examples (n, ...), in a regression in the targets' units."""
    model, arrays = read(folder)
    recipe = model["recipe"]
    assert recipe["model"]["class"] == "jreg.nn.MLP", "this reader knows no other network"
    network = recipe["model"]["arguments"]
    assert network["normalization"] in (None, "batch"), "nor any other normalization"
    activation = network["activation"]
    activation = activation if isinstance(activation, str) else activation["function"].split(".")[-1]
    if recipe["preprocess"] is not None:
        assert recipe["preprocess"]["name"] == "standardize", "nor any other preprocessing"
        # Mean, standard deviation and, where a feature is large beside its differences, what is subtracted first.
        mean, deviation, offset = (arrays.get(f"statistics/0/{part}") for part in range(3))
        x = ((x if offset is None else x - offset) - mean) / deviation
    h = x.reshape(len(x), -1)
    for number in range(len(network["features"])):
        h = h @ arrays[f"params/Dense_{number}/kernel"] + arrays[f"params/Dense_{number}/bias"]
        if number < len(network["features"]) - 1:
            if network["normalization"] == "batch":
                own = [arrays[f"params/BatchNorm_{number}/{part}"] for part in ("scale", "bias")]
                mean, variance = (
                    arrays[f"model_state/batch_stats/BatchNorm_{number}/{part}"] for part in ("mean", "var")
                )
                h = (h - mean) / np.sqrt(variance + 1e-5) * own[0] + own[1]
            h = ACTIVATIONS[activation](h)
    if recipe["targets"] is not None:
        assert recipe["targets"]["name"] == "standardize", "nor any other preprocessing of targets"
        mean, deviation, offset = (arrays.get(f"statistics/1/{part}") for part in range(3))
        h = h * deviation + mean + (0 if offset is None else offset)
    return h


if __name__ == "__main__":
    print(outputs(sys.argv[1], np.load(sys.argv[2])))
