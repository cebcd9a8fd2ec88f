#!/usr/bin/env python3
"""Replays a log in the Standard Workload Format on N identical processors with SimPy: an independent answer to compare with.

Strict first come, first served: the job at the head waits until as many processors as it needs are free, and nobody overtakes
it. Jobs are served by submit time, ties in the order of the file. A job needs the processors of field 8, or of field 5 where
field 8 is -1, and runs as long as field 4 says. Times are whole seconds.

Prints one line of JSON: jobs, mean_wait_seconds (4 decimals), total_wait_seconds (exact), max_wait_seconds, last_end_seconds.
"""

import argparse
import json
import sys
from typing import NamedTuple

import simpy


class Job(NamedTuple):
    submit: int
    run: int
    width: int


def read(path: str, processors: int) -> list[Job]:
    jobs = []
    with open(path, encoding="utf-8") as log:
        for number, line in enumerate(log, start=1):
            if not line.strip() or line.startswith(";"):
                continue
            fields = line.split()
            if len(fields) != 18:
                sys.exit(f"{path}:{number}: {len(fields)} fields, expected 18")
            submit, run, allocated, requested = (int(fields[at - 1]) for at in (2, 4, 5, 8))
            width = requested if requested > 0 else allocated
            if submit < 0 or run < 0 or not 0 < width <= processors:
                sys.exit(f"{path}:{number}: cannot run this job on {processors} processors: {line.strip()}")
            jobs.append(Job(submit, run, width))
    return sorted(jobs, key=lambda job: job.submit)


def simulate(jobs: list[Job], processors: int) -> list[int]:
    """The wait of every job, in the order of service."""
    world = simpy.Environment()
    # A container serves its requests in their order and stops at the first that it cannot fulfil.
    free = simpy.Container(world, capacity=processors, init=processors)
    waits = []

    def live(job: Job):
        yield free.get(job.width)
        waits.append(world.now - job.submit)
        yield world.timeout(job.run)
        yield free.put(job.width)

    def arrivals():
        for job in jobs:
            yield world.timeout(job.submit - world.now)
            world.process(live(job))

    world.process(arrivals())
    world.run()
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", help="a plain SWF file")
    parser.add_argument("--processors", type=int, required=True)
    arguments = parser.parse_args()

    jobs = read(arguments.log, arguments.processors)
    if not jobs:
        sys.exit(f"{arguments.log}: no jobs")
    waits = simulate(jobs, arguments.processors)
    answer = {
        "jobs": len(waits),
        "mean_wait_seconds": round(sum(waits) / len(waits), 4),
        "total_wait_seconds": sum(waits),
        "max_wait_seconds": max(waits),
        "last_end_seconds": max(job.submit + wait + job.run for job, wait in zip(jobs, waits)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
