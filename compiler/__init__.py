"""From StableHLO to programs of the machine.

The stages, each a folder: `frontend` reads StableHLO into the IR of `ir`, `ops` gives every
operation its meaning, `passes` rewrite and fuse, `codegen` tiles, allocates and emits.
"""
