"""Random parameters of streams that stay inside of a region."""

import random

from hw.config import AcceleratorConfig
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.isa.dtypes import DType
from hw.isa.host import Engine
from hw.isa.params import LEVELS, StreamParam, input_stream
from hw.isa.state import MASK32, MachineState
from verif.build import pack

Parameters = dict[StreamParam, int]


def random_nest(config: AcceleratorConfig, region: range, *, is_output: bool) -> Parameters:
    """A stream of any kind of a few dozen groups; some have none."""
    dtype = DType(random.randrange(8 if is_output else 9))
    size, lanes = dtype.size, config.lanes
    while True:
        bounds = [random.choice([1, 1, 2, 3, 5]) for _ in range(LEVELS)]
        strides = [size * random.randint(-3 * lanes, 3 * lanes) for _ in range(LEVELS)]
        stride0 = random.choice([size, size, 0, -size, 3 * size, size * random.randint(-5, 5)])
        steps = [(bounds[i] - 1) * strides[i] for i in range(LEVELS)] + [(lanes - 1) * stride0]
        low, high = sum(min(s, 0) for s in steps), sum(max(s, 0) for s in steps) + size
        if high - low <= len(region):
            break
    level = random.randint(0, LEVELS)
    most = lanes * (bounds[level - 1] if level else 1)
    if random.random() < 0.05:
        bounds[random.randrange(LEVELS)] = 0
    start = random.randrange(region.start - low, region.stop - high + 1)
    return {
        StreamParam.BASE: start // size * size, StreamParam.STRIDE0: stride0,
        StreamParam.N0: random.randint(-1, most + 2), StreamParam.LANE_LEVEL: level,
        StreamParam.TYPE: dtype, StreamParam.FILL: random.getrandbits(32),
        StreamParam.SATURATE: random.choice([0, 1, 1 << 20]),
        **(_bounds() if is_output else {}),
        **{StreamParam(StreamParam.BOUND1 + i): bounds[i] for i in range(LEVELS)},
        **{StreamParam(StreamParam.STRIDE1 + i): strides[i] for i in range(LEVELS)},
    }


def _bounds() -> Parameters:
    """Of a clamp, in either order, NaN among them."""
    def bound() -> int:
        return random.choice([0xBF800000, 0x80000000, 0, 1, 0x40C00000, 0xC2C80000, 0x42C80000,
                              0xFF800000, 0x7F800000, 0x7FC00000, random.getrandbits(32)])
    return {StreamParam.LOW: bound(), StreamParam.HIGH: bound()}


def to_vector(parameters: Parameters) -> int:
    return pack(STREAM_PARAMETERS, {p.name.lower(): v for p, v in parameters.items()})


def to_machine(machine: MachineState, number: int, parameters: Parameters) -> None:
    for parameter, value in parameters.items():
        machine.params[Engine.VECTOR][input_stream(number, parameter)] = value & MASK32
