"""Simulators of the machine: `golden` (meaning), `rtl` (the hardware), `model` (timing)."""
