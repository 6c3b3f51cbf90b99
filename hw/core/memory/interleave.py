"""Which bank holds a line: pseudo-random interleaving, so that no common stride stays in one.

Rows of a matrix are often a multiple of all banks apart, and the rows of two matrices that are
fetched together would then meet in the same bank for whole tiles.
"""

from amaranth.hdl import Cat, Value
from amaranth.utils import exact_log2

MODULI = (0b1, 0b11, 0b111, 0b1011, 0b10011)
"""Irreducible polynomials over GF(2), by degree."""


def pair_masks(lines: int, banks: int) -> list[int]:
    """For each bit of a bank pair's number, the bits of a line's number whose parity it is.

    The pair is the line's number without its lowest bit, a polynomial over GF(2), modulo an
    irreducible one (Rau, "Pseudo-randomly interleaved memory", ISCA 1991).
    """
    bits = exact_log2(banks) - 1
    masks, residue = [0] * bits, 1
    for position in range(1, exact_log2(lines)):
        masks = [mask | (residue >> bit & 1) << position for bit, mask in enumerate(masks)]
        residue <<= 1
        if residue >> bits & 1:
            residue ^= MODULI[bits]
    return masks


def bank_pair(line: Value, lines: int, banks: int) -> Value:
    """Number p of the pair of banks that holds a line: bank 2p if it is even, 2p + 1 if odd."""
    return Cat((line & mask).xor() for mask in pair_masks(lines, banks))
