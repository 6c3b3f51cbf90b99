"""The activation streamer."""

import pytest

from hw.core.matrix.streamer import ActivationStreamer
from verif.build import run_cocotb
from verif.matrix.variants import variant


@pytest.mark.parametrize("name", ["tiny", "wide"])
def test_streamer(name: str) -> None:
    run_cocotb(ActivationStreamer(variant(name)), "verif.matrix.tb_streamer",
               env={"CONFIG": name})
