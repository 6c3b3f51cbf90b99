"""The accelerator with the port names of the AXI standard, as bus models look for them."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.top import Accelerator

_INCREMENTING = 1


class AcceleratorPins(wiring.Component):
    """`m_axi_*`: AXI4 manager; `s_axil_*`: AXI4-Lite subordinate; `interrupt`."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        data, strobe = 8 * config.bus_bytes, config.bus_bytes
        ports: dict[str, Member] = {"interrupt": Out(1)}
        for channel in ("ar", "aw"):
            ports |= self._group(f"m_axi_{channel}", Out, {
                "id": 1, "addr": 64, "len": 8, "size": 3, "burst": 2, "valid": 1}, In)
            ports |= self._group(f"s_axil_{channel}", In, {"addr": 32, "valid": 1}, Out)
        ports |= self._group("m_axi_r", In, {
            "id": 1, "data": data, "resp": 2, "last": 1, "valid": 1}, Out)
        ports |= self._group("m_axi_w", Out, {
            "data": data, "strb": strobe, "last": 1, "valid": 1}, In)
        ports |= self._group("m_axi_b", In, {"id": 1, "resp": 2, "valid": 1}, Out)
        ports |= self._group("s_axil_w", In, {"data": 32, "strb": 4, "valid": 1}, Out)
        ports |= self._group("s_axil_b", Out, {"resp": 2, "valid": 1}, In)
        ports |= self._group("s_axil_r", Out, {"data": 32, "resp": 2, "valid": 1}, In)
        super().__init__(ports)

    @staticmethod
    def _group(prefix: str, direction: type[In] | type[Out], widths: dict[str, int],
               back: type[In] | type[Out]) -> dict[str, Member]:
        return {**{prefix + name: direction(width) for name, width in widths.items()},
                prefix + "ready": back(1)}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accelerator = core = Accelerator(self._config)
        size = exact_log2(self._config.bus_bytes)
        outward = {"data": "data", "strobe": "strb", "last": "last", "address": "addr",
                   "length": "len", "response": "resp"}
        channels = [
            (core.read.ar, "m_axi_ar", True), (core.read.r, "m_axi_r", False),
            (core.write.aw, "m_axi_aw", True), (core.write.w, "m_axi_w", True),
            (core.write.b, "m_axi_b", False),
            (core.host.aw, "s_axil_aw", False), (core.host.w, "s_axil_w", False),
            (core.host.b, "s_axil_b", True), (core.host.ar, "s_axil_ar", False),
            (core.host.r, "s_axil_r", True),
        ]
        for channel, prefix, out in channels:
            pairs = [(channel.valid, "valid")]
            pairs += [(channel.payload[name], outward[name])
                      for name, _ in channel.payload.shape()]
            for inner, name in pairs:
                pin = getattr(self, prefix + name)
                m.d.comb += pin.eq(inner) if out else inner.eq(pin)
            ready = getattr(self, prefix + "ready")
            m.d.comb += channel.ready.eq(ready) if out else ready.eq(channel.ready)
        for prefix in ("m_axi_ar", "m_axi_aw"):
            m.d.comb += [getattr(self, prefix + "size").eq(size),
                         getattr(self, prefix + "burst").eq(_INCREMENTING)]
        m.d.comb += self.interrupt.eq(core.interrupt)
        return m
