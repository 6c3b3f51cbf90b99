"""Random and malformed programs on the RTL: `python -m verif.fuzz`."""
