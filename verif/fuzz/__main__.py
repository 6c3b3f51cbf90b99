"""`make fuzz`: the long campaign. Prints seeds and counts; fails at the first difference."""

import argparse

from hw.config import load
from verif.fuzz.lockstep import check
from verif.fuzz.malformed import check_files, check_streams

RANDOM = {"tiny": 5000, "fpga": 5000, "default": 1000}
MALFORMED = {"tiny": 4000, "fpga": 1000}
FILES = 5000


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the campaign to run")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    options = parser.parse_args()

    def seeds(count: int) -> range:
        return range(options.seed, options.seed + max(int(count * options.scale), 1))

    for name, count in RANDOM.items():
        done = check(load(name), seeds(count))
        print(f"{name}: {done} random programs from seed {options.seed}: golden == RTL", flush=True)
    for name, count in MALFORMED.items():
        endings = check_streams(load(name), seeds(count))
        print(f"{name}: {endings.total()} malformed instruction streams ended: {dict(endings)}",
              flush=True)
    refused = check_files(load("tiny"), seeds(FILES))
    print(f"{refused} damaged program files refused")


if __name__ == "__main__":
    main()
