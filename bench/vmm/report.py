# SPDX-License-Identifier: Apache-2.0
"""Figures beside their peers: a table, and the same as JSON."""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys


def load():
    return "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def machine(rounds, **programs):
    return {
        **programs,
        "kernel": platform.release(),
        "processors": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "load before": load(),
    }


def number(value):
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def spread(series):
    """Median, least and most of what was measured."""
    if len(series) == 1:
        return number(series[0])
    return f"{number(statistics.median(series))} ({number(min(series))}–{number(max(series))})"


@dataclasses.dataclass
class Figure:
    part: str
    what: str
    unit: str
    ours: list
    peer_name: str = ""
    peer: list = dataclasses.field(default_factory=list)
    result: float | None = None
    best: float | None = None  # the result of each side's best round
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    def met(self):
        """None where nothing is wanted."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.at_least is not None:
            return self.result >= self.at_least
        return self.result <= self.at_most

    def wanted(self):
        if self.met() is None:
            return ""
        bound = f"≥ {number(self.at_least)}" if self.at_least is not None else f"≤ {number(self.at_most)}"
        return bound + ("  ok" if self.met() else "  MISSED")


class Report:
    def __init__(self, machine):
        self.machine, self.figures, self.skipped = machine, [], []

    def measure(self, functions, chosen, where, missing):
        """The chosen figures, each a function of functions; one that raises what is missing is left out."""
        for part in sorted(set(chosen)):
            try:
                functions[part](where, self)
            except missing as error:
                self.skip(part, error)
        self.machine["load after"] = load()

    def finish(self, json_path):
        """Prints all; the exit status."""
        self.print()
        if json_path:
            self.write_json(json_path)
        return 1 if self.skipped else 0

    def add(self, part, what, unit, ours, peer_name="", peer=(), result=None, **more):
        figure = Figure(part, what, unit, list(ours), peer_name, list(peer), result, **more)
        self.figures.append(figure)
        print(f"  {part} {what}: {spread(figure.ours)} {unit} {figure.note}", file=sys.stderr, flush=True)

    def add_times_faster(self, part, what, ours, peer_name, peer, **more):
        """Seconds; the result is how many times faster than the peer."""
        result, best = statistics.median(peer) / statistics.median(ours), min(peer) / min(ours)
        self.add(part, what, "s", ours, peer_name, peer, result, best=best, **more)

    def add_ratio(self, part, what, unit, ours, peer_name, peer, **more):
        """The result is what was measured by the peer's."""
        choose = max if unit.endswith("/s") else min
        result, best = statistics.median(ours) / statistics.median(peer), choose(ours) / choose(peer)
        self.add(part, what, unit, ours, peer_name, peer, result, best=best, **more)

    def skip(self, part, why):
        self.skipped.append((part, str(why)))
        print(f"  {part} skipped: {why}", file=sys.stderr, flush=True)

    def print(self):
        for key, value in self.machine.items():
            print(f"{key}: {value}")
        rows = [("", "figure", "measured (min–max)", "peer", "measured", "ratio", "best", "wanted", "")]
        for figure in self.figures:
            rows.append(
                (
                    figure.part,
                    figure.what,
                    f"{spread(figure.ours)} {figure.unit}",
                    figure.peer_name,
                    spread(figure.peer) if figure.peer else "",
                    number(figure.result) if figure.result is not None else "",
                    number(figure.best) if figure.best is not None else "",
                    figure.wanted(),
                    figure.note,
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows)]
        print()
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        for part, why in self.skipped:
            print(f"{part}: skipped: {why}")

    def write_json(self, path):
        figures = [dict(dataclasses.asdict(figure), met=figure.met()) for figure in self.figures]
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"machine": self.machine, "figures": figures, "skipped": self.skipped}, out, indent=2)
            out.write("\n")
