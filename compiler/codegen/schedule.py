"""The order of dispatch.

The sequencer dispatches in order and waits while the queue of the engine it wants is full. A
small simulation of the engines estimates when each command starts; dispatching in that order
lets every engine have its work in its queue in time. The order of each engine's commands stays.
"""

from collections.abc import Sequence

from compiler.codegen.commands import Command
from hw.isa.host import Engine


def schedule(commands: Sequence[Command], waits_for: Sequence[Sequence[int]]) -> list[int]:
    """Positions of the commands in order of dispatch; what a command waits for comes first."""
    free: dict[Engine, int] = dict.fromkeys(Engine, 0)
    starts: list[int] = []
    ends: list[int] = []
    for command, others in zip(commands, waits_for, strict=True):
        start = max([free[command.engine], *(ends[other] for other in others)])
        starts.append(start)
        ends.append(start + command.cycles)
        free[command.engine] = ends[-1]
    return sorted(range(len(commands)), key=lambda position: (starts[position], position))
