"""`make bench`: measures everything the README reports and keeps it in `results.json`."""

import argparse
import importlib
import pkgutil

import benchmarks
from benchmarks.readme import update
from benchmarks.suite import BENCHMARKS, Row, save, table


def main() -> None:
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name != "__main__":
            importlib.import_module(f"benchmarks.{module.name}")
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(BENCHMARKS)}; default all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    results: dict[str, list[Row]] = {}
    for name in names:
        results[name] = list(BENCHMARKS[name]())
        print(f"\n{name}\n{table(results[name])}", flush=True)
        save({name: results[name]})
    update()


if __name__ == "__main__":
    main()
