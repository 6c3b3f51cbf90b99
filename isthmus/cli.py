"""The command line: `isthmus compile | run | report | objdump | ops`.

Exit codes: 0 success, 1 the program faulted on the device, 2 bad input. Modules are imported by
the commands that need them, so that help and usage errors come at once.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.files import UsageError, arrays, write

if TYPE_CHECKING:
    from hw.isa.program import Program
    from sim.loader import Array

FAULT, BAD_INPUT = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except BrokenPipeError:
        # The reader of our output, `head` for example, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"isthmus: error: {_one_line(error)}", file=sys.stderr)
        return code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="isthmus", description=(
        "Compile StableHLO for the Isthmus accelerator and run it on a simulator."))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compile_ = commands.add_parser("compile", help="compile a StableHLO module to a program")
    compile_.add_argument("model", metavar="MODEL.mlir", help="StableHLO text or artifact")
    compile_.add_argument("-o", "--output", metavar="PROGRAM.isth", required=True)
    compile_.add_argument("--config", default="default", metavar="NAME|FILE.toml")
    compile_.add_argument("--fusion", choices=("none", "elementwise", "full"), default="full")
    compile_.add_argument("--bind", metavar="WEIGHTS.npz", help="values of arguments, by name")
    compile_.add_argument("--fast-math", action="store_true", help="allow changes of rounding")
    compile_.add_argument("--narrow-64", action="store_true", help="use 32 bits for 64")
    compile_.add_argument("--dump", metavar="DIR", help="write the intermediate stages")
    compile_.add_argument("--explain", action="store_true",
                          help="print fusions that were made and refused")
    compile_.set_defaults(command=_compile)

    run = commands.add_parser("run", help="run a program on a simulator")
    run.add_argument("program", metavar="PROGRAM.isth")
    run.add_argument("--sim", choices=("golden", "rtl", "model"), default="golden")
    run.add_argument("--inputs", metavar="IN.npz", help="arrays arg0, arg1, ...")
    run.add_argument("--outputs", metavar="OUT.npz", help="where to write out0, out1, ...")
    run.add_argument("--trace", metavar="TRACE.json", help=(
        "what every engine did when, for ui.perfetto.dev; with --sim rtl or model"))
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="write a page on where a program's cycles go")
    report.add_argument("program", metavar="PROGRAM.isth")
    report.add_argument("-o", "--output", metavar="REPORT.html", required=True)
    report.add_argument("--sim", choices=("model", "rtl"), default="model",
                        help="predict (the default), or measure on the hardware")
    report.add_argument("--inputs", metavar="IN.npz", help="arrays arg0, arg1, ...")
    report.set_defaults(command=_report)

    objdump = commands.add_parser("objdump", help="disassemble a program")
    objdump.add_argument("program", metavar="PROGRAM.isth")
    objdump.set_defaults(command=_objdump)

    ops = commands.add_parser("ops", help="list the StableHLO operations and how each is built")
    ops.set_defaults(command=_ops)
    return parser


def _compile(options: argparse.Namespace) -> None:
    # Most of the many objects a compilation makes live as long as the process does.
    gc.disable()
    from isthmus import api

    bind = arrays(options.bind) if options.bind else {}
    program = api.compile(
        Path(options.model), config=options.config, fusion=options.fusion, bind=bind,
        fast_math=options.fast_math, narrow_64=options.narrow_64, dump=options.dump,
        explain=options.explain)
    write(options.output, lambda file: file.write(program.to_bytes()))
    gc.freeze()
    for key, prefix in (("narrowed", "narrowed to 32 bits"), ("fusion", "fused"),
                        ("refused", "not fused")):
        for line in program.notes.get(key, ()):
            print(f"{prefix}: {line}")


def _run(options: argparse.Namespace) -> None:
    from hw.isa.program import load
    from isthmus import api
    from isthmus.report import describe

    if options.trace and options.sim == "golden":
        raise UsageError("--sim golden knows no time to trace; use --sim rtl or --sim model")
    program = load(options.program)
    inputs = _inputs(program, options)
    result = api.run(program, inputs, sim=options.sim, trace=bool(options.trace))
    if options.outputs and options.sim != "model":
        import numpy as np
        named = {f"out{number}": array for number, array in enumerate(result.outputs)}
        write(options.outputs, lambda file: np.savez(file, **named))  # type: ignore[arg-type]
    if result.trace is not None:
        from isthmus.report.profile import scratchpad
        from sim.chrome import to_json
        counters = {"scratchpad bytes": scratchpad(program, inputs, result.trace).levels}
        content = to_json(result.trace, counters)
        write(options.trace, lambda file: file.write(content))
    if result.cycles:
        print(describe(program, result))


def _report(options: argparse.Namespace) -> None:
    from hw.isa.program import load
    from isthmus.report.page import page
    from isthmus.report.profile import profile

    program = load(options.program)
    found = profile(program, _inputs(program, options), sim=options.sim)
    content = page(found, Path(options.program).name).encode()
    write(options.output, lambda file: file.write(content))


def _objdump(options: argparse.Namespace) -> None:
    from hw.isa.program import load
    from isthmus.objdump import dump

    for line in dump(load(options.program)):
        print(line)


def _ops(options: argparse.Namespace) -> None:
    del options
    from compiler.catalog import catalog

    for name, kind, note in catalog():
        print(f"{name:32} {kind:12} {note}".rstrip())


def _inputs(program: "Program", options: argparse.Namespace) -> "list[Array]":
    """The arrays of `--inputs`, in order; none where the simulator can do without."""
    path = options.inputs
    if options.sim == "model" and not path:
        # It needs data only for a program that loads scalars, which says so itself.
        return []
    given = arrays(path) if path else {}
    names = [f"arg{number}" for number in range(len(program.inputs))]
    if missing := [name for name in names if name not in given]:
        where = path or "--inputs was not given"
        raise UsageError(f"no input {missing[0]} ({where}); the program takes {', '.join(names)}")
    if extra := sorted(set(given) - set(names)):
        raise UsageError(f"{path}: {extra[0]} is not an input of the program "
                         f"({', '.join(names) or 'it takes none'})")
    return [given[name] for name in names]


def _exit_code(error: Exception) -> int | None:
    """What an error means to the caller; None for a defect of this program."""
    from compiler.errors import CompileError
    from hw.config import ConfigError
    from hw.isa.program import ProgramError
    from hw.isa.state import Fault
    from sim.loader import InputError

    if isinstance(error, Fault):
        return FAULT
    known = (UsageError, CompileError, ConfigError, ProgramError, InputError, OSError)
    return BAD_INPUT if isinstance(error, known) else None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
