"""Which tensors stay on chip between the groups that make and use them.

A resident tensor lies in the scratchpad from the group that makes it to the last one that reads
it. Residents are placed from the top down, ahead of code generation; below the lowest one live,
generators rotate their buffers. Every group keeps some room for those, or its loads could not run
ahead. Of the tensors that compete for room those win that save the most DRAM traffic for the time
they occupy it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Block, Operation, SSAValue

from compiler.codegen.parts import is_padded
from compiler.codegen.residents import IN_PLACE_WORKING, OTHER_WORKING, Resident
from compiler.ir.ops import HloOp
from compiler.ir.types import tensor_of
from compiler.passes.column_slices import WORKING as SLICE_WORKING
from hw.config import AcceleratorConfig

WORKING = {"dot_general": 4, "convolution": 4, "loop": 8, "concatenate": 8, "pad": 8,
           "slice": SLICE_WORKING}
"""What share of the scratchpad a group keeps for its buffers, as divisor."""


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
    wanted = list(map(_factor_bytes, operations))
    chosen = _chosen(candidates, room, wanted)
    starved = {op: config.scratchpad_bytes // OTHER_WORKING + tensor_of(op.operands[0]).bytes
               for op in operations if needed[op] < config.scratchpad_bytes // OTHER_WORKING
               and is_padded(op) and all(r.value is not op.operands[0] for r in chosen)}
    if starved:
        room = [config.scratchpad_bytes - starved.get(op, needed[op]) for op in operations]
        chosen = _chosen(candidates, room, wanted)
    residency = Residency()
    for resident, depth in chosen.items():
        addresses = residency.constants if resident.is_constant else residency.addresses
        addresses[resident.value] = config.scratchpad_bytes - depth - resident.bytes
    used = _used(chosen, 0, len(operations))
    residency.limits = {op: config.scratchpad_bytes - n
                        for op, n in zip(operations, used, strict=True)}
    return residency


def _chosen(candidates: Sequence[Resident], room: Sequence[int], wanted: Sequence[int]
            ) -> dict[Resident, int]:
    """Residents for which there is room, with their distances from the top; without buffers,
    which have got their room now.

    Args:
        room: bytes that residents may use at each position; `wanted`: those that the operation
            could use of these to load nothing twice.
    """
    chosen = _improved(candidates, _placed(candidates, {}, room), room)
    return _compact({r: depth for r, depth in chosen.items() if not r.is_buffer}, room, wanted)


def _used(chosen: Mapping[Resident, int], first: int, end: int) -> list[int]:
    """Bytes from the top to the lowest resident, at each of some positions."""
    used = [0] * (end - first)
    for resident, depth in chosen.items():
        for position in range(resident.first - first, resident.last - first + 1):
            used[position] = max(used[position], depth + resident.bytes)
    return used


def _compact(chosen: dict[Resident, int], room: Sequence[int], wanted: Sequence[int]
             ) -> dict[Resident, int]:
    """The same residents with as few bytes between and below them as an order of placing gives:
    with long lives first the short ones end up below them, and may take their place over; with
    large ones first those that follow each other alternate between two places."""
    compacted: dict[Resident, int] = {}
    for together in _apart(chosen):
        orders = (sorted(together, key=lambda r: (r.first - r.last, r.first)),
                  sorted(together, key=lambda r: (r.first, -r.bytes)),
                  sorted(together, key=lambda r: (-r.bytes, r.first)))
        placed: list[dict[Resident, int]] = [
            {r: chosen[r] for r in together}, *(_placed(order, {}, room) for order in orders)]
        best: dict[Resident, int] = min((p for p in placed if len(p) == len(together)),
                                        key=lambda p: _area(p, room, wanted))
        compacted.update(best)
    return compacted


def _area(placed: dict[Resident, int], room: Sequence[int], wanted: Sequence[int]
          ) -> tuple[int, int]:
    """Bytes that operations miss to hold a factor, and those from the top to the lowest resident,
    summed over the positions."""
    first = min(r.first for r in placed)
    used = _used(placed, first, max(r.last for r in placed) + 1)
    missing = (n + more - room[position] for position, (n, more) in enumerate(
        zip(used, wanted[first : first + len(used)], strict=True), first) if more)
    return sum(n for n in missing if n > 0), sum(used)


def _apart(residents: Iterable[Resident]) -> Iterator[list[Resident]]:
    """Sets of residents that no other one meets."""
    together: list[Resident] = []
    last = -1
    for resident in sorted(residents, key=lambda r: r.first):
        if together and resident.first > last:
            yield together
            together = []
        together.append(resident)
        last = max(last, resident.last)
    if together:
        yield together


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
        # By gain the best ones come first, in order of birth they lie more densely. By room those
        # that have the least come first, and others go below them where there is more. With large
        # ones first the small ones share the gaps between them.
        by_gain = [resident, *sorted(near, key=lambda r: -r.gain)]
        by_birth = sorted([resident, *near], key=lambda r: (r.first, -r.bytes))
        by_room = [resident, *sorted(near, key=lambda r: (
            min(room[r.first : r.last + 1]), -r.gain))]
        by_bytes = sorted([resident, *near], key=lambda r: (-r.bytes, r.first))
        again = _best((by_gain, by_birth, by_room, by_bytes), around, room)
        if resident in again and _saved(again) > _saved(near) + _saved(around):
            chosen = {r: depth for r, depth in chosen.items() if r not in near} | again
    return chosen


def _best(orders: Iterable[Sequence[Resident]], others: Mapping[Resident, int],
          room: Sequence[int]) -> dict[Resident, int]:
    """What the order that saves most has room for: the first one that has room for all is it."""
    best: dict[Resident, int] = {}
    for order in orders:
        placed = _placed(order, others, room)
        if _saved(placed) > _saved(best):
            best = placed
        if len(placed) == len(order) + len(others):
            break
    return best


def _saved(residents: Iterable[Resident]) -> int:
    return sum(r.saved for r in residents)


def _depth(resident: Resident, chosen: Mapping[Resident, int]) -> int:
    """The least distance from the top at which it overlaps none that lives at the same time; that
    of a value whose place it may share, if no other is in the way."""
    first, last = resident.first, resident.last
    # `meets`, for thousands of pairs.
    met = {other: depth for other, depth in chosen.items()
           if other.first <= last and first <= other.last}
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


def _is_slice(op: Operation) -> bool:
    """Whether a product makes some columns of a value twice (`column_slices`), or multiplies by
    them: they were cut to leave just the room that they need."""
    makers = (op, *(value.owner for value in op.operands))
    return any(isinstance(maker, HloOp) and maker.kind == "fused" and len(maker.results) > 1
               and maker.attrs["kind"] == "dot_general" for maker in makers)


def working_bytes(op: Operation, config: AcceleratorConfig,
                  resident: Collection[SSAValue] = ()) -> int:
    """What a group usually keeps for its buffers.

    Args:
        resident: values that may be on chip; a product of one needs room for the other factor.
    """
    kind = op.attrs["kind"] if isinstance(op, HloOp) and op.kind == "fused" else ""
    if kind == "dot_general" and any(value in resident for value in op.operands):
        kind = "slice" if _is_slice(op) else "loop"
    if is_padded(op) and op.operands[0] in resident:
        return config.scratchpad_bytes // IN_PLACE_WORKING
    return config.scratchpad_bytes // WORKING.get(kind, OTHER_WORKING)


def _factor_bytes(op: Operation) -> int:
    """Of the smaller factor of a product, which loads no other one twice while it holds that; 0 for
    other operations."""
    if not isinstance(op, HloOp) or op.kind != "fused" or op.attrs["kind"] != "dot_general":
        return 0
    return min(tensor_of(value).bytes for value in op.operands[:2])
