"""Measures whole networks, one at a time: `python -m benchmarks.networks resnet50 --rtl`.

Apart from `make bench`, because one network takes minutes to hours of RTL. Needs the development
environment, which has JAX.
"""

import argparse

from benchmarks.networks import NETWORKS, PRODUCTS
from benchmarks.networks.measure import Options, measure
from benchmarks.readme import update
from benchmarks.suite import save, table
from hw.config import load


def main() -> None:
    known = {**NETWORKS, **PRODUCTS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help=f"{', '.join(NETWORKS)}, product_MxNxK")
    parser.add_argument("--rtl", action="store_true", help="run the RTL, not only sim.model")
    parser.add_argument("--config", default="default", metavar="NAME|FILE.toml")
    parser.add_argument("--quick", action="store_true", help="no other fusion level, no fast_math")
    parser.add_argument("--save", action="store_true", help="keep the rows in results.json")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(known)}")
    what = Options(config=load(options.config), rtl=options.rtl, fusion=not options.quick,
                   fast_math=not options.quick)
    for name in options.names:
        rows = list(measure(name, what))
        print(f"\n{name}\n{table(rows)}", flush=True)
        if options.save:
            save({f"network {name}": rows})
            update()


if __name__ == "__main__":
    main()
