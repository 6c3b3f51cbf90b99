"""Measures whole networks, one at a time: `python -m benchmarks.networks resnet50 --rtl --save`.

Apart from `make bench`, because one network takes minutes of RTL. Needs the development
environment, which has JAX.
"""

import argparse

from benchmarks.networks import NETWORKS, PRODUCTS
from benchmarks.networks.measure import MODES, Options, measure
from benchmarks.networks.plot import draw
from benchmarks.networks.record import keep, table
from benchmarks.readme import update
from hw.config import load


def main() -> None:
    known = {**NETWORKS, **PRODUCTS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NETWORKS),
                        help=f"{', '.join(NETWORKS)}, product_MxNxK; default: all networks")
    parser.add_argument("--rtl", action="store_true", help="run the RTL, not only sim.model")
    parser.add_argument("--config", default="default", metavar="NAME|FILE.toml")
    parser.add_argument("--mode", choices=MODES, action="append", help="default: both")
    parser.add_argument("--fusion", action="store_true", help="compare with no fusion")
    parser.add_argument("--save", action="store_true", help="keep the figures, update the README")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(known)}")
    for name in options.names:
        for mode in options.mode or MODES:
            record = measure(name, Options(config=load(options.config), mode=mode,
                                           rtl=options.rtl, fusion=options.fusion))
            print(f"\n{table([record])}", flush=True)
            if options.save:
                keep(record)
                draw()
                update()


if __name__ == "__main__":
    main()
