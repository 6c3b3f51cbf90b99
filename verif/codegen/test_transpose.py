"""Transposing copies through the vector unit move bits, whatever they mean."""

import numpy as np
import pytest

from verif.codegen.contraction_reference import execute, mlir_type

PERMUTATIONS = [
    ((20, 30), (1, 0)), ((100, 100), (1, 0)), ((3, 17, 22), (0, 2, 1)), ((5, 33, 9), (2, 1, 0)),
    ((4, 5, 6, 7), (0, 3, 1, 2)), ((2, 16, 9, 12), (0, 2, 3, 1)),
    ((2, 3, 4, 9, 8), (1, 4, 0, 3, 2)),
]


@pytest.mark.parametrize("shape, permutation", PERMUTATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("config", ["tiny", "fpga"])
def test_bits(shape: tuple[int, ...], permutation: tuple[int, ...], dtype: str, config: str,
              rng: np.random.Generator) -> None:
    x = np.frombuffer(rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype)
    x = x.reshape(shape)
    expected = np.ascontiguousarray(x.transpose(permutation))
    text = f"""
func.func @main(%a: {mlir_type(x)}) -> {mlir_type(expected)} {{
  %0 = stablehlo.transpose %a, dims = {list(permutation)}
      : ({mlir_type(x)}) -> {mlir_type(expected)}
  return %0 : {mlir_type(expected)}
}}"""
    (found,) = execute(text, [x], config)
    assert found.tobytes() == expected.tobytes()
