"""Random programs, for running the golden model and the RTL against each other."""
