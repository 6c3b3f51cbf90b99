"""Which of the ports that want a bank in this cycle get it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class BankArbiter(wiring.Component):
    """Grants sets of banks to ports; a port gets all the banks it needs or none.

    Ports are listed in falling priority. A token travels over the ports, one a cycle, and rests at
    a port that is being refused; its holder goes before all others, so that every port is served
    within a bounded time. Priority is otherwise fixed because alternating it would make two
    linear streams that meet collide forever, where a fixed one lets the first run ahead.

    Args:
        ports: number of ports.
        banks: number of banks, of all memories together.
        never_refused: the first so many ports go before the token, too.

    Members:
        need: banks that each port needs, none when it has no request.
        grant: ports that go ahead; meaningful for ports that need a bank.
    """

    def __init__(self, *, ports: int, banks: int, never_refused: int = 0) -> None:
        self._ports = ports
        self._never_refused = never_refused
        super().__init__({
            "need": In(data.ArrayLayout(banks, ports)),
            "grant": Out(ports),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        token = Signal(range(self._ports), init=self._never_refused)
        m.d.comb += self.grant.eq(Cat(
            ~self._blocked(port, token) for port in range(self._ports)
        ))
        resting = Signal()
        m.d.comb += resting.eq((self.need[token] != 0) & ~self.grant.bit_select(token, 1))
        with m.If(~resting):
            last = token == self._ports - 1
            m.d.sync += token.eq(Mux(last, self._never_refused, token + 1))
        return m

    def _blocked(self, port: int, token: Signal) -> Value:
        """A port that goes before this one wants one of its banks (granted or not: this keeps
        the path short, and the refused rival is before this port in the next cycle, too)."""
        rivals = [
            (self.need[port] & self.need[rival]).any() & self._before(rival, port, token)
            for rival in range(self._ports) if rival != port
        ]
        return Cat(rivals).any()

    def _before(self, rival: int, port: int, token: Signal) -> Value:
        if port < self._never_refused or rival < self._never_refused:
            return Const(rival < port)
        return (token != port) if rival < port else (token == rival)
