"""Floating point in the machine's arithmetic: round to nearest even, subnormals flushed.

Combinational functions, cut where a pipeline register belongs, and the pipelined Components
made of them. The rules are section 8 of `docs/architecture.md`.
"""
