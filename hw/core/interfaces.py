"""Signatures between the engines and the shared blocks of the machine."""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from hw.config import AcceleratorConfig

COMMAND = data.StructLayout({"word": 64, "a": 32, "b": 32})
"""A dispatched instruction: the word, a = x[rs1] + imm32, b = x[rs2]."""

FAULT = data.StructLayout({"cause": 4, "address": 32})

ACTIVITY_BITS = 3


def read_port(width_bytes: int) -> Signature:
    """Read access to local memory, seen from the requester.

    `request.payload.address` is any byte address, `size` the bytes that matter (0 to width_bytes).
    `response` comes in order, two cycles after the request is accepted, and cannot be refused.
    """
    request = data.StructLayout({"address": 32, "size": range(width_bytes + 1)})
    return Signature({
        "request": Out(stream.Signature(request)),
        "response": In(Signature({"valid": Out(1), "data": Out(8 * width_bytes)})),
    })


def write_port(width_bytes: int) -> Signature:
    """Write access to local memory, seen from the requester: `size` bytes from `address`."""
    request = data.StructLayout(
        {"address": 32, "size": range(width_bytes + 1), "data": 8 * width_bytes}
    )
    return Signature({"request": Out(stream.Signature(request))})


def engine(config: AcceleratorConfig) -> dict[str, object]:
    """Members every engine has beside its memory ports, seen from the engine.

    commands: everything of its queue but `wait` and `post`, which its queue handles.
    retire:   one-cycle pulse for each finished work command, in order.
    fault:    valid while a fault is reported; the first one stops the machine.
    activity: what the engine does in this cycle (`hw.isa.host.Activity`), idle excepted when
              its queue blocks: the queue overrides it with `semaphore`.
    stop:     set once any engine has faulted; issue nothing new, finish what the bus has begun.
    """
    return {
        "commands": In(stream.Signature(COMMAND)),
        "retire": Out(1),
        "fault": Out(Signature({"valid": Out(1), "payload": Out(FAULT)})),
        "activity": Out(ACTIVITY_BITS),
        "stop": In(1),
    }


def axi_read(config: AcceleratorConfig) -> Signature:
    """AXI4 read channels, seen from the manager. One ID: responses come in order."""
    return Signature({
        "ar": Out(stream.Signature(data.StructLayout({"address": 64, "length": 8}))),
        "r": In(stream.Signature(data.StructLayout(
            {"data": 8 * config.bus_bytes, "response": 2, "last": 1}
        ))),
    })


def axi_write(config: AcceleratorConfig) -> Signature:
    """AXI4 write channels, seen from the manager. Bursts of full-width incrementing beats."""
    return Signature({
        "aw": Out(stream.Signature(data.StructLayout({"address": 64, "length": 8}))),
        "w": Out(stream.Signature(data.StructLayout(
            {"data": 8 * config.bus_bytes, "strobe": config.bus_bytes, "last": 1}
        ))),
        "b": In(stream.Signature(data.StructLayout({"response": 2}))),
    })


def axi_lite() -> Signature:
    """AXI4-Lite with 32-bit data, seen from the manager; addresses are byte addresses."""
    return Signature({
        "aw": Out(stream.Signature(data.StructLayout({"address": 32}))),
        "w": Out(stream.Signature(data.StructLayout({"data": 32, "strobe": 4}))),
        "b": In(stream.Signature(data.StructLayout({"response": 2}))),
        "ar": Out(stream.Signature(data.StructLayout({"address": 32}))),
        "r": In(stream.Signature(data.StructLayout({"data": 32, "response": 2}))),
    })
