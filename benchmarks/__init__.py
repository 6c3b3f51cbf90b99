"""Measurements of the machine and the compiler; `make bench` runs them."""
