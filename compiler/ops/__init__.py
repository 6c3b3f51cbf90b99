"""The closed set of operations: type rule, numpy meaning and template of each in one place.

Importing this package registers all of them; `registry` says how to add one.
"""

from compiler.ops import (  # noqa: F401
    arithmetic,
    composed,
    contraction,
    control,
    conversion,
    division,
    erf,
    exponential,
    gather,
    movement,
    power,
    reduction,
    rounding,
    selection,
    trigonometric,
    views,
)
