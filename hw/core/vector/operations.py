"""What each operation asks of the lanes and of the issue stage."""

from typing import Any

from amaranth.hdl import Module, Signal, ValueLike
from amaranth.lib import data, enum

from hw.config import AcceleratorConfig
from hw.core.float.multiplier import MultiplyMode
from hw.isa import vector
from hw.isa.encoding import INSTRUCTIONS, Instruction
from hw.isa.host import Engine


class Simple(enum.Enum, shape=4):  # type: ignore[call-arg]
    """Results of the first stage."""

    A = 0
    B = 1
    AND = 2
    OR = 3
    XOR = 4
    SUM = 5
    DIFFERENCE = 6
    LEFT = 7
    RIGHT = 8
    RIGHT_ARITHMETIC = 9
    COMPARE = 10
    MINIMUM = 11
    MAXIMUM = 12
    CHOICE = 13
    """b where a is not zero, else c."""
    PERMUTED = 14


class Relation(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What a comparison asks."""

    EQUAL = 0
    DIFFERENT = 1
    LESS = 2
    LESS_OR_EQUAL = 3


class Order(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What the operands of a comparison are."""

    UNSIGNED = 0
    SIGNED = 1
    FLOAT = 2


class Convert(enum.Enum, shape=4):  # type: ignore[call-arg]
    """Conversions, in the second and third stage."""

    NONE = 0
    TO_SIGNED = 1
    TO_UNSIGNED = 2
    FROM_SIGNED = 3
    FROM_UNSIGNED = 4
    BF16 = 5
    F16 = 6
    FLOOR = 8
    CEIL = 9
    NEAREST = 10
    TRUNC = 11


class Result(enum.Enum, shape=2):  # type: ignore[call-arg]
    """Where the result comes from in the last stage."""

    PASS = 0
    """The first stage, converted."""
    PRODUCT = 1
    SUM = 2
    SPECIAL = 3


class Special(enum.Enum, shape=2):  # type: ignore[call-arg]
    """The special functions."""

    EXP = 0
    RCP = 1
    RSQRT = 2
    LOGM = 3


LANE_CONTROL = data.StructLayout({
    "simple": Simple, "relation": Relation, "order": Order, "convert": Convert,
    "multiply": MultiplyMode, "result": Result, "special": Special,
    "negate": 1, "product_sum": 1,
})
"""negate: the sum is a - b; product_sum: it is c + a*b."""


def _relation(relation: Any, order: Any) -> dict[str, Any]:
    return {"simple": Simple.COMPARE, "relation": relation, "order": order}


def _extremum(simple: Any, order: Any) -> dict[str, Any]:
    return {"simple": simple, "order": order}


def _product(mode: Any) -> dict[str, Any]:
    return {"multiply": mode, "result": Result.PRODUCT}


LANE_CONTROLS: dict[str, dict[str, Any]] = {
    "mov": {},
    "f2i": {"convert": Convert.TO_SIGNED},
    "f2u": {"convert": Convert.TO_UNSIGNED},
    "i2f": {"convert": Convert.FROM_SIGNED},
    "u2f": {"convert": Convert.FROM_UNSIGNED},
    "ffloor": {"convert": Convert.FLOOR},
    "fceil": {"convert": Convert.CEIL},
    "frne": {"convert": Convert.NEAREST},
    "ftrunc": {"convert": Convert.TRUNC},
    "rbf": {"convert": Convert.BF16},
    "rf16": {"convert": Convert.F16},
    "exp": {"result": Result.SPECIAL, "special": Special.EXP},
    "rcp": {"result": Result.SPECIAL, "special": Special.RCP},
    "rsqrt": {"result": Result.SPECIAL, "special": Special.RSQRT},
    "logm": {"result": Result.SPECIAL, "special": Special.LOGM},
    "fadd": {"result": Result.SUM},
    "fsub": {"result": Result.SUM, "negate": 1},
    "fmul": _product(MultiplyMode.FLOAT),
    "fmin": _extremum(Simple.MINIMUM, Order.FLOAT),
    "fmax": _extremum(Simple.MAXIMUM, Order.FLOAT),
    "feq": _relation(Relation.EQUAL, Order.FLOAT),
    "fne": _relation(Relation.DIFFERENT, Order.FLOAT),
    "flt": _relation(Relation.LESS, Order.FLOAT),
    "fle": _relation(Relation.LESS_OR_EQUAL, Order.FLOAT),
    "iadd": {"simple": Simple.SUM},
    "isub": {"simple": Simple.DIFFERENCE},
    "imul": _product(MultiplyMode.LOW),
    "imulh": _product(MultiplyMode.HIGH_SIGNED),
    "umulh": _product(MultiplyMode.HIGH_UNSIGNED),
    "iand": {"simple": Simple.AND},
    "ior": {"simple": Simple.OR},
    "ixor": {"simple": Simple.XOR},
    "shl": {"simple": Simple.LEFT},
    "shr": {"simple": Simple.RIGHT},
    "sar": {"simple": Simple.RIGHT_ARITHMETIC},
    "imin": _extremum(Simple.MINIMUM, Order.SIGNED),
    "imax": _extremum(Simple.MAXIMUM, Order.SIGNED),
    "umin": _extremum(Simple.MINIMUM, Order.UNSIGNED),
    "umax": _extremum(Simple.MAXIMUM, Order.UNSIGNED),
    "ieq": _relation(Relation.EQUAL, Order.UNSIGNED),
    "ine": _relation(Relation.DIFFERENT, Order.UNSIGNED),
    "ilt": _relation(Relation.LESS, Order.SIGNED),
    "ile": _relation(Relation.LESS_OR_EQUAL, Order.SIGNED),
    "ult": _relation(Relation.LESS, Order.UNSIGNED),
    "ule": _relation(Relation.LESS_OR_EQUAL, Order.UNSIGNED),
    "fmac": {"result": Result.SUM, "product_sum": 1},
    "sel": {"simple": Simple.CHOICE},
    "perm": {"simple": Simple.PERMUTED},
    "trans": {"simple": Simple.B},
    "gather": {},
    "scatter": {},
}
"""Fields of `LANE_CONTROL` that are not zero, by mnemonic."""

USAGE = data.StructLayout({
    "body": 1, "legal": 1, "repeat": 1, "a": 1, "b": 1, "c": 1, "d": 1, "swizzled": 1,
    "special": 1, "transpose": 1, "gather": 1, "scatter": 1,
})
"""Whether an opcode belongs in a body, and may in this machine stand there; which operands it
has; what is particular to it."""


def body_instructions() -> dict[str, type[Instruction]]:
    """The instructions of kernels' bodies by mnemonic."""
    return {name: cls for name, cls in INSTRUCTIONS.items()
            if cls.ENGINE is Engine.VECTOR and issubclass(cls, vector.BodyForm)}


def opcode(mnemonic: str) -> int:
    return INSTRUCTIONS[mnemonic].OPCODE


def decode_usage(m: Module, code: ValueLike, config: AcceleratorConfig) -> data.View:
    """The `USAGE` of an opcode, combinational."""
    cases: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for name, cls in body_instructions().items():
        usage = _usage(name, cls)
        usage["legal"] = int(config.special_function_unit or not usage["special"])
        cases.setdefault(tuple(usage.items()), []).append(cls.OPCODE)
    result = Signal(USAGE)
    with m.Switch(code):
        for values, codes in cases.items():
            with m.Case(*codes):
                m.d.comb += result.eq(USAGE.const(dict(values)))
    return result


def _usage(name: str, cls: type[Instruction]) -> dict[str, int]:
    fields = {"a": "va", "b": "vb", "c": "vc", "d": "vd", "swizzled": "swz"}
    return {
        "body": 1, "repeat": int(name == "rep"), "special": int(name in vector.SPECIAL),
        "transpose": int(name == "trans"), "gather": int(name == "gather"),
        "scatter": int(name == "scatter"),
        **{use: int(field in cls.FIELDS) for use, field in fields.items()},
    }


def decode_control(m: Module, code: ValueLike) -> data.View:
    """The `LANE_CONTROL` of an opcode, combinational."""
    control = Signal(LANE_CONTROL)
    with m.Switch(code):
        for name, fields in LANE_CONTROLS.items():
            if fields:
                with m.Case(opcode(name)):
                    m.d.comb += control.eq(LANE_CONTROL.const(fields))
    return control
