"""The instruction set: one class per instruction, everything else derived from it.

Importing the package registers every instruction in `encoding.INSTRUCTIONS`.
"""

from hw.isa import dma, matrix, scalar, sync, vector
from hw.isa.encoding import INSTRUCTIONS, Instruction, IsaError, decode

__all__ = ["INSTRUCTIONS", "Instruction", "IsaError", "decode", "dma", "matrix", "scalar",
           "sync", "vector"]
