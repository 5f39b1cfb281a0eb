"""A cluster of two hosts: `python -m tests.on_two_hosts ENGINE ADDRESS` waits until both are there; with a FOLDER it then works on both.

Each unit leaves a mark there, `<number>-first` or `<number>-second`. Those that the second host gets end only with it; those of the first
wait until the second has one too.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from superbatch.jobs.units import Told, run_units
from superbatch.options import JobsSettings

UNITS, PATIENCE = 6, 180


def hosts(engine: str, address: str) -> int:
    """Count those that a cluster has by now."""
    if engine == "dask":
        from distributed import Client

        with Client(address, timeout=5) as client:
            return len(client.ncores())
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        return sum(bool(node["Alive"]) for node in ray.nodes())
    finally:
        ray.shutdown()


def wait_for_both(engine: str, address: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if hosts(engine, address) == 2:
                return
        except (OSError, RuntimeError, ValueError):  # it is still starting
            pass
        assert time.monotonic() < until, "the cluster has not come"
        time.sleep(1)


def work(engine: str, address: str, folder: Path) -> None:
    first = os.readlink("/proc/self/ns/net")

    def call(number: int) -> int:  # within a function: it goes to a worker whole
        import os
        import time

        on_first = os.readlink("/proc/self/ns/net") == first
        (folder / f"{number}-{'first' if on_first else 'second'}").touch()
        while not on_first or not any(folder.glob("*-second")):
            time.sleep(0.1)
        return number * number

    jobs = JobsSettings(engine, address=address)
    found = dict(run_units(call, list(range(UNITS)), jobs, Told("squares", "number")))
    assert found == {number: number * number for number in range(UNITS)}, found


if __name__ == "__main__":
    wait_for_both(*sys.argv[1:3])
    for folder in sys.argv[3:]:
        work(*sys.argv[1:3], Path(folder))
