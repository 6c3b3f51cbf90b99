"""Evaluates the IR with the numpy meaning of every operation.

It shares neither templates nor instruction semantics with the code generator, so it is an
independent check: integers agree bit for bit, floats within rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import tensor_of
from compiler.ops.registry import Call

Values = dict[SSAValue, NDArray[Any]]


def evaluate(module: ModuleOp, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Results of `@main`, before or after fusion.

    Args:
        inputs: one array of the argument's shape and type for each argument.

    Raises:
        ValueError: number, shape or type of the inputs is not the function's.
    """
    block = main_function(module).body.block
    if len(inputs) != len(block.args):
        raise ValueError(f"{len(inputs)} inputs for {len(block.args)} arguments")
    for n, (argument, array) in enumerate(zip(block.args, inputs, strict=True)):
        tensor = tensor_of(argument)
        if (array.shape, array.dtype) != (tensor.shape, tensor.element.numpy):
            raise ValueError(f"input {n} is {array.dtype}{list(array.shape)}, not {tensor}")
    return _run(block, dict(zip(block.args, inputs, strict=True)))


def _run(block: Block, values: Values) -> list[NDArray[Any]]:
    *operations, terminator = block.ops
    for op in operations:
        assert isinstance(op, HloOp)
        regions = tuple(_function(body, values) for body in op.bodies)
        call = Call(op.call.operands, op.call.results, op.attrs, regions)
        results = op.definition.evaluate(call, *(values[v] for v in op.operands))
        values.update(zip(op.results, map(np.asarray, results), strict=True))
    return [values[v] for v in terminator.operands]


def body_function(block: Block) -> Callable[..., list[NDArray[Any]]]:
    """A region of scalars as a function of arrays."""
    return _function(block, {})


def _function(block: Block, around: Values) -> Callable[..., list[NDArray[Any]]]:
    def call(*arguments: NDArray[Any]) -> list[NDArray[Any]]:
        return _run(block, {**around, **dict(zip(block.args, arguments, strict=True))})
    return call
