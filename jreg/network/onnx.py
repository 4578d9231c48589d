"""Networks of `jreg.nn` as ONNX, which many runtimes without Python read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jreg.network.network import Network


def to_onnx(network: Network) -> bytes:
    """x"""
    raise NotImplementedError
