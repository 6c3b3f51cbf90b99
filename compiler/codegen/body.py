"""Kernel bodies from graphs: operands, constants, streams and registers.

An `Assembler` puts a body together from straight-line sections, some of them repeated.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

from compiler.codegen.commands import Body
from compiler.codegen.graph import CONSTANT, INPUT, LANE, LEAVES, REGISTER, Graph, Node, count_uses
from hw.isa.encoding import INSTRUCTIONS
from hw.isa.params import BODY_LENGTH, CONSTANTS, INPUT_STREAMS, VECTOR_REGISTERS
from hw.isa.vector import CONSTANT_OPERAND, LANE_OPERAND, SPECIAL, STREAM_OPERAND, Rep

OUTPUT = STREAM_OPERAND
"""Destination code of output stream 0."""
GATHER_STREAM = 3
"""Input stream whose parameters `gather` uses; not available as a stream then."""


class DoesNotFitError(Exception):
    """A body that needs more of something than a kernel has."""


@dataclass(slots=True)
class _Step:
    """An instruction before registers are known.

    Operands are operand codes, or -1 - value for a value that needs a register. `result` is the
    value it defines; with a `destination` it goes there instead of a register.
    """

    mnemonic: str
    operands: tuple[int, ...]
    swizzle: int
    result: int
    destination: int | None = None


@lru_cache(maxsize=1 << 14)
def _encode(mnemonic: str, destination: int, operands: tuple[int, ...], swizzle: int) -> int:
    fields = dict(zip(("va", "vb", "vc"), operands, strict=False))
    if swizzle:
        fields["swz"] = swizzle
    return INSTRUCTIONS[mnemonic](vd=destination, **fields).encode()  # type: ignore[call-arg]


@dataclass
class Assembler:
    """A kernel body in the making.

    Attributes:
        gathers: the body uses `gather`, which costs an input stream.
        streams: the input that each input stream carries; an input may have two streams.
    """

    gathers: bool = False
    streams: list[int] = field(default_factory=list)
    _words: list[int] = field(default_factory=list)
    _constants: dict[int, int] = field(default_factory=dict)
    _issues: int = 0
    _special: int = 0
    _times: int = 1

    def finish(self) -> Body:
        """Raises DoesNotFitError when the body is too long."""
        if not 0 < len(self._words) <= BODY_LENGTH:
            raise DoesNotFitError(f"{len(self._words)} instructions")
        return Body(tuple(self._words), tuple(self._constants), self._issues, self._special)

    @contextmanager
    def repeated(self, count: int) -> Iterator[None]:
        """What is added inside the `with` block is executed `count` times; count > 0."""
        if count == 1:
            yield
            return
        start = len(self._words)
        self._words.append(0)
        self._times *= count
        yield
        self._times //= count
        length = len(self._words) - start - 1
        if length > BODY_LENGTH:
            raise DoesNotFitError(f"{length} instructions")
        self._words[start] = Rep(length=length, imm=count).encode()

    def section(self, graph: Graph, outputs: Sequence[tuple[int, int]],
                reserved: Sequence[int] = (), *, double_streams: bool = False) -> None:
        """Appends the instructions that compute outputs.

        Args:
            outputs: (node, destination code) pairs.
            reserved: vector registers that hold something else.
            double_streams: an input used twice may be streamed twice instead of copied.

        Raises:
            DoesNotFitError: out of streams, constants or registers.
        """
        free = [r for r in range(VECTOR_REGISTERS - 1, -1, -1) if r not in reserved]
        steps = _Selection(self, graph, outputs, double_streams).steps
        last = {v: position for position, step in enumerate(steps) for v in step.operands if v < 0}
        held: dict[int, int] = {}
        for position, step in enumerate(steps):
            codes = tuple(held[o] if o < 0 else o for o in step.operands)
            for operand in set(step.operands):
                if last.get(operand) == position:
                    free.append(held.pop(operand))
            destination = step.destination
            if destination is None:
                if not free:
                    raise DoesNotFitError("vector registers")
                destination = held[-1 - step.result] = free.pop()
            self._words.append(_encode(step.mnemonic, destination, codes, step.swizzle))
            self._issues += self._times
            self._special += self._times * (step.mnemonic in SPECIAL)

    def stream(self, number: int, occurrence: int = 0) -> int:
        """Operand code of the stream that carries an input; a later occurrence has its own."""
        same = [s for s, carried in enumerate(self.streams) if carried == number]
        if occurrence < len(same):
            return STREAM_OPERAND + same[occurrence]
        if len(self.streams) == self.stream_limit:
            raise DoesNotFitError("input streams")
        self.streams.append(number)
        return STREAM_OPERAND + len(self.streams) - 1

    @property
    def stream_limit(self) -> int:
        return GATHER_STREAM if self.gathers else INPUT_STREAMS

    def constant(self, bits: int) -> int:
        """Operand code of a constant."""
        if bits not in self._constants:
            if len(self._constants) == CONSTANTS:
                raise DoesNotFitError("constants")
            self._constants[bits] = len(self._constants)
        return CONSTANT_OPERAND + self._constants[bits]


class _Selection:
    """Instructions of a section, in order."""

    def __init__(self, assembler: Assembler, graph: Graph, outputs: Sequence[tuple[int, int]],
                 double_streams: bool) -> None:
        self.assembler, self.graph = assembler, graph
        self.uses = count_uses(graph, [value for value, _ in outputs])
        self.spare = self._spare_streams() if double_streams else 0
        self.steps: list[_Step] = []
        self.copies: set[int] = set()
        self.doubled: dict[int, int] = {}
        self.late: list[tuple[int, int]] = []
        destinations: dict[int, list[int]] = {}
        for value, destination in outputs:
            destinations.setdefault(value, []).append(destination)
        for position in sorted(self.uses):
            if graph.nodes[position].kind not in LEAVES:
                self._instruction(position, destinations.pop(position, []))
            elif graph.nodes[position].kind == INPUT:
                self._input(position)
        self._move(destinations)

    def _spare_streams(self) -> int:
        inputs = sum(self.graph.nodes[p].kind == INPUT for p in self.uses)
        return self.assembler.stream_limit - inputs

    def _input(self, position: int) -> None:
        """A stream gives each element once: an input used more often is copied or doubled."""
        if self.uses[position] == 1:
            return
        if self.uses[position] == 2 and self.spare > 0:
            self.spare -= 1
            self.doubled[position] = 0
            return
        code = self.assembler.stream(self.graph.nodes[position].value)
        self.steps.append(_Step("mov", (code,), 0, position))
        self.copies.add(position)

    def _operand(self, position: int) -> int:
        node = self.graph.nodes[position]
        if node.kind == CONSTANT:
            return self.assembler.constant(node.value)
        if node.kind == LANE:
            return LANE_OPERAND
        if node.kind == REGISTER:
            return node.value
        if node.kind != INPUT or position in self.copies:
            return -1 - position
        occurrence = self.doubled.get(position, 0)
        if position in self.doubled:
            self.doubled[position] += 1
        return self.assembler.stream(node.value, occurrence)

    def _instruction(self, position: int, destinations: list[int]) -> None:
        node = self.graph.nodes[position]
        codes = {operand: self._operand(operand) for operand in dict.fromkeys(node.operands)}
        step = _Step(node.kind, tuple(codes[o] for o in node.operands), node.swizzle, position)
        self.steps.append(step)
        if len(destinations) == self.uses[position] and self._goes_straight(step, destinations):
            self.steps[-1:] = [replace(step, destination=place) for place in destinations]
            return
        for destination in destinations:
            self.late.append((position, destination))

    def _goes_straight(self, step: _Step, destinations: Sequence[int]) -> bool:
        """Whether the instruction once for each destination is the shortest way there: no register
        holds its result then, but every one of them reads the operands."""
        if any(self._still_read(place, step.result) for place in destinations):
            return False
        return len(destinations) == 1 or (step.mnemonic not in SPECIAL and not any(
            STREAM_OPERAND <= operand < CONSTANT_OPERAND for operand in step.operands))

    def _still_read(self, destination: int, position: int) -> bool:
        """Whether an instruction after this one reads the register that is to be written."""
        return destination < VECTOR_REGISTERS and any(
            self.graph.nodes[o] == Node(REGISTER, value=destination)
            for later in self.uses if later > position
            for o in self.graph.nodes[later].operands)

    def _move(self, destinations: dict[int, list[int]]) -> None:
        """Outputs that are operands as they are, or values that others still needed."""
        for position, places in destinations.items():
            self.late.extend((position, place) for place in places)
        for position, destination in self.late:
            self.steps.append(
                _Step("mov", (self._operand(position),), 0, position, destination))
