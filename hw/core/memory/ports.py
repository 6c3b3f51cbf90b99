"""The ports of local memory: width, reach and owner of each."""

from dataclasses import dataclass

from hw.config import AcceleratorConfig
from hw.isa.host import Engine

SCRATCHPAD = 1
ACCUMULATORS = 2


@dataclass(frozen=True, kw_only=True)
class Port:
    """One requester. `reach` is a set of SCRATCHPAD and ACCUMULATORS, `engine` its owner."""

    name: str
    width_bytes: int
    reach: int
    engine: Engine

    @property
    def never_refused(self) -> bool:
        return self.engine is Engine.MATRIX and self.reach == ACCUMULATORS


def read_ports(config: AcceleratorConfig) -> list[Port]:
    """Read ports in falling priority: rare ones, then those that cannot catch up, then streams."""
    both = SCRATCHPAD | ACCUMULATORS
    operands = 2 * max(config.array_rows, config.array_cols)
    return [
        Port(name="matrix_read", width_bytes=config.accumulator_row_bytes,
             reach=ACCUMULATORS, engine=Engine.MATRIX),
        Port(name="scalar_read", width_bytes=4, reach=both, engine=Engine.SEQUENCER),
        Port(name="load_index", width_bytes=4, reach=both, engine=Engine.LOAD),
        Port(name="store_index", width_bytes=4, reach=both, engine=Engine.STORE),
        Port(name="store", width_bytes=2 * config.bus_bytes, reach=both, engine=Engine.STORE),
        Port(name="activations", width_bytes=2 * config.array_rows,
             reach=SCRATCHPAD, engine=Engine.MATRIX),
        Port(name="weights", width_bytes=operands, reach=SCRATCHPAD, engine=Engine.MATRIX),
        *(Port(name=f"stream{i}", width_bytes=4 * config.lanes, reach=both, engine=Engine.VECTOR)
          for i in range(4)),
    ]


def write_ports(config: AcceleratorConfig) -> list[Port]:
    """Write ports in falling priority; the bus cannot catch up a lost cycle, so load is early."""
    both = SCRATCHPAD | ACCUMULATORS
    return [
        Port(name="matrix_write", width_bytes=config.accumulator_row_bytes,
             reach=ACCUMULATORS, engine=Engine.MATRIX),
        Port(name="scalar_write", width_bytes=4, reach=both, engine=Engine.SEQUENCER),
        Port(name="load", width_bytes=2 * config.bus_bytes, reach=SCRATCHPAD, engine=Engine.LOAD),
        *(Port(name=f"stream_out{i}", width_bytes=4 * config.lanes, reach=both,
               engine=Engine.VECTOR) for i in range(2)),
    ]
