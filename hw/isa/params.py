"""Indices of the engines' parameters, as written by `set`."""

import enum


class DmaParam(enum.IntEnum):
    """Parameters of the load and of the store DMA."""

    N0 = 0
    BOUND1, BOUND2, BOUND3, BOUND4 = 1, 2, 3, 4
    DSTRIDE1, DSTRIDE2, DSTRIDE3, DSTRIDE4 = 5, 6, 7, 8
    LSTRIDE1, LSTRIDE2, LSTRIDE3, LSTRIDE4 = 9, 10, 11, 12
    LO0, LO1, LO2, LO3, LO4 = 13, 14, 15, 16, 17
    HI0, HI1, HI2, HI3, HI4 = 18, 19, 20, 21, 22
    PAD = 23
    INDEX_BASE = 24


class MatrixParam(enum.IntEnum):
    """Parameters of the matrix unit."""

    BOUND1, BOUND2, BOUND3, BOUND4 = 0, 1, 2, 3
    ASTRIDE1, ASTRIDE2, ASTRIDE3, ASTRIDE4 = 4, 5, 6, 7
    CSTRIDE1, CSTRIDE2, CSTRIDE3, CSTRIDE4 = 8, 9, 10, 11
    WSTRIDE = 12
    K = 13
    N = 14


class StreamParam(enum.IntEnum):
    """Offsets within the parameters of one vector stream."""

    BASE = 0
    N0 = 1
    STRIDE0 = 2
    LANE_LEVEL = 3
    BOUND1, BOUND2, BOUND3, BOUND4 = 4, 5, 6, 7
    STRIDE1, STRIDE2, STRIDE3, STRIDE4 = 8, 9, 10, 11
    TYPE = 12
    FILL = 13
    LOW = 13
    """Input streams have a fill where output streams have the lower bound of their clamp."""
    SATURATE = 14
    HIGH = 15


_OUTPUT_ONLY = frozenset(("LOW", "SATURATE", "HIGH"))
INPUT_NAMES = {name.lower(): parameter for name, parameter in StreamParam.__members__.items()
               if name not in _OUTPUT_ONLY}
OUTPUT_NAMES = {name.lower(): parameter for name, parameter in StreamParam.__members__.items()
                if name != "FILL"}
"""What means something to streams of each kind, by its name in assembly."""


VECTOR_STRIP = 0
VECTOR_CONSTANTS = 16
VECTOR_STREAMS = 32
STREAM_PARAMS = 16
INPUT_STREAMS = 4
OUTPUT_STREAMS = 2
CONSTANTS = 16
VECTOR_REGISTERS = 16
BODY_LENGTH = 64
"""Longest kernel body, in instructions."""
REP_DEPTH = 4
LEVELS = 4
"""Loop levels of every address pattern, beside its innermost row."""

PARAMETER_COUNT = {1: 25, 2: 25, 3: 15, 4: 128}
"""Parameters of each engine by number; `set` of a higher index is illegal."""


def constant(k: int) -> int:
    """Parameter index of vector constant k."""
    return VECTOR_CONSTANTS + k


def input_stream(stream: int, parameter: StreamParam) -> int:
    """Parameter index of a parameter of input stream 0 to 3."""
    return VECTOR_STREAMS + stream * STREAM_PARAMS + parameter


def output_stream(stream: int, parameter: StreamParam) -> int:
    """Parameter index of a parameter of output stream 0 or 1."""
    return input_stream(INPUT_STREAMS + stream, parameter)
