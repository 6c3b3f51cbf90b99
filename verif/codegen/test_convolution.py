"""Convolutions: every window, layout and type, bit by bit against sums one step at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from compiler.ir.types import ElementType, Tensor
from compiler.ops.contraction import Convolution
from compiler.ops.registry import Call
from verif.codegen.contraction_reference import Array, convolution, execute, mlir_type, random


@dataclass(frozen=True)
class Case:
    """A convolution; `layout` names the dimensions as StableHLO prints them."""

    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    strides: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    lhs_dilation: tuple[int, ...] = (1, 1)
    rhs_dilation: tuple[int, ...] = (1, 1)
    reverse: tuple[bool, ...] = (False, False)
    groups: int = 1
    layout: str = "b01f 01io b01f"
    types: str = "float32 f32"
    precision: str = "DEFAULT"
    config: str = "tiny"

    @property
    def attrs(self) -> dict[str, Any]:
        """As the front end gives them."""
        lhs, rhs, out = self.layout.split()
        spatial = range(len(self.strides))
        return {
            "window_strides": self.strides, "padding": self.padding,
            "lhs_dilation": self.lhs_dilation, "rhs_dilation": self.rhs_dilation,
            "window_reversal": self.reverse, "feature_group_count": self.groups,
            "dimension_numbers": {
                "input_batch_dimension": lhs.index("b"),
                "input_feature_dimension": lhs.index("f"),
                "input_spatial_dimensions": tuple(lhs.index(str(d)) for d in spatial),
                "kernel_input_feature_dimension": rhs.index("i"),
                "kernel_output_feature_dimension": rhs.index("o"),
                "kernel_spatial_dimensions": tuple(rhs.index(str(d)) for d in spatial),
                "output_batch_dimension": out.index("b"),
                "output_feature_dimension": out.index("f"),
                "output_spatial_dimensions": tuple(out.index(str(d)) for d in spatial),
            },
        }

    def call(self, lhs: Array, rhs: Array) -> Call:
        tensors = tuple(Tensor(x.shape, ElementType.of_numpy(x.dtype)) for x in (lhs, rhs))
        call = Call(tensors, (), self.attrs)
        return Call(tensors, Convolution().result_types(call), self.attrs)

    def text(self, lhs: Array, rhs: Array, result: str, rest: str = "", extra: str = "",
             returned: str = "%0") -> str:
        numbers = "x".join(f"[{', '.join(part)}]" for part in self.layout.split()[:2])
        out = f"[{', '.join(self.layout.split()[2])}]"
        reverse = [str(r).lower() for r in self.reverse]
        return f"""
func.func @main(%a: {mlir_type(lhs)}, %b: {mlir_type(rhs)}{extra}) -> {result} {{
  %0 = stablehlo.convolution(%a, %b) dim_numbers = {numbers}->{out}, window = {{
    stride = {list(self.strides)}, pad = {[list(p) for p in self.padding]},
    lhs_dilate = {list(self.lhs_dilation)}, rhs_dilate = {list(self.rhs_dilation)},
    reverse = [{', '.join(reverse)}]}} {{
      batch_group_count = 1 : i64, feature_group_count = {self.groups} : i64,
      precision_config = [#stablehlo<precision {self.precision}>,
                          #stablehlo<precision {self.precision}>]}}
    : ({mlir_type(lhs)}, {mlir_type(rhs)}) -> {result}
  {rest}
  return {returned} : {result}
}}"""


SAME = ((1, 1), (1, 1))
CASES = {
    "1x1": Case((1, 4, 4, 4), (1, 1, 4, 4)),
    "1x1_strides": Case((2, 7, 9, 5), (1, 1, 5, 6), (2, 3)),
    "1x1_strides_cut": Case((2, 8, 9, 5), (1, 1, 5, 6), (2, 3), ((0, -2), (0, 0))),
    "1x1_padded": Case((2, 4, 5, 5), (1, 1, 5, 6), padding=SAME),
    "1x1_nchw": Case((2, 5, 4, 6), (6, 5, 1, 1), layout="bf01 oi01 bf01"),
    "1x1_nchw_to_nhwc": Case((2, 5, 4, 6), (6, 5, 1, 1), (1, 2), layout="bf01 oi01 b01f"),
    "1x1_highest": Case((1, 4, 5, 5), (1, 1, 5, 6), precision="HIGHEST"),
    "1x1_int8": Case((1, 4, 5, 5), (1, 1, 5, 6), types="int8 i32"),
    "same": Case((2, 6, 5, 3), (3, 3, 3, 7), padding=SAME),
    "many_channels": Case((1, 5, 6, 18), (3, 3, 18, 10), padding=SAME),
    "one_channel": Case((2, 8, 8, 1), (3, 3, 1, 6), padding=SAME),
    "one_channel_dilated": Case((2, 7, 9, 1), (1, 3, 1, 5), (3, 3), rhs_dilation=(2, 2)),
    "one_channel_column": Case((2, 7, 9, 1), (3, 1, 1, 5), padding=SAME),
    "whole_image": Case((3, 4, 4, 5), (4, 4, 5, 6)),
    "strides": Case((2, 9, 8, 5), (3, 2, 5, 7), (2, 3)),
    "kernel_dilation": Case((2, 9, 8, 5), (3, 2, 5, 7), (2, 1), rhs_dilation=(2, 3)),
    "input_dilation": Case((2, 5, 4, 5), (3, 2, 5, 7), padding=((2, 1), (0, 3)),
                           lhs_dilation=(2, 3)),
    "all_at_once": Case((2, 5, 4, 5), (3, 2, 5, 7), (2, 2), ((2, -1), (-1, 3)), (2, 3), (1, 2)),
    "negative_padding": Case((2, 9, 8, 5), (3, 2, 5, 7), padding=((-2, 1), (3, -3))),
    "only_padding": Case((1, 2, 2, 3), (3, 3, 3, 4), (4, 4), ((7, 6), (7, 6))),
    "reverse": Case((1, 6, 5, 3), (3, 2, 3, 4), reverse=(True, True)),
    "groups": Case((2, 6, 6, 8), (3, 3, 2, 12), padding=SAME, groups=4),
    "depthwise": Case((2, 6, 6, 8), (3, 3, 1, 8), padding=SAME, groups=8),
    "depthwise_everything": Case((2, 11, 9, 5), (3, 2, 1, 5), (1, 2), ((2, 1), (-1, 3)), (1, 2),
                                 (2, 1), (True, False), groups=5),
    "depthwise_long_line": Case((1, 2, 19, 3), (1, 3, 1, 3), groups=3),
    "depthwise_1d": Case((2, 9, 4), (3, 1, 4), (1,), ((1, 1),), (1,), (1,), (False,), groups=4,
                         layout="b0f 0io b0f"),
    "depthwise_int8": Case((1, 6, 6, 6), (3, 3, 1, 6), padding=SAME, groups=6, types="int8 i32"),
    "depthwise_int8_as_bf16": Case((1, 6, 6, 4), (3, 3, 1, 4), padding=SAME, groups=4,
                                   types="int8 i32", config="tiny-noint8"),
    "depthwise_multiplier": Case((1, 6, 6, 4), (3, 3, 1, 12), padding=SAME, groups=4),
    "nchw": Case((2, 5, 6, 7), (4, 5, 3, 3), padding=SAME, layout="bf01 oi01 bf01"),
    "nchw_result": Case((2, 6, 7, 5), (3, 3, 5, 4), padding=SAME, layout="b01f 01io bf01"),
    "chwn": Case((5, 6, 7, 2), (5, 3, 3, 4), padding=SAME, layout="f01b i01o f01b"),
    "1d": Case((2, 9, 3), (4, 3, 5), (1,), ((1, 2),), (1,), (1,), (False,), layout="b0f 0io b0f"),
    "3d": Case((1, 4, 5, 3, 3), (2, 3, 2, 3, 5), (1, 2, 1), ((1, 0), (1, 1), (0, 1)), (1, 1, 1),
               (1, 1, 1), (False,) * 3, layout="b012f 012io b012f"),
    "int8": Case((2, 6, 5, 3), (3, 3, 3, 7), padding=SAME, types="int8 i32"),
    "int8_as_bf16": Case((2, 6, 5, 3), (3, 3, 3, 7), padding=SAME, types="int8 i32",
                         config="tiny-noint8"),
    "uint8": Case((1, 6, 5, 3), (3, 3, 3, 4), padding=SAME, types="uint8 i32"),
    "bf16": Case((2, 6, 5, 3), (3, 3, 3, 7), padding=SAME, types="bfloat16 bf16"),
    "highest": Case((1, 6, 5, 3), (3, 3, 3, 7), padding=SAME, precision="HIGHEST"),
    "tiled": Case((1, 14, 12, 8), (3, 3, 8, 20), padding=SAME),
    "packed": Case((1, 16, 14, 3), (5, 3, 3, 20), (2, 2), ((2, 2), (1, 1))),
    "packed_1d": Case((2, 19, 3), (2, 3, 5), (2,), ((1, 2),), (1,), (1,), (False,),
                      layout="b0f 0io b0f"),
    "packed_3d": Case((1, 6, 7, 9, 3), (2, 3, 2, 3, 9), (1, 2, 1), ((1, 0), (1, 1), (0, 1)),
                      (1, 1, 1), (1, 2, 1), (False,) * 3, layout="b012f 012io b012f"),
    "packed_high": Case((1, 12, 14, 3), (5, 3, 3, 20), padding=SAME, precision="HIGH"),
    "packed_int8": Case((1, 12, 14, 3), (5, 3, 3, 12), padding=SAME, types="int8 i32"),
    "fpga": Case((2, 10, 9, 12), (3, 3, 12, 20), (2, 1), SAME, config="fpga"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bits(case: Case, rng: np.random.Generator) -> None:
    operand, element = case.types.split()
    lhs, rhs = random(rng, case.lhs, operand), random(rng, case.rhs, operand)
    sums = convolution(lhs, rhs, case.call(lhs, rhs), case.precision)
    expected = np.ascontiguousarray(
        sums.astype(ElementType.of_name(element).numpy))
    (found,) = execute(case.text(lhs, rhs, mlir_type(expected)), [lhs, rhs], case.config)
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def test_accuracy(rng: np.random.Generator) -> None:
    """Against sums in float64, by the operation's own numpy meaning."""
    case = CASES["many_channels"]
    lhs, rhs = random(rng, case.lhs, "float32"), random(rng, case.rhs, "float32")
    (exact,) = Convolution().evaluate(case.call(lhs, rhs), lhs, rhs)
    (found,) = execute(case.text(lhs, rhs, mlir_type(exact)), [lhs, rhs], "tiny")
    assert np.abs(found - exact).max() < 1e-2 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["same", "nchw", "groups", "tiled", "depthwise"])
def test_epilogue(name: str, rng: np.random.Generator) -> None:
    """Bias for each feature, residual and rectifier on the way from the accumulators to DRAM."""
    case = CASES[name]
    lhs, rhs = random(rng, case.lhs, "float32"), random(rng, case.rhs, "float32")
    sums = convolution(lhs, rhs, case.call(lhs, rhs))
    feature = case.layout.split()[2].index("f")
    bias = random(rng, (sums.shape[feature],), "float32")
    residual = random(rng, sums.shape, "float32")
    wide = bias.reshape([-1 if d == feature else 1 for d in range(sums.ndim)])
    expected = np.ascontiguousarray(np.maximum((sums + wide) + residual, np.float32(0.0)))
    result = mlir_type(expected)
    rest = f"""
  %1 = stablehlo.broadcast_in_dim %c, dims = [{feature}] : ({mlir_type(bias)}) -> {result}
  %2 = stablehlo.add %0, %1 : {result}
  %3 = stablehlo.add %2, %r : {result}
  %z = stablehlo.constant dense<0.0> : {result}
  %4 = stablehlo.maximum %3, %z : {result}"""
    extra = f", %c: {mlir_type(bias)}, %r: {result}"
    text = case.text(lhs, rhs, result, rest, extra, "%4")
    (found,) = execute(text, [lhs, rhs, bias, residual], "tiny")
    assert found.tobytes() == expected.tobytes()
