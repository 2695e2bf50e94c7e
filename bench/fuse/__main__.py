# SPDX-License-Identifier: Apache-2.0
"""The mounted view: figures 1 to 5, each beside its peers, in turn with them. Called by bench/run.sh fuse."""

import argparse
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "../vmm"), os.path.join(HERE, "../guest")]

import memory
import mounts
import qemu
import reads
import report
import setup
import working_set

FIGURES = {
    "1": reads.measure_sequential,
    "2": reads.measure_random,
    "3": reads.measure_warm,
    "4": working_set.measure,
    "5": memory.measure,
}


def main():
    parser = argparse.ArgumentParser(prog="run.sh fuse")
    parser.add_argument("--vmsnap", required=True, help="the program")
    parser.add_argument("--programs", required=True, help="where vmsnap-bench, fuse-memory-server and file-reader are")
    parser.add_argument("--data", required=True, help="what make-guest.sh and make-streams.sh made")
    parser.add_argument("--figures", default="".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    results = report.Report(report.machine(options.rounds, **mounts.versions()))
    with mounts.Place(options) as where:
        results.measure(FIGURES, options.figures, where, (setup.Missing, qemu.Failure))
    return results.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
