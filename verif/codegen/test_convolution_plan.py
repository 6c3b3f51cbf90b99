"""Plans of convolutions: the search finds what comparing all of them does."""

from dataclasses import replace
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


SEARCH = convolution_plan._choose.__wrapped__


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The machine, shape and room of each search from now on."""
    found: list[Any] = []

    def noted(*given: Any) -> Any:
        found.append(given)
        return SEARCH(*given)

    monkeypatch.setattr(convolution_plan, "_choose", noted)
    return found


@pytest.mark.parametrize("config", ["tiny", "default"])
@pytest.mark.parametrize("name", CASES)
def test_the_search_stops_at_a_bound_that_misses_nothing(name: str, config: str, asked: list[Any]
                                                         ) -> None:
    shape, size, columns, stride = CASES[name]
    build(lambda x: conv(x, size, columns, stride), [draw(*shape)], load(config))
    assert asked
    for machine, sizes, room in asked:
        plans = [plan for block in _blocks(machine, sizes)
                 for plan in _candidates(machine, sizes, *block) if _bytes(sizes, plan) <= room]
        assert SEARCH(machine, sizes, room) == min(plans, default=None, key=lambda plan: (
            _cycles(machine, sizes, plan), plan.cut.count, -plan.depth))


def test_behind_other_work_weights_come_in_few_slabs(asked: list[Any]) -> None:
    """What is loaded first is on its way meanwhile: it need not be short."""
    build(lambda x: conv(x, 3, 64), [draw(1, 14, 14, 64)], load("default"))
    (machine, sizes, room), *_ = asked
    alone, behind = (SEARCH(machine, replace(sizes, steady=steady), room)
                     for steady in (False, True))
    assert alone is not None
    assert behind is not None
    assert behind.depth > alone.depth
