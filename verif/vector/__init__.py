"""Testbenches of `hw.core.vector`."""
