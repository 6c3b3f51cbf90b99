"""Branch and bound over plans of tiles: groups that cannot hold the best ones are not looked into.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeVar

GroupT = TypeVar("GroupT")
PlanT = TypeVar("PlanT")


def least(groups: Iterable[GroupT], bound: Callable[[GroupT], int],
          plans: Callable[[GroupT], Iterable[PlanT]], cost: Callable[[PlanT], tuple[int, ...]],
          count: int = 1) -> list[PlanT]:
    """So many plans of the least cost, the first of equal ones first; fewer when there are not as
    many.

    Args:
        bound: what the first number of the cost of a group's plans is at least.
    """
    known = list(groups)
    bounds = list(map(bound, known))
    found: list[tuple[tuple[int, ...], int, int, PlanT]] = []
    for number in sorted(range(len(known)), key=bounds.__getitem__):
        if len(found) == count and bounds[number] > found[-1][0][0]:
            break
        found += [(cost(plan), number, place, plan)
                  for place, plan in enumerate(plans(known[number]))]
        found.sort(key=itemgetter(0, 1, 2))
        del found[count:]
    return [plan for *_, plan in found]
