"""The machine as Verilog."""

from amaranth.back import verilog as backend

from hw.config import AcceleratorConfig
from hw.core.top import Accelerator

TOP = "isthmus"


def verilog(config: AcceleratorConfig) -> str:
    """One Verilog text with the machine as module `isthmus`.

    Its ports are those of `Accelerator`, flattened with two underscores: `read__ar__valid`. A
    structured payload is one vector, its first field in the lowest bits.
    """
    return str(backend.convert(Accelerator(config), name=TOP, strip_internal_attrs=True))
