"""Plans of convolutions: the search finds what comparing all of them does."""

from typing import Any

import pytest

from compiler.codegen import convolution_plan
from compiler.codegen.convolution_plan import _blocks, _bytes, _candidates, _cycles
from hw.config import load
from verif.codegen.chains import conv, draw
from verif.codegen.harness import build

CASES: dict[str, tuple[Any, ...]] = {
    "wide": ((1, 14, 14, 32), 3, 96, 1),
    "packed": ((1, 33, 30, 3), 5, 20, 2),
    "strided": ((2, 9, 7, 24), 3, 40, 2),
}


@pytest.mark.parametrize("config", ["tiny", "default"])
@pytest.mark.parametrize("name", CASES)
def test_the_search_stops_at_a_bound_that_misses_nothing(
        name: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, size, columns, stride = CASES[name]
    search, asked = convolution_plan._choose.__wrapped__, []

    def noted(*given: Any) -> Any:
        asked.append(given)
        return search(*given)

    monkeypatch.setattr(convolution_plan, "_choose", noted)
    build(lambda x: conv(x, size, columns, stride), [draw(*shape)], load(config))
    for machine, sizes, room in asked:
        plans = [plan for block in _blocks(machine, sizes)
                 for plan in _candidates(machine, sizes, block) if _bytes(sizes, plan) <= room]
        assert search(machine, sizes, room) == min(plans, default=None, key=lambda plan: (
            _cycles(machine, sizes, plan), plan.cut.count, -plan.depth))
    assert asked
