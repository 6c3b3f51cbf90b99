"""From the parsed StableHLO module to the IR, calls inlined."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxlib.mlir import ir
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from compiler.errors import CompileError, Location
from compiler.frontend.attributes import constant_values, operation_attributes, value
from compiler.frontend.locations import producer_name
from compiler.ir.attributes import Attrs
from compiler.ir.ops import constant, make
from compiler.ir.types import ElementType, Tensor
from compiler.ops import registry, unsupported

INPUT_DIALECTS = ("stablehlo.", "chlo.")
FOREIGN_PREFIXES = ("chlo.", "mhlo.")
"""Older exporters and portable artifacts wrap operations of these dialects in calls."""
IDENTITY_CALLS = frozenset((
    "Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "LayoutConstraint",
    "annotate_device_placement",
))
"""Custom calls that only annotate their operand."""
CALL_ATTRIBUTES = ("backend_config", "mhlo.backend_config", "mhlo.attributes")
"""Where a custom call's attributes are: in StableHLO, from `jax.ffi`, of a wrapped operation."""

Values = dict[ir.Value, SSAValue]


@dataclass
class Importer:
    """Builds the IR of one module.

    Attributes:
        functions: every function of the module by name.
        places: line and column of every operation.
        narrow_64: 64-bit types become 32-bit ones; refused otherwise.
        bound: constants by argument index of `@main`.
        narrowed: one line for each tensor that was narrowed.
    """

    functions: Mapping[str, ir.OpView]
    places: Mapping[ir.Operation, Location]
    narrow_64: bool
    bound: Mapping[int, NDArray[Any]]
    narrowed: list[str] = field(default_factory=list)
    _calls: list[str] = field(default_factory=list)
    _tensors: dict[ir.Type, Tensor] = field(default_factory=dict)

    def module(self) -> ModuleOp:
        """The whole module.

        Raises:
            CompileError: anything in it cannot become IR.
        """
        main = self.functions["main"]
        arguments = list(main.regions[0].blocks[0].arguments)
        types = [self.tensor(a.type, self.place(main), f"argument {i}")
                 for i, a in enumerate(arguments)]
        free = [i for i in range(len(arguments)) if i not in self.bound]
        block = Block(arg_types=[types[i].to_mlir() for i in free])
        values: Values = dict(zip((arguments[i] for i in free), block.args, strict=True))
        for i, array in self.bound.items():
            op = constant(array, Location(self.place(main).file, name=f"bound argument {i}"))
            block.add_op(op)
            values[arguments[i]] = op.results[0]
        results = self.block(main.regions[0].blocks[0], block, values)
        block.add_op(ReturnOp(*results))
        function = FuncOp("main", ([types[i].to_mlir() for i in free],
                                   [value.type for value in results]), Region(block))
        return ModuleOp([function])

    def block(self, source: ir.Block, target: Block, values: Values) -> list[SSAValue]:
        """Appends a block's operations to another block; returns what its terminator names."""
        *operations, terminator = source.operations
        for op in operations:
            results = self.operation(op, target, values)
            values.update(zip(op.results, results, strict=True))
        return [values[v] for v in terminator.operands]

    def operation(self, op: ir.OpView, target: Block, values: Values) -> Sequence[SSAValue]:
        """Appends what an operation becomes; returns its results."""
        name = op.operation.name
        operands = [values[v] for v in op.operands]
        if name in ("func.call", "call"):
            return self.call(op.attributes["callee"].value, op, operands, target)
        place = self.place(op)
        types = [self.tensor(r.type, place, name) for r in op.results]
        if name == "stablehlo.constant":
            return self.constant(op, types[0], target)
        if name == "stablehlo.composite":
            return self.composite(op, operands, types, target)
        if name == "stablehlo.custom_call":
            return self.custom_call(op, operands, types, target)
        kind = self.kind(op)
        regions = [self.region(r, values) for r in op.regions]
        new = make(kind, operands, types, operation_attributes(op), regions=regions,
                   location=place)
        target.add_op(new)
        return new.results

    def kind(self, op: ir.OpView) -> str:
        """Registered name of an operation of the input."""
        name = op.operation.name
        for prefix in INPUT_DIALECTS:
            kind = name.removeprefix(prefix)
            if kind != name and registry.lookup(kind) is not None:
                return kind
        raise CompileError(unsupported.message(name), self.place(op))

    def region(self, source: ir.Region, values: Values) -> Region:
        (block,) = source.blocks
        inner = dict(values)
        types = [self.tensor(a.type, self.place(block.owner), "region argument")
                 for a in block.arguments]
        target = Block(arg_types=[t.to_mlir() for t in types])
        inner.update(zip(block.arguments, target.args, strict=True))
        results = self.block(block, target, inner)
        target.add_op(make("return", results, (), location=self.place(block.owner)))
        return Region(target)

    def call(self, callee: str, op: ir.OpView, operands: Sequence[SSAValue],
             target: Block) -> Sequence[SSAValue]:
        """Inlines a function."""
        if callee not in self.functions:
            raise CompileError(f"function @{callee} is not defined in the module", self.place(op))
        if callee in self._calls:
            raise CompileError(f"function @{callee} calls itself: use stablehlo.while",
                               self.place(op))
        (block,) = self.functions[callee].regions[0].blocks
        self._calls.append(callee)
        results = self.block(block, target, dict(zip(block.arguments, operands, strict=True)))
        self._calls.pop()
        return results

    def constant(self, op: ir.OpView, tensor: Tensor, target: Block) -> Sequence[SSAValue]:
        """A splat becomes a broadcast scalar, which costs neither memory nor instructions."""
        place = self.place(op)
        original = ElementType.of_name(str(ir.RankedTensorType(op.results[0].type).element_type))
        try:
            values = constant_values(op.attributes["value"], original)
        except ValueError as error:
            raise CompileError(f"{error}; print the model with its constants inline",
                               place) from error
        scalar = constant(self.fitted(values, tensor.element, place), place)
        target.add_op(scalar)
        if values.shape == tensor.shape:
            return scalar.results
        whole = make("broadcast_in_dim", scalar.results, (tensor,),
                     {"broadcast_dimensions": ()}, location=place)
        target.add_op(whole)
        return whole.results

    def fitted(self, values: NDArray[Any], element: ElementType,
               place: Location) -> NDArray[Any]:
        """Narrowed values; integers that do not fit are refused."""
        with np.errstate(over="ignore"):
            narrow = values.astype(element.numpy)
        if not element.is_float and not np.array_equal(narrow, values):
            raise CompileError(f"constant does not fit {element} under narrow-64", place)
        return narrow

    def composite(self, op: ir.OpView, operands: Sequence[SSAValue], types: Sequence[Tensor],
                  target: Block) -> Sequence[SSAValue]:
        """A registered operation of the composite's name, or else its decomposition."""
        attrs = operation_attributes(op)
        kind = self.registered(attrs["name"])
        if kind is None:
            return self.call(attrs["decomposition"], op, operands, target)
        return self.checked(kind, op, operands, types, attrs.get("composite_attributes", {}),
                            target)

    def custom_call(self, op: ir.OpView, operands: Sequence[SSAValue], types: Sequence[Tensor],
                    target: Block) -> Sequence[SSAValue]:
        name = operation_attributes(op)["call_target_name"]
        if name in IDENTITY_CALLS:
            return operands
        kind = self.registered(name)
        if kind is None:
            raise CompileError(
                f"custom call @{name} is unknown: register an operation of that name (entry "
                f"point group {registry.ENTRY_POINTS}) or express it in StableHLO",
                self.place(op))
        given = [value(op.attributes[place]) for place in CALL_ATTRIBUTES if place in op.attributes]
        attrs = next((config for config in given if isinstance(config, dict)), {})
        return self.checked(kind, op, operands, types, attrs, target)

    def checked(self, kind: str, op: ir.OpView, operands: Sequence[SSAValue],
                types: Sequence[Tensor], attrs: Attrs, target: Block) -> Sequence[SSAValue]:
        """Appends a registered operation whose types no reader has verified."""
        new = make(kind, operands, types, attrs, location=self.place(op))
        try:
            new.definition.verify(new.call)
        except registry.TypeRuleError as error:
            raise CompileError(str(error), self.place(op)) from error
        target.add_op(new)
        return new.results

    def registered(self, name: str) -> str | None:
        """The registered operation a composite or custom call names."""
        for kind in (name, *(name.removeprefix(p) for p in FOREIGN_PREFIXES)):
            if registry.lookup(kind) is not None:
                return kind
        return None

    def tensor(self, type_: ir.Type, place: Location, what: str) -> Tensor:
        """A tensor type of the IR.

        Raises:
            CompileError: not a ranked tensor of static shape and supported element type.
        """
        if type_ in self._tensors:
            return self._tensors[type_]
        if not isinstance(type_, ir.RankedTensorType):
            raise CompileError(f"{what}: type {type_} is not supported: only ranked tensors are",
                               place)
        if not type_.has_static_shape:
            raise CompileError(f"{what}: dynamic dimension in {type_} is not supported: export "
                               "the model with static shapes", place)
        try:
            element = ElementType.of_name(str(type_.element_type))
        except ValueError as error:
            known = ", ".join(str(e) for e in ElementType if e.bits < 64)
            raise CompileError(f"{what}: {error}: convert to one of {known}", place) from error
        if 0 in type_.shape:
            raise CompileError(f"{what}: {type_} has no elements: remove it from the model", place)
        tensor = Tensor(tuple(type_.shape), self.narrow(element, place, what))
        if tensor.element is element:
            self._tensors[type_] = tensor
        return tensor

    def narrow(self, element: ElementType, place: Location, what: str) -> ElementType:
        if element.narrowed is element:
            return element
        if not self.narrow_64:
            raise CompileError(f"{what}: 64-bit type {element} is not supported: use "
                               f"{element.narrowed}, or pass --narrow-64 to have it narrowed",
                               place)
        self.narrowed.append(f"{place}: {what}: {element} -> {element.narrowed}")
        return element.narrowed

    def place(self, op: Any) -> Location:
        """Place of an operation in the input, with its producer's name."""
        operation = op.operation
        base = self.places.get(operation, Location())
        return Location(base.file, base.line, base.column, producer_name(operation.location))


def function_table(module: ir.Module) -> Iterator[tuple[str, ir.OpView]]:
    """(name, function) of every function in the module."""
    for op in module.body.operations:
        if op.operation.name == "func.func":
            yield op.attributes["sym_name"].value, op
