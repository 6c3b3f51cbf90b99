"""An AXI4-Lite manager for ports as Amaranth flattens them."""

import random
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge


class Manager:
    """One access at a time, each channel at its own random pace.

    Args:
        prefix: of the port's signals, such as `bus`.
        pace: probability that a channel is valid or ready in a cycle.
    """

    def __init__(self, dut: Any, prefix: str, rng: random.Random, pace: float = 0.6) -> None:
        self.dut, self.prefix, self.rng, self.pace = dut, prefix, rng, pace
        for channel in ("aw", "w", "ar"):
            self._handle(channel, "valid").value = 0
        for channel in ("b", "r"):
            self._handle(channel, "ready").value = 0

    def _handle(self, channel: str, name: str) -> Any:
        return getattr(self.dut, f"{self.prefix}__{channel}__{name}")

    async def _send(self, payloads: dict[str, int], response: str) -> int:
        """Sends each channel's payload, then takes the response's payload."""
        left = dict(payloads)
        taking = False
        for _ in range(1000):
            shown = {c for c in left if self._handle(c, "valid").value
                     or self.rng.random() < self.pace}
            for channel in payloads:
                self._handle(channel, "valid").value = int(channel in shown)
                if channel in shown:
                    self._handle(channel, "payload").value = left[channel]
            taking = self.rng.random() < self.pace
            self._handle(response, "ready").value = int(taking)
            await ReadOnly()
            done = {c for c in shown if self._handle(c, "ready").value}
            answered = taking and bool(self._handle(response, "valid").value)
            answer = int(self._handle(response, "payload").value)
            await RisingEdge(self.dut.clk)
            for channel in done:
                del left[channel]
                self._handle(channel, "valid").value = 0
            if answered:
                assert not left, "a response before its request"
                self._handle(response, "ready").value = 0
                return answer
        raise AssertionError("no response")

    async def write(self, address: int, value: int, strobe: int = 0xF) -> None:
        assert await self._send({"aw": address, "w": value | strobe << 32}, "b") == 0

    async def read(self, address: int) -> int:
        answer = await self._send({"ar": address}, "r")
        assert answer >> 32 == 0, "error response"
        return answer

    async def read_pair(self, address: int) -> int:
        return await self.read(address) | await self.read(address + 4) << 32
