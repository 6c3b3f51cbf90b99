"""The vector unit: kernels of lane operations over streams of local memory.

`unit.VectorUnit` is the engine. A command goes through `front` (parameters, capture and check
of a kernel's body), `fetch` (strips and repeats), `issue` (one group of L elements a cycle) and
the fixed-length pipeline `operands` -> `lanes` -> register file or `writer`.
"""
