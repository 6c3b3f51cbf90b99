"""The registry: what an operation is, and how one is added.

An operation is one class in one file: its name, its type rule, its meaning in numpy and how it
becomes code. `@register` enters it. A package outside this repository does the same in a module
named by its entry point of the group `isthmus.operations`.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, ClassVar, TypeVar

from numpy.typing import NDArray

from compiler.ir.attributes import Attrs
from compiler.ir.types import Tensor

ENTRY_POINTS = "isthmus.operations"
"""Entry points of this group name modules that register operations when imported."""

NdArray = NDArray[Any]
Region = Callable[..., Sequence[NdArray]]
"""A region as a function of arrays; element-wise regions broadcast over any shape."""


class TypeRuleError(ValueError):
    """Operands, attributes or results that do not fit together; says how."""


class UnsupportedError(ValueError):
    """A valid operation that this compiler cannot build; says why and what to do."""


@dataclass(frozen=True)
class Call:
    """One use of an operation, without its values.

    `results` is empty when an operation is being built and its type rule is to give them.
    """

    operands: tuple[Tensor, ...]
    results: tuple[Tensor, ...] = ()
    attrs: Attrs = field(default_factory=dict)
    regions: tuple[Region, ...] = ()

    @property
    def result(self) -> Tensor:
        return self.results[0]


class Abstract(ABCMeta):
    """Of abstract classes that others are derived from, never registered with: `isinstance`, which
    the passes ask all the time, is as fast as for any class."""

    __instancecheck__ = type.__instancecheck__


class Operation(metaclass=Abstract):
    """Type rule and numpy meaning of an operation.

    Class attributes:
        name: StableHLO's name without dialect; `hlo.<name>` in the IR.
        dialect: the dialect the name comes from.
        needs_template: it becomes code by a template of its own (`register_template`), not as
            part of a loop, contraction or control flow.
    """

    name: ClassVar[str]
    dialect: ClassVar[str] = "stablehlo"
    needs_template: ClassVar[bool] = True

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (type(self).__doc__ or "").strip().splitlines()[0]

    @abstractmethod
    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        """Types of the results; may read `call.results` for what operands do not determine.

        Raises:
            TypeRuleError: the operands or attributes do not fit together.
        """

    @abstractmethod
    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        """The results as numpy arrays of the result types."""

    def check_supported(self, call: Call) -> None:
        """Raises UnsupportedError for a valid use that cannot become code."""

    def verify(self, call: Call) -> None:
        """Raises TypeRuleError unless the declared results are those of the type rule."""
        expected = self.result_types(call)
        if expected != call.results:
            raise TypeRuleError(
                f"{self.name}: result types are {_types(call.results)}, not {_types(expected)}"
            )


def _types(tensors: Sequence[Tensor]) -> str:
    return ", ".join(str(t) for t in tensors) or "none"


def require(condition: bool, message: str) -> None:
    """Type rules state what must hold, one line each."""
    if not condition:
        raise TypeRuleError(message)


_OPERATIONS: dict[str, Operation] = {}
_TEMPLATES: dict[str, Callable[..., Any]] = {}

OperationClass = TypeVar("OperationClass", bound=type[Operation])
Template = TypeVar("Template", bound=Callable[..., Any])


def register(operation: OperationClass) -> OperationClass:
    """Class decorator: enters an operation.

    Raises:
        ValueError: the name is taken.
    """
    if operation.name in _OPERATIONS:
        raise ValueError(f"operation {operation.name} is registered twice")
    _OPERATIONS[operation.name] = operation()
    return operation


def register_template(name: str) -> Callable[[Template], Template]:
    """Function decorator: the code template of an operation that needs one.

    It is called as `template(context, movement)` with `compiler.codegen.context.Context` and
    `compiler.ir.loops.Movement`, and appends the operation's commands to the context.
    """
    def enter(function: Template) -> Template:
        if name in _TEMPLATES:
            raise ValueError(f"operation {name} has two code templates")
        _TEMPLATES[name] = function
        return function
    return enter


def operations() -> Mapping[str, Operation]:
    """Every registered operation by name."""
    return _OPERATIONS


def lookup(name: str) -> Operation | None:
    return _OPERATIONS.get(name)


def template(name: str) -> Callable[..., Any] | None:
    """The code template registered for an operation, if any."""
    return _TEMPLATES.get(name)


@cache
def load_extensions() -> tuple[str, ...]:
    """Imports the modules of all `isthmus.operations` entry points, once; returns their names."""
    points = sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    for point in points:
        point.load()
    return tuple(point.name for point in points)
