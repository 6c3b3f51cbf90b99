"""A processing element, with everything on its inputs in every cycle."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from hw.core.matrix.pe import ACTIVATION, PE_LATENCY, SUM_OFFSET, WEIGHT, weight_load
from hw.isa import numerics
from verif.build import pack, unpack
from verif.matrix.bench import factor, machine, reset

CYCLES = 4000


class Model:
    """Which weight belongs to the activation of a cycle."""

    def __init__(self) -> None:
        self.shadow: tuple[int, int] = (0, 1)
        self.active: tuple[int, int] = (0, 1)

    def step(self, load: tuple[int, int] | None, swap: bool) -> tuple[int, int]:
        """Raw bits and flag of the weight that the activation of this cycle meets."""
        if swap:
            self.active = self.shadow
        if load is not None:
            self.shadow = load
        return self.active


@cocotb.test()
async def every_cycle(dut: Any) -> None:
    config = machine()
    load_layout = weight_load(config.array_cols)
    await reset(dut, activation_in=0, weight_in=0, sum_in=0)
    model = Model()
    met, activations, sums, results = [], [], [], []
    sent = []
    for _ in range(CYCLES):
        integer = int(config.int8 and random.random() < 0.5)
        bits, x = random.getrandbits(16), random.getrandbits(16)
        # Weights are nothing, bf16, or int8; only the first and last have the raw flag.
        raw = int(integer or random.random() < 0.2)
        bits = bits if integer or not raw else 0
        weight = {"factor": factor(bits, integer), "raw": raw}
        load = random.random() < 0.3
        tag = random.choice([0, 0, random.randrange(config.array_cols)])
        swap = random.random() < 0.2
        met.append(model.step((bits, raw) if load and tag == 0 else None, swap))
        decoded_as = met[-1][1] if config.int8 else 0
        activations.append(x)
        sums.append(random.getrandbits(32))
        sent.append({"weight": pack(WEIGHT, weight), "tag": tag, "load": int(load)})
        dut.weight_in.value = pack(load_layout, sent[-1])
        dut.activation_in.value = pack(
            ACTIVATION, {"factor": factor(x, decoded_as), "swap": int(swap)})
        dut.sum_in.value = sums[-1]
        await ReadOnly()
        results.append(int(dut.sum_out.value))
        if len(sent) > 1:
            passed = unpack(load_layout, int(dut.weight_out.value))
            tag_before = sent[-2]["tag"]
            assert passed == sent[-2] | {"tag": (tag_before - 1) % config.array_cols}
        await RisingEdge(dut.clk)
    check(config.int8, met, activations, sums, results)


def check(int8: bool, met: list[tuple[int, int]], activations: list[int], sums: list[int],
          results: list[int]) -> None:
    count = CYCLES - PE_LATENCY
    x = np.array(activations[:count], np.uint16)
    w, raw = (np.array(column[:count]) for column in zip(*met, strict=True))
    old = np.array(sums[SUM_OFFSET : SUM_OFFSET + count], np.uint32)
    got = np.array(results[PE_LATENCY:], np.uint32)
    product = x.astype(np.int8).astype(np.int32) * w.astype(np.int8) if int8 else np.zeros_like(x)
    integer = old + product.astype(np.int32).view(np.uint32) if int8 else old
    floating = numerics.fmac(
        numerics.bf16_to_f32(x), numerics.bf16_to_f32(w.astype(np.uint16)), old)
    want = np.where(raw == 1, integer, floating)
    wrong = np.nonzero(got != want)[0]
    assert not len(wrong), (f"cycle {wrong[0]}: {x[wrong[0]]:#06x} * {w[wrong[0]]:#06x} + "
                            f"{old[wrong[0]]:#010x}: got {got[wrong[0]]:#010x}, "
                            f"want {want[wrong[0]]:#010x}")


