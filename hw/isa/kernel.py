"""Execution of vector kernels: streams, strips, repeats."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw.isa.dtypes import FLOATS, DType, from_lane, to_lane
from hw.isa.host import Cause, Engine
from hw.isa.numerics import Bits, fmax, fmin
from hw.isa.params import (
    INPUT_STREAMS,
    LEVELS,
    OUTPUT_STREAMS,
    REP_DEPTH,
    VECTOR_REGISTERS,
    VECTOR_STRIP,
    StreamParam,
    constant,
    input_stream,
)
from hw.isa.state import MASK32, Fault, MachineState, PendingKernel, nest_indices

if TYPE_CHECKING:
    from hw.isa.encoding import Instruction

Body = list[tuple["Instruction", int]]


def _illegal(detail: str, word: int = 0) -> Fault:
    return Fault(Cause.ILLEGAL, Engine.VECTOR, word, detail)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


class Stream:
    """The walk of one stream: an address and a number of valid lanes per group."""

    def __init__(self, machine: MachineState, number: int) -> None:
        p = machine.params[Engine.VECTOR]
        self.machine, self.lanes, self.position = machine, machine.config.lanes, 0
        self.p = {param: p[input_stream(number, param)] for param in StreamParam}
        is_output = number >= INPUT_STREAMS
        highest = DType.U8 if is_output else DType.ADDR
        if self.p[StreamParam.TYPE] > highest or self.p[StreamParam.LANE_LEVEL] > LEVELS:
            raise _illegal(f"type or lane level of stream {number}")
        self.dtype = DType(self.p[StreamParam.TYPE])
        self.base, self.valid = self._nest()

    def _nest(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        bounds = [self.p[StreamParam(StreamParam.BOUND1 + level)] for level in range(LEVELS)]
        index = nest_indices(bounds, Engine.VECTOR)
        base = np.full(index.shape[1], self.p[StreamParam.BASE], np.int64)
        for level in range(LEVELS):
            base += index[level] * self.p[StreamParam(StreamParam.STRIDE1 + level)]
        n0, p = _signed(self.p[StreamParam.N0]), self.p[StreamParam.LANE_LEVEL]
        left = n0 - self.lanes * index[p - 1] if p else np.full(index.shape[1], n0)
        return base & MASK32, np.clip(left, 0, self.lanes)

    def take(self, groups: int) -> slice:
        """The next groups of the walk."""
        start, self.position = self.position, self.position + groups
        if self.position > len(self.base):
            raise _illegal("stream used beyond its end")
        return slice(start, self.position)

    def addresses(self, which: slice) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Addresses (groups, L) and which lanes are valid."""
        lane = np.arange(self.lanes, dtype=np.int64)
        stride = _signed(self.p[StreamParam.STRIDE0])
        return ((self.base[which, None] + lane * stride) & MASK32,
                lane < self.valid[which, None])


class InputStream(Stream):
    """Groups come in order, converted to lanes."""

    def read(self, groups: int) -> Bits:
        """The next groups, (groups, L)."""
        return self.fetch(*self.addresses(self.take(groups)))

    def fetch(self, addresses: NDArray[np.int64], valid: NDArray[np.bool_]) -> Bits:
        lanes = np.full(addresses.shape, self.p[StreamParam.FILL], np.uint32)
        if self.dtype is DType.ADDR:
            lanes[valid] = addresses[valid]
        else:
            raw = self.machine.local.read(addresses[valid], self.dtype, Engine.VECTOR)
            lanes[valid] = to_lane(raw, self.dtype)
        return lanes


class OutputStream(Stream):
    """Groups leave in order, converted from lanes."""

    def write(self, lanes: Bits) -> None:
        """Appends groups (groups, L)."""
        addresses, valid = self.addresses(self.take(len(lanes)))
        if self.p[StreamParam.STRIDE0] == 0:
            valid[:, 1:] = False
        self.store(addresses, valid, lanes)

    def store(self, addresses: NDArray[np.int64], valid: NDArray[np.bool_], lanes: Bits) -> None:
        saturate = bool(self.p[StreamParam.SATURATE])
        kept = lanes[valid]
        if saturate and self.dtype in FLOATS:
            low, high = (np.array([self.p[bound]], np.uint32)
                         for bound in (StreamParam.LOW, StreamParam.HIGH))
            kept = fmin(fmax(kept, low), high)
        raw = from_lane(kept, self.dtype, saturate)
        self.machine.local.write(addresses[valid], raw, self.dtype, Engine.VECTOR)


class Kernel:
    """One run of a body over its groups."""

    def __init__(self, machine: MachineState, body: Body) -> None:
        self.machine, self.body, self.vl = machine, body, 0
        self.lanes = machine.config.lanes
        sources, destinations = _streams_used(body)
        self.inputs = {s: InputStream(machine, s) for s in sorted(sources)}
        self.outputs = {s: OutputStream(machine, INPUT_STREAMS + s) for s in sorted(destinations)}

    def run(self, groups: int) -> None:
        strip = self.machine.params[Engine.VECTOR][VECTOR_STRIP]
        if not 1 <= strip <= self.machine.config.strip_groups:
            raise _illegal(f"strip of {strip} groups")
        while groups > 0:
            self.vl = min(strip, groups)
            self._block(0, len(self.body))
            groups -= self.vl

    def _block(self, start: int, end: int) -> None:
        at = start
        while at < end:
            op, count = self.body[at]
            at += 1
            if op.MNEMONIC == "rep":
                length: int = op.value("length")
                for _ in range(count):
                    self._block(at, at + length)
                at += length
            else:
                self._step(op)

    def _step(self, op: "Instruction") -> None:
        taken: dict[int, Bits] = {}
        operand = {name: self._source(op.value(name), taken)
                   for name in ("va", "vb", "vc") if name in op.FIELDS}
        if "vb" in operand:
            operand["vb"] = operand["vb"][:, np.arange(self.lanes) ^ op.value("swz")]
        if op.MNEMONIC == "scatter":
            self._scatter(operand["va"], operand["vb"])
        else:
            self._destination(op.value("vd"), self._compute(op, list(operand.values())))

    def _compute(self, op: "Instruction", operands: list[Bits]) -> Bits:
        if op.MNEMONIC == "perm":
            lane = (operands[1] & np.uint32(self.lanes - 1)).astype(np.int64)
            return np.take_along_axis(operands[0], lane, axis=1)
        if op.MNEMONIC == "trans":
            if self.vl != self.lanes:
                raise _illegal("trans of a strip that is not L groups long", op.encode())
            return operands[0].T.copy()
        if op.MNEMONIC == "gather":
            return self._gather(operands[0])
        return lane_function(op.MNEMONIC)(*operands)

    def _source(self, code: int, taken: dict[int, Bits]) -> Bits:
        from hw.isa.vector import CONSTANT_OPERAND, LANE_OPERAND, STREAM_OPERAND
        shape = (self.vl, self.lanes)
        if code < VECTOR_REGISTERS:
            return self.machine.v[code, : self.vl].copy()
        if code == LANE_OPERAND:
            return np.broadcast_to(np.arange(self.lanes, dtype=np.uint32), shape)
        if code >= CONSTANT_OPERAND:
            value = self.machine.params[Engine.VECTOR][constant(code - CONSTANT_OPERAND)]
            return np.full(shape, value, np.uint32)
        stream = code - STREAM_OPERAND
        if stream not in taken:
            taken[stream] = self.inputs[stream].read(self.vl)
        return taken[stream]

    def _destination(self, code: int, lanes: Bits) -> None:
        from hw.isa.vector import STREAM_OPERAND
        if code < VECTOR_REGISTERS:
            self.machine.v[code, : self.vl] = lanes
        else:
            self.outputs[code - STREAM_OPERAND].write(lanes)

    def _gather(self, index: Bits) -> Bits:
        stream = InputStream(self.machine, 3)
        if stream.dtype is DType.ADDR:
            raise _illegal("gather with element type addr")
        addresses, valid = self._indexed(stream, index)
        return stream.fetch(addresses, valid)

    def _scatter(self, index: Bits, lanes: Bits) -> None:
        stream = OutputStream(self.machine, INPUT_STREAMS + 1)
        addresses, valid = self._indexed(stream, index)
        stream.store(addresses, valid, np.ascontiguousarray(lanes))

    @staticmethod
    def _indexed(stream: Stream, index: Bits) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        signed = index.view(np.int32).astype(np.int64)
        addresses = stream.p[StreamParam.BASE] + signed * _signed(stream.p[StreamParam.STRIDE0])
        return addresses & MASK32, signed >= 0


def lane_function(mnemonic: str) -> "np.ufunc":
    """The numpy meaning of a lane operation."""
    from hw.isa.vector import BINARY, SPECIAL, TERNARY, UNARY
    table: dict[str, tuple[str, object]] = {**UNARY, **SPECIAL, **BINARY, **TERNARY}
    return table[mnemonic][1]  # type: ignore[return-value]


def _streams_used(body: Body) -> tuple[set[int], set[int]]:
    from hw.isa.vector import STREAM_OPERAND
    sources, destinations = set[int](), set[int]()
    for op, _ in body:
        for name in ("va", "vb", "vc"):
            if name in op.FIELDS:
                stream = op.value(name) - STREAM_OPERAND
                sources |= {stream} & set(range(INPUT_STREAMS))
        if "vd" in op.FIELDS:
            destinations |= {op.value("vd") - STREAM_OPERAND} & set(range(OUTPUT_STREAMS))
    return sources, destinations


def check(machine: MachineState, body: Body) -> None:
    """Faults on a body the unit refuses before running it."""
    from hw.isa.vector import DESTINATIONS, OPERANDS, SPECIAL
    ends: list[int] = []
    for position, (op, _) in enumerate(body):
        ends = [end for end in ends if end > position]
        if op.MNEMONIC == "rep":
            end = position + 1 + op.value("length")
            if end == position + 1 or end > min([len(body), *ends]) or len(ends) == REP_DEPTH:
                raise _illegal("rep outside its body or nested too deeply", op.encode())
            ends.append(end)
            continue
        if op.MNEMONIC in SPECIAL and not machine.config.special_function_unit:
            raise _illegal(f"{op.MNEMONIC} without special function unit", op.encode())
        codes = [op.value(name) for name in ("va", "vb", "vc") if name in op.FIELDS]
        bad = any(code not in OPERANDS.values() for code in codes)
        bad |= getattr(op, "vd", 0) not in DESTINATIONS.values()
        bad |= getattr(op, "swz", 0) >= machine.config.lanes
        if op.MNEMONIC == "trans":
            bad |= max(codes[0], op.value("vd")) >= VECTOR_REGISTERS
        if bad:
            raise _illegal(f"operand of {op.MNEMONIC}", op.encode())
    sources, destinations = _streams_used(body)
    names = {op.MNEMONIC for op, _ in body}
    if ("gather" in names and 3 in sources) or ("scatter" in names and 1 in destinations):
        raise _illegal("indexed access and its stream in one kernel")


def execute(machine: MachineState, pending: PendingKernel) -> None:
    """Checks and runs a captured kernel."""
    body: Body = pending.body  # type: ignore[assignment]
    check(machine, body)
    Kernel(machine, body).run(pending.groups)
