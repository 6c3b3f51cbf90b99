"""Which tensors stay on chip between the groups that make and use them.

A resident tensor lies in the scratchpad from the group that makes it to the last one that reads
it. Residents are placed from the top down, ahead of code generation; below the lowest one live,
generators rotate their buffers. Every group keeps some room for those, or its loads could not run
ahead. Of the tensors that compete for room those win that save the most DRAM traffic for the time
they occupy it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from xdsl.ir import Block, Operation, SSAValue

from compiler.codegen import pooling
from compiler.codegen.contraction_axes import Axis, merge
from compiler.codegen.contraction_prepare import Scheme, scheme
from compiler.codegen.convolution_shape import reads_on_chip
from compiler.codegen.inplace import overwritten
from compiler.ir.loops import Contraction, Load, Loop, Movement, analyse
from compiler.ir.ops import HloOp
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import free_dimensions
from compiler.ops.views import View
from hw.config import AcceleratorConfig
from hw.isa.params import LEVELS

WORKING = {"dot_general": 4, "convolution": 4, "loop": 8, "concatenate": 8, "pad": 8}
"""What share of the scratchpad a group keeps for its buffers, as divisor."""
OTHER_WORKING = 4
IN_PLACE_WORKING = 6
"""The same for a convolution that reads its input, padding included, where it lies on chip: what
it needs is weights and a block of results."""
ON_CHIP = ("concatenate", "pad")
"""Movements whose operands and results may be on chip."""


@dataclass(frozen=True, eq=False)
class Resident:
    """A tensor that may stay on chip, from the position of its maker to that of its last reader.
    There is one for each tensor, so that they are told apart by identity.

    Attributes:
        bytes: rounded up to whole lines of the scratchpad.
        saved: bytes that need not be loaded or stored.
        takes_over: values in whose place it may be made, as they are read for the last time then.
        is_buffer: the value is a factor that one contraction keeps in its own buffers, for which
            there has to be room.
    """

    value: SSAValue
    first: int
    last: int
    bytes: int
    saved: int
    takes_over: tuple[SSAValue, ...] = ()
    is_buffer: bool = False

    @property
    def is_constant(self) -> bool:
        return _is_constant(self.value)

    @property
    def gain(self) -> float:
        """DRAM passes saved for each group it is held through."""
        return self.saved / self.bytes / (1 + self.last - self.first)

    def meets(self, other: "Resident") -> bool:
        """Whether both live at the same time."""
        return self.first <= other.last and other.first <= self.last

    def shares_with(self, other: "Resident") -> bool:
        """Whether one may be made in the place of the other."""
        return (other.value in self.takes_over and other.last == self.first) or (
            self.value in other.takes_over and self.last == other.first)


@dataclass
class Residency:
    """The residents of a block.

    Attributes:
        addresses: local address of each resident.
        constants: the same of constants that contractions read again and again.
        limits: for each operation of the block the bytes that its buffers may use.
    """

    addresses: dict[SSAValue, int] = field(default_factory=dict)
    constants: dict[SSAValue, int] = field(default_factory=dict)
    limits: dict[Operation, int] = field(default_factory=dict)


def candidates_of(block: Block, config: AcceleratorConfig, parts: dict[SSAValue, SSAValue]
                  ) -> list[Resident]:
    """The tensors of a block that may stay on chip, those that save most for their time first.

    Args:
        parts: values that are made in their place in a larger one, with that one.
    """
    found = _Candidates(list(block.ops), config, parts).found
    return sorted(found, key=lambda r: (-r.gain, r.first))


def plan(block: Block, config: AcceleratorConfig, candidates: Sequence[Resident],
         reserved: Mapping[Operation, int]) -> Residency:
    """Chooses and places the residents of a block.

    Args:
        candidates: from `candidates_of`.
        reserved: bytes that operations need for their buffers, beyond the usual.
    """
    operations = list(block.ops)
    made = {r.value for r in candidates}
    needed = {op: reserved.get(op) or working_bytes(op, config, made) for op in operations}
    room = [config.scratchpad_bytes - needed[op] for op in operations]
    chosen = _chosen(candidates, room)
    starved = {op: config.scratchpad_bytes // OTHER_WORKING + tensor_of(op.operands[0]).bytes
               for op in operations if needed[op] < config.scratchpad_bytes // OTHER_WORKING
               and _is_padded(op) and all(r.value is not op.operands[0] for r in chosen)}
    if starved:
        room = [config.scratchpad_bytes - starved.get(op, needed[op]) for op in operations]
        chosen = _chosen(candidates, room)
    residency = Residency()
    for resident, depth in chosen.items():
        addresses = residency.constants if resident.is_constant else residency.addresses
        addresses[resident.value] = config.scratchpad_bytes - depth - resident.bytes
    used = _used(chosen, len(operations))
    residency.limits = {op: config.scratchpad_bytes - n
                        for op, n in zip(operations, used, strict=True)}
    return residency


def _chosen(candidates: Sequence[Resident], room: Sequence[int]) -> dict[Resident, int]:
    """Residents for which there is room, with their distances from the top; without buffers,
    which have got their room now."""
    chosen = _improved(candidates, _placed(candidates, {}, room), room)
    return _compact({r: depth for r, depth in chosen.items() if not r.is_buffer}, room)


def _used(chosen: Mapping[Resident, int], operations: int) -> list[int]:
    """Bytes from the top to the lowest resident, at each position."""
    used = [0] * operations
    for resident, depth in chosen.items():
        for position in range(resident.first, resident.last + 1):
            used[position] = max(used[position], depth + resident.bytes)
    return used


def _compact(chosen: dict[Resident, int], room: Sequence[int]) -> dict[Resident, int]:
    """The same residents with as few bytes between and below them as an order of placing gives:
    with long lives first the short ones end up below them, and may take their place over."""
    orders = (sorted(chosen, key=lambda r: (r.first - r.last, r.first)),
              sorted(chosen, key=lambda r: (r.first, -r.bytes)))
    placed = [chosen, *(_placed(order, {}, room) for order in orders)]
    return min((p for p in placed if len(p) == len(chosen)),
               key=lambda p: sum(_used(p, len(room))))


def _placed(residents: Iterable[Resident], others: Mapping[Resident, int], room: Sequence[int]
            ) -> dict[Resident, int]:
    """Those for which there is room, in turn, each with its distance from the top.

    Args:
        others: the same of residents that are in place.
        room: bytes that residents may use at each position.
    """
    chosen = dict(others)
    for resident in residents:
        depth = _depth(resident, chosen)
        if depth + resident.bytes <= min(room[resident.first : resident.last + 1]):
            chosen[resident] = depth
    return chosen


def _improved(candidates: Sequence[Resident], chosen: dict[Resident, int], room: Sequence[int]
              ) -> dict[Resident, int]:
    """Puts in what saves more than the ones that have to go for it: many short lives in a row may
    keep a tensor out that all of them together are not worth."""
    for resident in sorted(candidates, key=lambda r: -r.saved):
        if resident in chosen or resident.bytes > min(room[resident.first : resident.last + 1]):
            continue
        near = {r: depth for r, depth in chosen.items() if r.meets(resident)}
        first = min((r.first for r in near), default=0)
        last = max((r.last for r in near), default=0)
        around = {r: depth for r, depth in chosen.items()
                  if r not in near and r.first <= last and first <= r.last}
        # By gain the best ones come first, in order of birth they lie more densely.
        by_gain = [resident, *sorted(near, key=lambda r: -r.gain)]
        by_birth = sorted([resident, *near], key=lambda r: (r.first, -r.bytes))
        again = max((_placed(order, around, room) for order in (by_gain, by_birth)), key=_saved)
        if resident in again and _saved(again) > _saved(near) + _saved(around):
            chosen = {r: depth for r, depth in chosen.items() if r not in near} | again
    return chosen


def _saved(residents: Iterable[Resident]) -> int:
    return sum(r.saved for r in residents)


def _depth(resident: Resident, chosen: Mapping[Resident, int]) -> int:
    """The least distance from the top at which it overlaps none that lives at the same time; that
    of a value whose place it may share, if no other is in the way."""
    met = {other: depth for other, depth in chosen.items() if other.meets(resident)}
    shared = [met[partner] for partner in met if resident.shares_with(partner) and not any(
        other is not partner and depth < met[partner] + resident.bytes
        and met[partner] < depth + other.bytes for other, depth in met.items())]
    if shared:
        return min(shared)
    taken = sorted((depth, depth + other.bytes) for other, depth in met.items())
    depth = 0
    for first, end in taken:
        if first - depth >= resident.bytes:
            break
        depth = max(depth, end)
    return depth


def working_bytes(op: Operation, config: AcceleratorConfig,
                  resident: Collection[SSAValue] = ()) -> int:
    """What a group usually keeps for its buffers.

    Args:
        resident: values that may be on chip; a product of one needs room for the other factor.
    """
    kind = op.attrs["kind"] if isinstance(op, HloOp) and op.kind == "fused" else ""
    if kind == "dot_general" and any(value in resident for value in op.operands):
        kind = "loop"
    if _is_padded(op) and op.operands[0] in resident:
        return config.scratchpad_bytes // IN_PLACE_WORKING
    return config.scratchpad_bytes // WORKING.get(kind, OTHER_WORKING)


def _is_padded(op: Operation) -> bool:
    """Whether a group is a convolution of what another one has put padding around."""
    if not isinstance(op, HloOp) or op.kind != "fused" or op.attrs["kind"] != "convolution":
        return False
    maker = op.operands[0].owner
    return isinstance(maker, HloOp) and maker.kind == "fused" and maker.attrs["kind"] == "pad"


class _Candidates:
    """Values that all their makers and readers can handle on chip."""

    def __init__(self, operations: Sequence[Operation], config: AcceleratorConfig,
                 parts: dict[SSAValue, SSAValue]) -> None:
        self.config = config
        self.position = {op: n for n, op in enumerate(operations)}
        self.made: dict[SSAValue, list[int]] = {}
        self.read: dict[SSAValue, list[int]] = {}
        self.refused: set[SSAValue] = set()
        self.constants: dict[SSAValue, list[int]] = {}
        self.widths: dict[SSAValue, int] = {}
        self.buffers: list[Resident] = []
        self.moved: Counter[SSAValue] = Counter()
        for number, op in enumerate(operations):
            self._note(number, op, parts)
        self.found = [r for r in map(self._resident, self.made) if r is not None]
        self.found += [self._constant(value, readers) for value, readers in self.constants.items()
                       if len(readers) > 1]
        self.found += self.buffers

    def _note(self, number: int, op: Operation, parts: dict[SSAValue, SSAValue]) -> None:
        readable: set[SSAValue] = set()
        makes = False
        if isinstance(op, HloOp) and op.kind == "fused":
            analysed = analyse(op)
            readable = set(op.operands) - set(_unreadable(analysed, self.config))
            makes = not isinstance(analysed, Movement) or analysed.op.kind in (
                *ON_CHIP, "reduce_window")
            if isinstance(analysed, Contraction):
                for value, width in _constants(analysed, self.config).items():
                    self.constants.setdefault(value, []).append(number)
                    self.widths[value] = max(self.widths.get(value, 0), width)
                self._note_buffer(number, analysed)
            for load in _loads(analysed):
                if load.value not in parts:
                    self.moved[load.value] += _bytes_read(load)
        for value in op.operands:
            whole = parts.get(value, value)
            self.read.setdefault(whole, []).append(number)
            if value not in readable:
                self.refused.add(whole)
        for region in op.regions if not (isinstance(op, HloOp) and op.kind == "fused") else ():
            for inner in region.walk():
                self.refused.update(inner.operands)
        for value in op.results:
            whole = parts.get(value, value)
            self.made.setdefault(whole, []).append(number)
            if value not in parts:
                self.moved[value] += tensor_of(value).bytes
            if not makes:
                self.refused.add(whole)

    def _constant(self, value: SSAValue, readers: Sequence[int]) -> Resident:
        line, tensor = self.config.line_bytes, tensor_of(value)
        size = tensor.size * self.widths[value]
        return Resident(value, readers[0], readers[-1], -(-size // line) * line,
                        tensor.bytes * (len(readers) - 1))

    def _note_buffer(self, number: int, contraction: Contraction) -> None:
        weights = contraction.rhs.value
        again = _loaded_again(contraction, self.config)
        if again:
            self.buffers.append(Resident(weights, number, number, tensor_of(weights).bytes, again,
                                         is_buffer=True))

    def _resident(self, value: SSAValue) -> Resident | None:
        if value in self.refused or value not in self.read:
            return None
        line = self.config.line_bytes
        size = -(-max(tensor_of(value).bytes, 1) // line) * line
        readers = self.read[value]
        owner = value.owner
        shared = tuple(overwritten(owner)) if isinstance(owner, HloOp) else ()
        return Resident(value, min(self.made[value]), max(readers), size, self.moved[value],
                        shared)


def _loads(analysed: Loop | Contraction | Movement) -> Iterator[Load]:
    """The tensors that a group reads; each access once."""
    if isinstance(analysed, Movement):
        nodes: Iterable[object] = analysed.operands
    elif isinstance(analysed, Contraction):
        nodes = (analysed.lhs, analysed.rhs, *analysed.epilogue.nodes)
    else:
        nodes = analysed.nodes
    yield from dict.fromkeys(node for node in nodes if isinstance(node, Load))


def _bytes_read(load: Load) -> int:
    """Bytes of the elements that an access touches, each counted once."""
    view, tensor = load.view, tensor_of(load.value)
    touched = prod(n for n, stride in zip(view.shape, view.strides, strict=True) if stride)
    return min(touched * tensor.element.size, tensor.bytes)


def _unreadable(analysed: Loop | Contraction | Movement, config: AcceleratorConfig
                ) -> Iterator[SSAValue]:
    """Operands that a generator needs in DRAM."""
    if isinstance(analysed, Movement):
        if analysed.op.kind == "reduce_window" and pooling.reads_on_chip(analysed):
            return
        if analysed.op.kind not in ON_CHIP:
            yield from (o.value for o in analysed.operands if isinstance(o, Load))
        return
    loop = analysed if isinstance(analysed, Loop) else analysed.epilogue
    for result in loop.results:
        node = loop.nodes[result.node]
        if isinstance(node, Load) and not node.view.is_whole:
            yield node.value  # a transposing copy goes through DRAM
    if isinstance(analysed, Contraction):
        yield from _unreadable_factors(analysed, config)


def _constants(contraction: Contraction, config: AcceleratorConfig) -> dict[SSAValue, int]:
    """Constants that a contraction may read on chip, with the bytes of an element there: factors,
    which are as narrow as the array takes them, and what its result is combined with."""
    found = {value: min(tensor_of(value).element.size, ElementType.BF16.size)
             for value in _constant_factors(contraction, config)}
    for node in contraction.epilogue.nodes:
        if isinstance(node, Load) and _is_constant(node.value):
            found[node.value] = tensor_of(node.value).element.size
    return found


def _is_constant(value: SSAValue) -> bool:
    return isinstance(value.owner, HloOp) and value.owner.kind == "constant"


def _constant_factors(contraction: Contraction, config: AcceleratorConfig) -> Iterator[SSAValue]:
    """Constants that are multiplied by as they are: those of a grouped convolution only when it is
    depthwise."""
    op = contraction.op
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), config.int8)
    groups = op.attrs.get("feature_group_count", 1)
    as_is = groups in (1, _features(contraction)) and made.parts == (1, 1) and not made.is_folded
    if as_is and _is_constant(contraction.rhs.value):
        yield contraction.rhs.value


def _features(contraction: Contraction) -> int:
    """Input features of a convolution, 1 for a product."""
    if contraction.op.kind == "dot_general":
        return 1
    dimension = contraction.op.attrs["dimension_numbers"]["input_feature_dimension"]
    return contraction.lhs.view.shape[dimension]


def _loaded_again(contraction: Contraction, config: AcceleratorConfig) -> int:
    """Bytes that a convolution of an input too large for the scratchpad loads more than once when
    its weights do not stay: its accumulators hold some of the results' rows at a time, and these
    need all weights, or some of their columns, and these need all of the input."""
    op, source = contraction.op, tensor_of(contraction.lhs.value).bytes
    room = config.scratchpad_bytes - config.scratchpad_bytes // IN_PLACE_WORKING
    if op.kind != "convolution" or source <= room:
        return 0
    features = op.tensor.shape[op.attrs["dimension_numbers"]["output_feature_dimension"]]
    rows, tiles = op.tensor.size // features, -(-features // config.array_cols)
    held = config.accumulator_rows // 2  # the others are being filled
    by_rows = tensor_of(contraction.rhs.value).bytes * (-(-rows * tiles // held) - 1)
    by_columns = source * (-(-tiles // max(held // rows, 1)) - 1)
    return min(by_rows, by_columns)


def _unreadable_factors(contraction: Contraction, config: AcceleratorConfig
                        ) -> Iterator[SSAValue]:
    op = contraction.op
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), config.int8)
    for load, index in ((contraction.lhs, 0), (contraction.rhs, 1)):
        if op.kind == "convolution" and index == 0 and reads_on_chip(contraction, made):
            continue
        if op.kind != "dot_general" or made.parts != (1, 1) or load.element is not made.local \
                or not _suits_array(contraction, index, made):
            yield load.value


def _suits_array(contraction: Contraction, index: int, made: Scheme) -> bool:
    """Whether the array's address patterns reach a factor of a dot_general as it lies."""
    dims, side = contraction.op.attrs["dot_dimension_numbers"], ("lhs", "rhs")[index]
    contracted = dims[f"{side}_contracting_dimensions"]
    view = (contraction.lhs, contraction.rhs)[index].view
    free = free_dimensions(len(view.shape), [*dims[f"{side}_batching_dimensions"], *contracted])
    rows, k = merge(_axes(view, free)), merge(_axes(view, contracted))
    if made.is_folded or k[-1].strides[0] < 0:
        return False
    if index == 0:
        return k[-1].strides[0] == 1 and len(rows) <= LEVELS
    return len(rows) == 1 and (rows[0].strides[0] == 1 or k[-1].strides[0] == 1)


def _axes(view: View, dims: Sequence[int]) -> list[Axis]:
    return [Axis(view.shape[d], (view.strides[d],)) for d in dims] or [Axis(1, (1,))]
