"""`python -m bench [NAME …] [--save]`: runs the benchmarks, prints their table, and with --save puts it into docs/performance.md."""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from . import actors, api, clusters, scale
from .table import HEADER, Figure

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "floor": api.floor,
    "start": api.start,
    "requests": api.requests,
    "lists": api.lists,
    "fan-out": api.fan_out,
    "apply": scale.apply,
    "definitions": scale.definitions,
    "bindings": scale.bindings,
    "cluster": clusters.cluster,
    "schedule": actors.schedule,
    "simulated": actors.simulated,
}
REPORT = Path(__file__).parents[1] / "docs" / "performance.md"
PLACE = re.compile(r"(<!-- measured: begin -->\n).*?(<!-- measured: end -->)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all")
    parser.add_argument("--save", action="store_true", help=f"put the table into {REPORT.name}")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    print(HEADER, flush=True)
    rows = [HEADER]
    for name in options.names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            rows.append(figure.row())
            print(rows[-1], flush=True)
    if options.save:
        today = datetime.date.today().isoformat()
        machine = f"{today}, Python {platform.python_version()}, Linux {platform.release()}, {_processor()}"
        table = f"{machine}\n\n" + "\n".join(rows) + "\n"
        text = REPORT.read_text()
        REPORT.write_text(PLACE.sub(lambda m: f"{m[1]}{table}{m[2]}", text))
    return 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
