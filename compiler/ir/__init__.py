"""The tensor-level IR: types, attributes, operations, groups and their loops.

A module is an xDSL `builtin.module` with one `func.func @main` that ends in `func.return`. Its
operations are those of the `hlo` dialect (`ops.HloOp`): StableHLO's, with the same operand order,
attribute names and regions, plus `hlo.fused` (a group) and `hlo.return` (ends a region). Tensors
are `tensor<...>` of the element types in `types`, attributes are plain Python values through
`HloOp.attrs`, constants are numpy arrays. Regions may use values defined outside them.

After fusion the function is a list of groups, array constants and control flow. `loops.analyse`
turns an `hlo.fused` into what code is generated from: a loop nest with affine views of its
operands, elementwise steps and trailing reductions; a contraction with such a loop over its
result; or one operation that moves elements.
"""
