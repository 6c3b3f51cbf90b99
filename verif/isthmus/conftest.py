"""A program that was run for a report, shared by the tests of the report."""

import ml_dtypes
import numpy as np
import pytest

from hw.isa.program import Program
from isthmus import api
from isthmus.report.page import page
from isthmus.report.profile import Profile, profile

LAYERS = """module {
  func.func public @main(%arg0: tensor<24x16xbf16>, %arg1: tensor<16x20xbf16>,
                         %arg2: tensor<20x12xbf16>) -> tensor<24x12xf32> {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0]
        : (tensor<24x16xbf16>, tensor<16x20xbf16>) -> tensor<24x20xf32>
    %1 = stablehlo.tanh %0 : tensor<24x20xf32>
    %2 = stablehlo.convert %1 : (tensor<24x20xf32>) -> tensor<24x20xbf16>
    %3 = stablehlo.dot_general %2, %arg2, contracting_dims = [1] x [0]
        : (tensor<24x20xbf16>, tensor<20x12xbf16>) -> tensor<24x12xf32>
    return %3 : tensor<24x12xf32>
  }
}
"""
INPUTS = [np.ones(shape, ml_dtypes.bfloat16) for shape in ((24, 16), (16, 20), (20, 12))]
HOSTILE = "</script><script>alert('&')</script>"
"""A name that would run if it were not escaped."""


@pytest.fixture(scope="session")
def layers() -> Program:
    program = api.compile(LAYERS, config="tiny")
    program.notes |= {"fusion": [f"add with {HOSTILE}"], "refused": ["m.mlir:4:10: tanh & more"]}
    return program


@pytest.fixture(scope="session", params=["model", "rtl"])
def profiled(layers: Program, request: pytest.FixtureRequest) -> Profile:
    return profile(layers, INPUTS, sim=request.param)


@pytest.fixture(scope="session")
def html(profiled: Profile) -> str:
    return page(profiled, HOSTILE)
