"""The public interface: `compile` a module, `run` the program."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.config import AcceleratorConfig
from hw.config import load as load_config
from hw.isa.program import Program
from sim import loader
from sim.loader import Array
from sim.result import Result

SIMULATORS = ("golden", "rtl", "model")


def compile(
    module: str | bytes | Path,
    *,
    config: str | Path | AcceleratorConfig = "default",
    fusion: str = "full",
    bind: Mapping[str, Array] | None = None,
    fast_math: bool = False,
    narrow_64: bool = False,
    dump: str | Path | None = None,
    explain: bool = False,
) -> Program:
    """Compiles StableHLO.

    Args:
        module: StableHLO text, a portable artifact, or the path of a file with either.
        config: a named configuration, a TOML file or the configuration itself.
        fusion: `none`, `elementwise` or `full`.
        bind: values of arguments fixed now, under their names or `arg0`, `arg1`, ...
        fast_math: allow rewrites that change rounding.
        narrow_64: use 32 bits where the module says 64.
        dump: directory for the intermediate stages.
        explain: note the groups with their estimated cycles, and each fusion that was refused and
            why.

    Raises:
        CompileError: the module cannot be compiled; says where and why.
        ConfigError: there is no such configuration.
        OSError: the file cannot be read.
    """
    from compiler.pipeline import Options, compile_module  # MLIR, which running does not need

    options = Options(
        fusion=fusion, bind={name: loader.restored(array) for name, array in (bind or {}).items()},
        fast_math=fast_math, narrow_64=narrow_64, explain=explain,
        dump=Path(dump) if dump is not None else None)
    text, name = _read(module)
    return compile_module(text, load_config(config), options, name)


def run(program: Program, inputs: Sequence[Array], *, sim: str = "golden", trace: bool = False
        ) -> Result:
    """Runs a program on a simulator.

    Args:
        inputs: one array per argument of `@main` that was not bound.
        sim: `golden` for meaning, `rtl` for the hardware, `model` for time without data.
        trace: note in `Result.trace` what every engine does when; not with `golden`.

    Raises:
        InputError: the inputs do not match the program.
        Fault: the program ended with an error.
    """
    if sim == "golden":
        if trace:
            raise ValueError("golden knows no time to trace: use rtl or model")
        return run_golden(program, inputs)
    if sim == "rtl":
        from sim import rtl  # Amaranth, which golden does not need
        return rtl.run(program, inputs, rtl.Options(trace=trace))
    if sim == "model":
        from sim import model
        return model.run(program, inputs, trace=trace)
    raise ValueError(f"unknown simulator {sim!r}: use one of {', '.join(SIMULATORS)}")


def run_golden(program: Program, inputs: Sequence[Array]) -> Result:
    """Runs a program on the instruction-level reference."""
    from sim.golden import Golden  # which compiling does not need

    windows = loader.grant(program)
    loader.fill(program, inputs, windows)
    begin = time.perf_counter()
    Golden(program.config, program.text, windows).run()
    seconds = time.perf_counter() - begin
    return Result(outputs=loader.outputs(program, windows), seconds=seconds)


def _read(module: str | bytes | Path) -> tuple[str | bytes, str]:
    """Contents and name of a module; a string of several lines is the text itself."""
    if isinstance(module, bytes):
        return module, "<input>"
    if isinstance(module, str) and ("\n" in module or module.lstrip().startswith("module")):
        return module, "<input>"
    content = Path(module).read_bytes()
    try:
        return content.decode(), str(module)
    except UnicodeDecodeError:
        return content, str(module)
