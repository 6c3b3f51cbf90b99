"""An LSTM layer (Hochreiter and Schmidhuber 1997) over a sequence, with `lax.scan`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks.layers import Draw
from benchmarks.networks.network import Network


def lstm(batch: int = 1, steps: int = 128, width: int = 128, hidden: int = 128) -> Network:
    """(steps, batch, width) to all hidden states (steps, batch, hidden) and the last cell state.

    The state is float32, as in mixed-precision training; matrix products are bfloat16.
    """
    draw = Draw(9)
    scale = float(1 / np.sqrt(hidden))
    params = {"input": draw.normal(width, 4 * hidden, std=float(1 / np.sqrt(width))),
              "recurrent": draw.normal(hidden, 4 * hidden, std=scale),
              "bias": draw.uniform(4 * hidden, -scale, scale)}

    def forward(params: Any, sequence: Any) -> tuple[Any, Any]:
        start = (jnp.zeros((sequence.shape[1], hidden), sequence.dtype),
                 jnp.zeros((sequence.shape[1], hidden), jnp.float32))
        (_, cell), states = jax.lax.scan(lambda carry, x: step(params, carry, x), start, sequence)
        return states, cell

    return Network(name=f"lstm_batch{batch}", function=forward, params=params,
                   inputs=[draw.normal(steps, batch, width)])


def step(params: Any, carry: tuple[Any, Any], x: Any) -> tuple[tuple[Any, Any], Any]:
    """One time step: (state, cell) and (batch, width) to the next ones, and the state again."""
    state, cell = carry
    gates = (x @ params["input"] + state @ params["recurrent"]).astype(jnp.float32)
    enter, forget, update, leave = jnp.split(gates + params["bias"], 4, axis=-1)
    cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(update)
    state = (jax.nn.sigmoid(leave) * jnp.tanh(cell)).astype(x.dtype)
    return (state, cell), state
