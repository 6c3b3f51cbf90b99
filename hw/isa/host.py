"""What the host sees: registers, error causes, activity counters."""

import enum

IDENTITY = 0x48545349
"""ASCII "ISTH", little-endian."""
VERSION = 1
WINDOWS = 8
SEMAPHORES = 32
SEMAPHORE_MAX = 0xFFFF
LOOP_DEPTH = 8
REGISTERS = 32
ACCUMULATOR_BASE = 0x8000_0000


class Engine(enum.IntEnum):
    SEQUENCER = 0
    LOAD = 1
    STORE = 2
    MATRIX = 3
    VECTOR = 4


class Cause(enum.IntEnum):
    """Why the machine stopped."""

    NONE = 0
    ILLEGAL = 1
    WINDOW = 2
    LOCAL = 3
    MISALIGNED = 4
    SEMAPHORE = 5
    WATCHDOG = 6
    LOOP = 7
    TRAP = 8
    BUS = 9
    FETCH = 10


class Activity(enum.IntEnum):
    """What an engine does in a cycle; each cycle counts as exactly one."""

    IDLE = 0
    """Nothing to do: queue empty, nothing in flight. For the sequencer: halted."""
    BUSY = 1
    """Doing the unit's work: a row, a group, a beat, an instruction."""
    SEMAPHORE = 2
    """Blocked at a `wait`."""
    MEMORY = 3
    """Waiting for operands, a bank, the bus or an instruction fetch."""
    HAZARD = 4
    """Waiting for an accumulator row, a register, weights. For the sequencer: a full queue."""
    OVERHEAD = 5
    """Set-up between pieces of work, parameter writes, drain. For the sequencer: `drain`."""


class Csr(enum.IntEnum):
    """Byte addresses of the 32-bit host registers. Pairs are low word, then high word."""

    IDENTITY = 0x000
    VERSION = 0x004
    FINGERPRINT = 0x008
    """Pair; configuration fingerprint."""
    CONTROL = 0x010
    """Write bit 0: start. Write bit 1: stop (ends the program like an error, cause NONE)."""
    STATUS = 0x014
    """Bit 0 busy, bit 1 done, bit 2 error; start clears done and error."""
    INTERRUPT = 0x018
    """Bit 0 enable, bit 1 pending (write 1 clears). Pending is set by done and by error."""
    CAUSE = 0x01C
    """Bits 3:0 cause, bits 10:8 engine."""
    CAUSE_ADDRESS = 0x020
    """Offset, local address or instruction of the error, by cause."""
    PC = 0x024
    """Instruction the sequencer is at (of the error, for errors of the sequencer)."""
    ENTRY = 0x028
    """First instruction (index, not byte) of the program."""
    CYCLES = 0x030
    """Pair; cycles since start, stopped at done or error."""
    WATCHDOG = 0x038
    """Pair; cycle limit, 0 for none."""
    WINDOWS = 0x100
    """Eight of 16 bytes: base low, base high, size, rights (bit 0 read, bit 1 write)."""
    COUNTERS = 0x200
    """Per engine 8 pairs, one per activity: 0x200 + engine*64 + activity*8."""


WINDOW_STRIDE = 16
COUNTER_STRIDE = 64
