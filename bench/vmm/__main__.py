# SPDX-License-Identifier: Apache-2.0
"""In and out of a real QEMU: figures 1 to 5, each beside its peer, in turn with it. Called by bench/run.sh vmm."""

import argparse
import os
import signal
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
    results = report.Report(report.machine(options.rounds, qemu=report.first_line("qemu-system-x86_64", "--version")))
    with setup.Setup(options) as where:
        results.measure(FIGURES, options.figures, where, (setup.Missing, qemu.Failure))
    return results.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
