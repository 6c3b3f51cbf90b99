"""Real models, from JAX to verified runs of the hardware: `make sim`."""
