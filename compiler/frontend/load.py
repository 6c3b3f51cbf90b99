"""The front end's one entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxlib.mlir import ir
from numpy.typing import ArrayLike, NDArray
from xdsl.dialects.builtin import ModuleOp

from compiler.errors import CompileError, Location
from compiler.frontend.attributes import value as attribute_value
from compiler.frontend.importer import Importer, function_table
from compiler.frontend.locations import input_places, operations_in_order, producer_name
from compiler.frontend.reader import open_source, parse
from compiler.ir.ops import main_function
from compiler.ir.types import ElementType, Tensor, from_mlir
from compiler.ops.registry import load_extensions


@dataclass(frozen=True)
class Argument:
    """An argument of `@main` that is left after binding.

    Attributes:
        name: the producer's name for it, or `arg<index>` with its index in the input.
        tensor: its type.
        alias: index of the result that takes its buffer, from `tf.aliasing_output`.
        donated: its buffer may be reused, from `jax.buffer_donor` or an alias.
    """

    name: str
    tensor: Tensor
    alias: int | None = None
    donated: bool = False


@dataclass(frozen=True)
class Model:
    """A model in the IR, and what the program's interface needs to know about it.

    Attributes:
        module: the IR.
        arguments: of `@main`, in order.
        results: types of `@main`'s results, in order.
        result_names: the producer's names, or `out<index>`.
        narrowed: one line for each tensor narrowed from 64 to 32 bits.
    """

    module: ModuleOp
    arguments: tuple[Argument, ...]
    results: tuple[Tensor, ...]
    result_names: tuple[str, ...]
    narrowed: tuple[str, ...]


def load(module: str | bytes | Path, *, bind: Mapping[str, ArrayLike] | None = None,
         narrow_64: bool = False) -> Model:
    """Reads a StableHLO module.

    Args:
        module: text, bytes (text, MLIR bytecode or portable artifact), or a path to either.
        bind: arrays for arguments of `@main`, by name or `arg<index>`; they become constants.
        narrow_64: replace 64-bit types by 32-bit ones instead of refusing them.

    Raises:
        CompileError: unreadable input, invalid StableHLO, or anything unsupported in it.
    """
    load_extensions()
    source = open_source(module)
    parsed = parse(source)
    functions = dict(function_table(parsed))
    if "main" not in functions:
        raise CompileError("the module has no function @main", Location(source.name))
    places = {op.operation: place for op, place in
              zip(operations_in_order(parsed.operation), input_places(source, parsed),
                  strict=True)}
    names = _argument_names(functions["main"])
    importer = Importer(functions, places, narrow_64, {})
    importer.bound = _bound_arrays(importer, names, bind or {})
    built = importer.module()
    results = tuple(from_mlir(t) for t in main_function(built).function_type.outputs.data)
    return Model(built, _arguments(importer, names), results,
                 _result_names(functions["main"], len(results)),
                 tuple(dict.fromkeys(importer.narrowed)))


def _argument_names(main: ir.OpView) -> list[str]:
    """The producer's names; `arg<index>` where there is none."""
    arguments = main.regions[0].blocks[0].arguments
    return [producer_name(a.location) or f"arg{i}" for i, a in enumerate(arguments)]


def _bound_arrays(importer: Importer, names: list[str],
                  bind: Mapping[str, ArrayLike]) -> dict[int, NDArray[Any]]:
    """Constants by argument index, checked against the arguments' types."""
    main = importer.functions["main"]
    arguments = main.regions[0].blocks[0].arguments
    place = importer.place(main)
    index = {f"arg{i}": i for i in range(len(names))} | {n: i for i, n in enumerate(names)}
    bound = {}
    for key, given in bind.items():
        if key not in index:
            raise CompileError(f"bind: there is no argument {key}; the arguments are "
                               f"{', '.join(names)}", place)
        tensor = importer.tensor(arguments[index[key]].type, place, f"argument {key}")
        bound[index[key]] = _checked(key, np.asarray(given), tensor, place)
    return bound


def _checked(key: str, array: NDArray[Any], tensor: Tensor, place: Location) -> NDArray[Any]:
    """The array in the argument's type: exactly that type, or its 64-bit counterpart."""
    try:
        element = ElementType.of_numpy(array.dtype).narrowed
    except ValueError as error:
        raise CompileError(f"bind: {key}: {error}", place) from error
    if (array.shape, element) != (tensor.shape, tensor.element):
        raise CompileError(f"bind: {key} has shape {list(array.shape)} and type {array.dtype}, "
                           f"the argument is {tensor}", place)
    return array.astype(tensor.element.numpy)


def _arguments(importer: Importer, names: list[str]) -> tuple[Argument, ...]:
    main = importer.functions["main"]
    attributes = attribute_value(main.attributes["arg_attrs"]) if (
        "arg_attrs" in main.attributes) else [{}] * len(names)
    place = importer.place(main)
    return tuple(
        Argument(
            name=names[i],
            tensor=importer.tensor(argument.type, place, f"argument {i}"),
            alias=attributes[i].get("tf.aliasing_output"),
            donated=bool(attributes[i].get("jax.buffer_donor"))
            or "tf.aliasing_output" in attributes[i],
        )
        for i, argument in enumerate(main.regions[0].blocks[0].arguments)
        if i not in importer.bound
    )


def _result_names(main: ir.OpView, count: int) -> tuple[str, ...]:
    attributes = attribute_value(main.attributes["res_attrs"]) if (
        "res_attrs" in main.attributes) else [{}] * count
    return tuple(attributes[i].get("jax.result_info") or f"out{i}" for i in range(count))
