"""StableHLO's operations that this compiler refuses, and why."""

_DISTRIBUTED = "one machine runs the program: partition the model before compiling it"
_DYNAMIC = "shapes are static: export the model with static shapes"
_COMPLEX = "there are no complex numbers: split them into real and imaginary parts"
_TUPLE = "there are no tuples: return and pass tensors separately"
_TOKEN = "programs have no side effects: remove it from the model"
_LINALG = "it has no code template: compute it on the host, or write it with while"
_RANDOM = "there is no random number generator: pass random numbers as an argument"
_QUANTIZED = "quantized types are not supported: use integer tensors and explicit scales"
_SCATTER = "it has no code template: use dynamic_update_slice or a one-hot product"
_DEPRECATED = "deprecated: convert the module with StableHLO's own passes first"

REASONS: dict[str, str] = {
    "after_all": _TOKEN, "create_token": _TOKEN, "infeed": _TOKEN, "outfeed": _TOKEN,
    "send": _TOKEN, "recv": _TOKEN, "async_start": _TOKEN, "async_done": _TOKEN,
    "all_gather": _DISTRIBUTED, "all_reduce": _DISTRIBUTED, "all_to_all": _DISTRIBUTED,
    "collective_broadcast": _DISTRIBUTED, "collective_permute": _DISTRIBUTED,
    "cross-replica-sum": _DISTRIBUTED, "reduce_scatter": _DISTRIBUTED,
    "partition_id": _DISTRIBUTED, "replica_id": _DISTRIBUTED,
    "complex": _COMPLEX, "real": _COMPLEX, "imag": _COMPLEX, "fft": _COMPLEX,
    "tuple": _TUPLE, "get_tuple_element": _TUPLE,
    "dynamic_broadcast_in_dim": _DYNAMIC, "dynamic_conv": _DYNAMIC, "dynamic_gather": _DYNAMIC,
    "dynamic_iota": _DYNAMIC, "dynamic_pad": _DYNAMIC, "dynamic_reshape": _DYNAMIC,
    "get_dimension_size": _DYNAMIC, "set_dimension_size": _DYNAMIC,
    "real_dynamic_slice": _DYNAMIC,
    "cholesky": _LINALG, "triangular_solve": _LINALG, "sort": _LINALG,
    "batch_norm_grad": _LINALG, "batch_norm_training": _LINALG, "select_and_scatter": _SCATTER,
    "scatter": _SCATTER, "torch_index_select": _DEPRECATED,
    "rng": _RANDOM, "rng_bit_generator": _RANDOM,
    "uniform_dequantize": _QUANTIZED, "uniform_quantize": _QUANTIZED,
    "einsum": _DEPRECATED, "unary_einsum": _DEPRECATED, "map": _DEPRECATED,
    "atan2": "it has no code template: approximate it with divide and a polynomial",
}
"""By name without dialect."""


_UNKNOWN = ("it is not one of this compiler's operations: register it (entry point group "
            "isthmus.operations) or rewrite it")


def reason(name: str) -> str:
    """Why an operation, given with its dialect, is refused, and what to do."""
    return REASONS.get(name.partition(".")[2], _UNKNOWN)


def message(name: str) -> str:
    """What to tell the user about an operation of the input that is not registered."""
    return f"operation {name} is not supported: {reason(name)}"
