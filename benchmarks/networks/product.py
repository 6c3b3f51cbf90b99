"""Matrix products of every aspect ratio between 64 and 2048."""

from typing import Any

from benchmarks.networks.layers import Draw
from benchmarks.networks.network import Network


def product(m: int, n: int, k: int) -> Network:
    """bfloat16 (m, k) times (k, n), both arguments, to bfloat16 (m, n)."""
    draw = Draw(11)

    def forward(params: Any, left: Any, right: Any) -> Any:
        del params
        return left @ right

    return Network(name=f"product_{m}x{n}x{k}", function=forward, params={},
                   inputs=[draw.normal(m, k), draw.normal(k, n, std=float(k**-0.5))],
                   tolerance=0.01)
