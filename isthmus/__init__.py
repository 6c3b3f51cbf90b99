"""Isthmus: compile StableHLO for an accelerator, and run it on a simulator of the hardware."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.api import compile as compile
    from isthmus.api import run as run
    from sim.result import Result as Result

__all__ = ["Result", "compile", "run"]


def __getattr__(name: str) -> Any:
    # Loaded at first use: `isthmus --help` should not wait for numpy, MLIR and the hardware.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from isthmus import api
    return getattr(api, name)
