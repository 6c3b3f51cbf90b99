"""Whole networks in plain JAX with random weights, by name; each family is a file.

JAX belongs to the development environment, so a family is imported when one of its networks is
asked for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.networks.record import PRODUCT

if TYPE_CHECKING:
    from benchmarks.networks.network import Network

SIZES = (64, 256, 2048)
"""Of matrix products: every aspect ratio of a small, a middle and a large side."""


def _lazy(family: str, constructor: str, **arguments: Any) -> "Callable[[], Network]":
    def build() -> "Network":
        module = import_module(f"benchmarks.networks.{family}")
        network: Network = getattr(module, constructor)(**arguments)
        return network

    return build


PRODUCTS: "dict[str, Callable[[], Network]]" = {
    f"{PRODUCT}{m}x{n}x{k}": _lazy("product", "product", m=m, n=n, k=k)
    for m in SIZES for n in SIZES for k in SIZES}
"""m x n x k; k is summed over."""

NETWORKS: "dict[str, Callable[[], Network]]" = {
    "resnet18": _lazy("resnet", "resnet", depth=18),
    "resnet50": _lazy("resnet", "resnet", depth=50),
    "mobilenet_v2": _lazy("mobilenet", "mobilenet_v2"),
    "vit_tiny": _lazy("vit", "vit"),
    "bert_base": _lazy("bert", "bert"),
    "gpt2_prefill": _lazy("gpt2", "prefill"),
    "gpt2_decode": _lazy("gpt2", "decode"),
    "llama_prefill": _lazy("llama", "prefill"),
    "llama_decode": _lazy("llama", "decode"),
    "lstm_batch1": _lazy("lstm", "lstm", batch=1),
    "lstm_batch16": _lazy("lstm", "lstm", batch=16),
    "unet_block": _lazy("unet", "unet_block"),
}
"""At their published sizes; the constructors take smaller ones."""
