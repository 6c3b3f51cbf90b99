"""Compiles functions and runs the programs on the golden model, engines in random order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.pipeline import Options, compile_module
from hw.config import AcceleratorConfig
from hw.config import load as load_config
from hw.isa.host import Engine
from hw.isa.program import Program
from sim import loader
from sim.golden import ENGINES, Golden
from verif.compiler.models import export

Array = NDArray[Any]


class ShuffledGolden(Golden):
    """Lets the engines advance one command at a time in an order of chance.

    A program that orders its engines by semaphores gives the same bits in every order.
    """

    def run_shuffled(self, seed: int) -> None:
        """Runs to `halt`; raises Fault as `run` does."""
        choice = np.random.default_rng(seed)
        while not (self.state.halted and self._idle(ENGINES)):
            order = [int(i) for i in choice.permutation(len(Engine))]
            if not any(self._advance(Engine(engine)) for engine in order):
                raise self._watchdog("deadlock: every engine is blocked")

    def _advance(self, engine: Engine) -> bool:
        """One command of an engine; False when it is blocked or has none."""
        if engine is Engine.SEQUENCER:
            return self._step()
        queue = self.queues[engine]
        if not queue or not self._is_ready(queue[0]):
            return False
        self._engine_step(engine, queue.popleft())
        return True

    def _is_ready(self, command: Any) -> bool:
        ready = getattr(command.instruction, "ready", None)
        return ready is None or bool(ready(self.state))


def build(function: Callable[..., Any], arguments: Sequence[Array],
          config: str | AcceleratorConfig = "tiny",
          fusion: str = "full") -> Program:
    """The program of a JAX function; 64-bit types of the export become 32-bit ones."""
    return compile_module(export(function, *arguments), load_config(config),
                          Options(fusion=fusion, narrow_64=True))


def execute(program: Program, arguments: Sequence[Array], seed: int = 0) -> list[Array]:
    """Outputs of a program; arguments that the export dropped are left out by shape."""
    windows = loader.grant(program)
    loader.fill(program, list(arguments), windows)
    ShuffledGolden(program.config, program.text, windows).run_shuffled(seed)
    return loader.outputs(program, windows)


def run(function: Callable[..., Any], arguments: Sequence[Array],
        config: str | AcceleratorConfig = "tiny",
        fusion: str = "full", seed: int = 0) -> list[Array]:
    """Compiles and executes a function."""
    return execute(build(function, arguments, config, fusion), arguments, seed)


def assert_close(got: Sequence[Array], expected: Sequence[Array], steps: float = 64) -> None:
    """Integers equal; floats within some units in the last place of the largest element."""
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        if mine.dtype.kind in "iub":
            np.testing.assert_array_equal(mine, theirs)
            continue
        fraction = 2.0**-7 if mine.dtype.itemsize == 2 else 2.0**-23
        wide, reference = mine.astype(np.float64), theirs.astype(np.float64)
        finite = np.abs(reference[np.isfinite(reference)])
        np.testing.assert_allclose(wide, reference, rtol=steps * fraction,
                                   atol=steps * fraction * float(finite.max(initial=0)) / 8)
