"""Accelerator configurations: what the hardware/software boundary is made of.

Every feature of the machine that can be moved across the boundary is a field
here. Hardware, compiler and simulators read the same frozen object, and its
fingerprint ties a compiled program to the machine it was compiled for.
"""

import dataclasses
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIB = 1024


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names the field."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """One machine. All sizes are powers of two; units are in the names.

    Raises:
        ConfigError: when a field is outside what the hardware can build.
    """

    name: str
    array_rows: int
    """R: the k extent of a weight tile."""
    array_cols: int
    """C: the n extent of a weight tile, and the width of an accumulator row."""
    lanes: int
    """L: 32-bit lanes of the vector unit."""
    strip_groups: int
    """G: groups of L elements that one vector register holds; hides the lane latency."""
    scratchpad_bytes: int
    scratchpad_banks: int
    accumulator_bytes: int
    accumulator_banks: int
    bus_bytes: int
    """Width of the AXI4 data bus."""
    int8: bool = True
    """Matrix unit multiplies int8 by int8 into int32; without it the compiler uses bf16."""
    special_function_unit: bool = True
    """exp, log, reciprocal, rsqrt in hardware; without it they are software sequences."""
    sfu_lanes: int = 4
    """Special function results per cycle."""
    queue_depth: int = 64
    """Commands each engine's queue holds."""
    outstanding_bursts: int = 16
    """AXI read bursts the load DMA keeps in flight."""
    icache_bytes: int = 16 * KIB

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            expected = field.type if isinstance(field.type, type) else type(value)
            if type(value) is not expected:
                raise ConfigError(
                    f"config field {field.name}: {value!r} is not {expected.__name__}"
                )
            if type(value) is int and not _is_power_of_two(value):
                raise ConfigError(f"config field {field.name}: {value} is not a power of two")
        self._check_range("array_rows", 2, 64)
        self._check_range("array_cols", 2, 64)
        self._check_range("lanes", 4, 64)
        self._check_range("strip_groups", max(8, self.lanes), 64)
        self._check_range("scratchpad_banks", 4, 32)
        self._check_range("accumulator_banks", 2, 16)
        self._check_range("scratchpad_bytes", self.scratchpad_banks * self.line_bytes, 2**24)
        self._check_range("accumulator_bytes", self.accumulator_banks * self.line_bytes, 2**22)
        # The DMA accesses local memory two beats at a time, and no access is longer than a line.
        self._check_range("bus_bytes", 4, min(64, self.line_bytes // 2))
        self._check_range("sfu_lanes", 1, self.lanes)
        self._check_range("queue_depth", 4, 64)
        self._check_range("outstanding_bursts", 1, 64)
        self._check_range("icache_bytes", 1 * KIB, 256 * KIB)

    def _check_range(self, field: str, low: int, high: int) -> None:
        value = getattr(self, field)
        if not low <= value <= high:
            raise ConfigError(f"config field {field}: {value} is outside {low} to {high}")

    @property
    def line_bytes(self) -> int:
        """Width of one local-memory bank: one 32-bit element per row, column or lane."""
        return 4 * max(self.array_rows, self.array_cols, self.lanes)

    @property
    def scratchpad_lines(self) -> int:
        return self.scratchpad_bytes // self.line_bytes

    @property
    def accumulator_row_bytes(self) -> int:
        return 4 * self.array_cols

    @property
    def accumulator_rows(self) -> int:
        return self.accumulator_bytes // self.accumulator_row_bytes

    @property
    def macs_per_cycle(self) -> int:
        return self.array_rows * self.array_cols

    def __hash__(self) -> int:
        # Tables of what was found for a machine are asked often; few machines share a name.
        return hash(self.name)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def fingerprint(self) -> int:
        """64-bit hash of every field but the name: equal machines have equal fingerprints."""
        fields = {k: v for k, v in self.as_dict().items() if k != "name"}
        text = ",".join(f"{k}={fields[k]}" for k in sorted(fields))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def replace(self, **changes: Any) -> "AcceleratorConfig":
        """A copy with some fields changed; the name tells which unless one is given."""
        if "name" not in changes:
            marks = [f"{k}={v}" for k, v in sorted(changes.items())]
            changes["name"] = "+".join([self.name, *marks])
        return dataclasses.replace(self, **changes)

    def differing_fields(self, other: dict[str, Any]) -> list[str]:
        """Names of the fields, the name excepted, in which `other` differs from this machine."""
        mine = self.as_dict()
        return sorted(k for k in mine.keys() | other.keys()
                      if k != "name" and mine.get(k) != other.get(k))


TINY = AcceleratorConfig(
    name="tiny", array_rows=4, array_cols=4, lanes=4, strip_groups=8,
    scratchpad_bytes=32 * KIB, scratchpad_banks=8,
    accumulator_bytes=4 * KIB, accumulator_banks=4,
    bus_bytes=8, sfu_lanes=1, queue_depth=16, icache_bytes=4 * KIB,
)
FPGA = AcceleratorConfig(
    name="fpga", array_rows=8, array_cols=8, lanes=8, strip_groups=8,
    scratchpad_bytes=128 * KIB, scratchpad_banks=8,
    accumulator_bytes=32 * KIB, accumulator_banks=4,
    bus_bytes=8, sfu_lanes=4, queue_depth=32, icache_bytes=8 * KIB,
)
DEFAULT = AcceleratorConfig(
    name="default", array_rows=16, array_cols=16, lanes=16, strip_groups=16,
    scratchpad_bytes=512 * KIB, scratchpad_banks=32,
    accumulator_bytes=128 * KIB, accumulator_banks=4,
    bus_bytes=16, sfu_lanes=16,
)
LARGE = AcceleratorConfig(
    name="large", array_rows=32, array_cols=32, lanes=32, strip_groups=32,
    scratchpad_bytes=2048 * KIB, scratchpad_banks=32,
    accumulator_bytes=512 * KIB, accumulator_banks=4,
    bus_bytes=32, sfu_lanes=32,
)

NAMED = {config.name: config for config in (TINY, FPGA, DEFAULT, LARGE)}
"""The named instances, plus the two boundary switches of each through `load`."""

SWITCHES: dict[str, dict[str, Any]] = {
    "nosfu": {"special_function_unit": False},
    "noint8": {"int8": False},
}


def load(source: str | Path | AcceleratorConfig) -> AcceleratorConfig:
    """A configuration from its name (`default`, `tiny-nosfu`, ...), a TOML file or itself.

    A TOML file holds the fields; a `base` key names the instance the rest is taken from.

    Raises:
        ConfigError: unknown name, unreadable file, unknown or invalid field.
    """
    if isinstance(source, AcceleratorConfig):
        return source
    text = str(source)
    if text.endswith(".toml"):
        return _load_toml(Path(text))
    base, *switches = text.split("-")
    if base not in NAMED or any(s not in SWITCHES for s in switches):
        raise ConfigError(
            f"unknown config {text!r}: use one of {', '.join(NAMED)}, optionally followed by "
            f"{' or '.join('-' + s for s in SWITCHES)}, or a .toml file"
        )
    config = NAMED[base]
    if not switches:
        return config
    return config.replace(name=text, **{k: v for s in switches for k, v in SWITCHES[s].items()})


def _load_toml(path: Path) -> AcceleratorConfig:
    try:
        fields = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"config file {path}: {error}") from error
    base = fields.pop("base", None)
    fields.setdefault("name", path.stem)
    known = {field.name for field in dataclasses.fields(AcceleratorConfig)}
    if unknown := sorted(fields.keys() - known):
        raise ConfigError(f"config file {path}: unknown field {', '.join(unknown)}")
    if base is not None:
        return load(base).replace(**fields)
    missing = sorted(f.name for f in dataclasses.fields(AcceleratorConfig)
                     if f.default is dataclasses.MISSING and f.name not in fields)
    if missing:
        raise ConfigError(f"config file {path}: missing {', '.join(missing)}; or give a base")
    return AcceleratorConfig(**fields)
