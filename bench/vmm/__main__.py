# SPDX-License-Identifier: Apache-2.0
"""In and out of a real QEMU: figures 1 to 5, each beside its peer, in turn with it. Called by bench/run.sh vmm."""

import argparse
import os
import platform
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../guest"))

import clones
import pipes
import qemu
import report
import restore
import save
import setup

FIGURES = {
    "1": save.measure,
    "2": restore.measure,
    "3": clones.measure_one,
    "4": clones.measure_many,
    "5": pipes.measure,
}


def load():
    return "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(prog="run.sh vmm")
    parser.add_argument("--vmsnap", required=True, help="the program")
    parser.add_argument("--data", required=True, help="what make-streams.sh made")
    parser.add_argument("--figures", default="12345")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    machine = {
        "qemu": first_line("qemu-system-x86_64", "--version"),
        "kernel": platform.release(),
        "processors": len(os.sched_getaffinity(0)),
        "rounds": options.rounds,
        "load before": load(),
    }
    results = report.Report(machine)
    with setup.Setup(options) as where:
        for part in sorted(set(options.figures)):
            try:
                FIGURES[part](where, results)
            except (setup.Missing, qemu.Failure) as error:
                results.skip(part, error)
    machine["load after"] = load()
    results.print()
    if options.json:
        results.write_json(options.json)
    return 1 if results.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
