"""A transformer encoder block."""
