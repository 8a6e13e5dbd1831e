"""A figure, what limits it, and what was hoped for."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
from msgspec import Struct


class Figure(Struct, omit_defaults=True):
    """One measurement. `ratio` is figure to limit; `met` says whether it reaches its goal."""

    name: str
    figure: float
    unit: str
    limit: float | None = None
    limited_by: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


class Report(Struct):
    """All figures of one run, with the machine they are true of."""

    machine: str
    durability: str
    figures: list[Figure]

    def add(
        self,
        name: str,
        figure: float,
        unit: str,
        *,
        limit: float | None = None,
        limited_by: str = "",
        least_ratio: float | None = None,
        most_ratio: float | None = None,
        most: float | None = None,
    ) -> None:
        """Note a figure and say at once what it is; goals are a least or most ratio or a most figure."""
        ratio = None if limit is None else figure / limit
        goal, met = "", None
        if least_ratio is not None and ratio is not None:
            goal, met = f"ratio >= {least_ratio:g}", ratio >= least_ratio
        elif most_ratio is not None and ratio is not None:
            goal, met = f"ratio <= {most_ratio:g}", ratio <= most_ratio
        elif most is not None:
            goal, met = f"<= {most:g} {unit}", figure <= most
        noted = Figure(name, round(figure, 3), unit, limit, limited_by, ratio and round(ratio, 4), goal, met)
        self.figures.append(noted)
        line = f"  {name:<52} {figure:>12,.2f} {unit:<10}"
        if ratio is not None:
            line += f" {ratio:>7.3f} of {limited_by}"
        if met is not None:
            line += f"   goal {goal}: {'met' if met else 'NOT met'}"
        print(line, flush=True)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))


def machine() -> str:
    """The machine in a line: cores, processor, memory, Python, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {model}, {memory:.0f} GiB, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, load {load:.1f} at the start"
    )
