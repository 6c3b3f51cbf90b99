"""Run cocotb testbenches on Amaranth Components, compiled by Verilator.

A testbench is two files next to each other, named after the hardware module they test:

    verif/core/test_adder.py           # pytest: which configurations, seeds, cases
        from hw.core.adder import Adder
        from verif.build import run_cocotb

        def test_adder() -> None:
            run_cocotb(Adder(TINY), "verif.core.tb_adder", env={"CONFIG": "tiny"})

    verif/core/tb_adder.py             # cocotb: runs inside the simulator
        @cocotb.test()
        async def adds(dut: Any) -> None: ...    # os.environ["CONFIG"] tells which machine it is

`env` passes parameters, as the testbench runs in another process. `cocotb.RANDOM_SEED` and
`random` follow `seed`. `dut` has `clk`, `rst` (synchronous, active high, present when the design
has registers) and the Component's ports. Nested members are joined by two underscores, as
Amaranth flattens them: `commands.payload` of the signature is `dut.commands__payload`, member 1
of an array of ports `reads` is `dut.reads__1__request__valid`. A payload that is a structure is one
vector, its first field in the lowest bits; use `verif.build.pack` and `unpack`.

Only ports are visible, which makes a model several times faster than with all signals public;
`run_cocotb(..., public=True)` opens the inside of the design for debugging.
`waves="file.vcd"` records a waveform.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.lib import data, wiring
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from sim.cache import ROOT
from sim.verilator import Model, compile_model
from sim.verilog import TOP, to_verilog

_LOG_TAIL = 6000


def run_cocotb(
    component: wiring.Component,
    test_module: str,
    *,
    testcase: str | None = None,
    seed: int = 1,
    env: Mapping[str, str] | None = None,
    public: bool = False,
    waves: str | Path | None = None,
    optimize: str = "-O1",
) -> int:
    """Run the cocotb tests of `test_module` on `component`; the build is cached.

    Args:
        component: a fresh instance; elaborated here.
        test_module: importable name of the testbench, such as `verif.core.tb_adder`.
        testcase: run only the cocotb test of this name.
        optimize: compiler option; `-O2` pays for designs that simulate for long.

    Returns:
        The number of cocotb tests that ran, all of them passed.

    Raises:
        AssertionError: a test failed, none ran, or the simulation ended abnormally.
    """
    program = build(component, public=public, trace="vcd" if waves else "", optimize=optimize)
    with tempfile.TemporaryDirectory(prefix="cocotb-") as directory:
        results, log = Path(directory, "results.xml"), Path(directory, "log.txt")
        options = {"testcase": testcase, "seed": seed, "extra_env": dict(env or {}),
                   "waves": waves is not None}
        ended = _simulate(program, test_module, Path(directory), results, log, options)
        if waves is not None:
            Path(directory, "dump.vcd").replace(waves)
        return _check(test_module, ended, results, log)


def build(
    component: wiring.Component, *, public: bool = False, trace: str = "", optimize: str = "-O1"
) -> Path:
    """The compiled cocotb program of a Component."""
    library = Path(cocotb_tools.config.libs_dir)
    main = Path(cocotb_tools.config.share_dir, "lib", "verilator", "verilator.cpp")
    return compile_model(Model(
        verilog=to_verilog(component), sources=(str(main),), vpi=True, trace=trace,
        control="" if public else _public_ports(component),
        verilator_flags=("--public-flat-rw",) if public else (), optimize=optimize,
        link_flags=(f"-L{library}", f"-Wl,-rpath,{library}", "-lcocotbvpi_verilator"),
    ))


def pack(layout: data.StructLayout, values: Mapping[str, int]) -> int:
    """The vector of a structured payload; fields may be negative, missing ones are zero."""
    vector = 0
    for name, value in values.items():
        field = layout[name]
        vector |= (value & ((1 << field.width) - 1)) << field.offset
    return vector


def unpack(layout: data.StructLayout, vector: int) -> dict[str, int]:
    """The fields of a structured payload, as unsigned numbers."""
    return {str(name): vector >> field.offset & ((1 << field.width) - 1)
            for name, field in layout}


def _public_ports(component: wiring.Component) -> str:
    paths = ["__".join(map(str, path))
             for path, _, _ in component.signature.flatten(component)]
    return "\n".join(f'public_flat_rw -module "{TOP}" -var "{name}"'
                     for name in (*paths, "clk", "rst"))


def _simulate(program: Path, test_module: str, directory: Path, results: Path, log: Path,
              options: dict[str, Any]) -> bool:
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    try:
        get_runner("verilator").test(
            test_module=test_module, hdl_toplevel=TOP, hdl_toplevel_lang="verilog",
            build_dir=program.parent, test_dir=directory, results_xml=str(results),
            log_file=log, **options)
    except (SystemExit, RuntimeError):
        # How the runner reports failed tests and a dead simulator; `_check` tells which.
        return False
    return True


def _check(test_module: str, ended: bool, results: Path, log: Path) -> int:
    text = log.read_text(errors="replace")[-_LOG_TAIL:] if log.exists() else ""
    if not results.is_file():
        raise AssertionError(f"{test_module}: the simulation ended abnormally\n{text}")
    count, failed = get_results(results)
    skipped = len(ElementTree.parse(results).getroot().findall(".//skipped"))
    if failed or not ended:
        raise AssertionError(f"{test_module}: {failed} of {count} cocotb tests failed\n{text}")
    if count - skipped <= 0:
        raise AssertionError(f"{test_module}: no cocotb test ran\n{text}")
    return count - skipped
