"""What a network of the suite is: a plain JAX function, its weights, and what it cannot do without.

The limit of a network is `max(macs / MACs per cycle, compulsory_bytes / bus bytes per cycle)`. Both
terms come from the function alone, never from what a compiler made of it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]



@dataclass(frozen=True, kw_only=True)
class Network:
    """One network with fixed shapes.

    Attributes:
        function: takes the weights as one pytree, then the inputs.
        params: pytree of numpy arrays; its leaves are `arg0`, `arg1`, ... of the module.
        inputs: the arrays of one run, in order; they follow the weights.
        donated: positions in `inputs` of arrays that are updated in place.
        untouched_bytes: of weights, inputs and outputs, what a run need not touch: rows of an
            embedding table that no token names, rows of a donated cache that stay as they are.
        tolerance: largest difference from `reference()` allowed, as a share of its largest value.
    """

    name: str
    function: Callable[..., Any]
    params: Any
    inputs: list[Array]
    donated: tuple[int, ...] = ()
    untouched_bytes: int = 0
    tolerance: float = 0.05

    @cached_property
    def weights(self) -> dict[str, Array]:
        """The values to bind, by argument name."""
        return {f"arg{i}": leaf for i, leaf in enumerate(jax.tree.leaves(self.params))}

    @cached_property
    def module(self) -> str:
        """The network as JAX prints it: StableHLO text with the weights as arguments."""
        return str(self._traced.lower().as_text())

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of matrix products and convolutions, padding counted as data."""
        return count_macs(self._traced.jaxpr.jaxpr)

    @cached_property
    def compulsory_bytes(self) -> int:
        """Every byte of weights and inputs read once, of outputs written once."""
        outputs = jax.tree.leaves(self._traced.out_info)
        written = sum(math.prod(out.shape) * np.dtype(out.dtype).itemsize for out in outputs)
        read = sum(array.nbytes for array in (*self.weights.values(), *self.inputs))
        return int(read + written - self.untouched_bytes)

    def limit(self, macs_per_cycle: int, bytes_per_cycle: int) -> float:
        """The fewest cycles a machine of this width could take."""
        return max(self.macs / macs_per_cycle, self.compulsory_bytes / bytes_per_cycle)

    def reference(self, dtype: Any = None) -> list[Array]:
        """The outputs JAX computes on the CPU.

        Args:
            dtype: a type that replaces bfloat16 in weights and inputs; float32 tells how far
                bfloat16 itself is off.
        """
        params, inputs = (self.params, self.inputs) if dtype is None else jax.tree.map(
            lambda x: x.astype(dtype) if x.dtype == jax.numpy.bfloat16 else x,
            (self.params, self.inputs))
        outputs = jax.jit(self.function)(params, *inputs)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(outputs)]

    @cached_property
    def _traced(self) -> Any:
        # Unused arguments stay, so that argument numbers are positions in the pytree.
        jitted = jax.jit(self.function, keep_unused=True,
                         donate_argnums=tuple(1 + position for position in self.donated))
        return jitted.trace(self.params, *self.inputs)


def count_macs(jaxpr: Any) -> int:
    """Multiply-accumulates of a JAX expression; a scan counts its length, a while loop once."""
    return sum(_macs_of(equation) for equation in jaxpr.eqns)


def _macs_of(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        depth = math.prod(equation.invars[0].aval.shape[d] for d in contracted)
        return depth * math.prod(equation.outvars[0].aval.shape)
    if name == "conv_general_dilated":
        numbers = params["dimension_numbers"].rhs_spec
        filters = equation.invars[1].aval.shape
        # The filter's input features are those of one group.
        depth = math.prod(filters[d] for d in numbers[1:])
        return depth * math.prod(equation.outvars[0].aval.shape)
    return params.get("length", 1) * sum(count_macs(inner) for inner in _inner(params.values()))


def _inner(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _inner(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr
