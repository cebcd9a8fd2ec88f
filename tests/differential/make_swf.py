#!/usr/bin/env python3
"""Writes a small random log in the Standard Workload Format to standard output.

The same arguments always give the same log. Jobs come in bursts and several share a second, so that they have to wait and the
order of ties matters. First come, first served leaves processors idle in front of wide jobs: a --load well below 1 already
fills the machine. Fields that are not used are -1.
"""

import argparse
import random


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--processors", type=int, default=64)
    parser.add_argument("--load", type=float, default=0.6, help="share of the processors that the jobs need on average")
    arguments = parser.parse_args()
    if arguments.jobs < 1 or arguments.processors < 1 or not arguments.load > 0:
        parser.error("--jobs and --processors must be at least 1 and --load above 0")

    luck = random.Random(arguments.seed)
    mean_run, mean_width = 600, max(1, arguments.processors // 8)
    mean_gap = mean_run * mean_width / (arguments.load * arguments.processors)

    print("; Version: 2.2")
    print(f"; Note: made by make_swf.py --seed {arguments.seed}")
    print("; UnixStartTime: 0")
    print(f"; MaxProcs: {arguments.processors}")
    submit = 0
    for number in range(1, arguments.jobs + 1):
        # Every fourth gap on average is four gaps long and the others are none: bursts with the same mean rate.
        if luck.random() < 0.25:
            submit += round(luck.expovariate(1 / (4 * mean_gap)))
        run = 1 + round(luck.expovariate(1 / mean_run))
        width = min(arguments.processors, 1 + round(luck.expovariate(1 / mean_width)))
        fields = [number, submit, -1, run, width, -1, -1, width, -1, -1, 1, -1, -1, -1, -1, -1, -1, -1]
        print(*fields)


if __name__ == "__main__":
    main()
