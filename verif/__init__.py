"""Verification of the hardware: cocotb testbenches, random programs, checks of the tree."""
