"""Where each operation stands in the input text.

The parser notes line and column only for operations without a location of their own. JAX writes
its own (`as_text(debug_info=True)`), so such text is parsed a second time with them blanked out.
"""

import re
from collections.abc import Iterator

from jaxlib.mlir import ir

from compiler.errors import CompileError, Location
from compiler.frontend.reader import Source, parse, place_of

_TOKENS = re.compile(r'"(?:[^"\\]+|\\.)*"|\bloc\(|[()]')
_ALIAS = re.compile(r"^#loc\d*[ \t]*=.*$", re.MULTILINE)


def operations_in_order(operation: ir.Operation) -> Iterator[ir.OpView]:
    """All operations below one, outer before inner."""
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                yield op
                yield from operations_in_order(op.operation)


def input_places(source: Source, module: ir.Module) -> list[Location]:
    """Place of every operation, in the order of `operations_in_order`."""
    if isinstance(source.content, str) and re.search(r"\bloc\(", source.content):
        plain = Source(source.name, _without_locations(source.content))
        try:
            module = parse(plain)
        except CompileError:
            return [Location(source.name) for _ in operations_in_order(module.operation)]
    return [place_of(op.location, source.name) for op in operations_in_order(module.operation)]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _without_locations(text: str) -> str:
    """The text with every `loc(...)` replaced by blanks, so that lines and columns stay."""
    text = _ALIAS.sub(lambda match: _blank(match[0]), text)
    pieces, copied, depth, start = [], 0, 0, 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token == "loc(" and depth == 0:
            depth, start = 1, match.start()
        elif depth and token in ("(", "loc("):
            depth += 1
        elif depth and token == ")":
            depth -= 1
            if depth == 0:
                pieces += [text[copied:start], _blank(text[start:match.end()])]
                copied = match.end()
    return "".join([*pieces, text[copied:]])


def producer_name(location: ir.Location) -> str:
    """The name the producer gave, such as `jit(f)/dot_general`, with the innermost line of its
    own source when it is known; empty for a plain place."""
    if not isinstance(location, ir.NameLoc):
        return ""
    place = _innermost(location.child_loc)
    if place is None:
        return location.name_str
    return f"{location.name_str} at {place.filename}:{place.start_line}"


def _innermost(location: ir.Location) -> ir.FileLineColLoc | None:
    while not isinstance(location, ir.FileLineColLoc):
        if isinstance(location, ir.NameLoc):
            location = location.child_loc
        elif isinstance(location, ir.CallSiteLoc):
            location = location.callee
        else:
            return None
    return location
