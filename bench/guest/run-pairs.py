#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the benchmark guest once, saves it, and from there lets it do each workload. Called by make-pairs.sh.

The base's dump is the RAM that every workload starts with; its disk is an overlay that they only read.
"""

import os
import subprocess
import sys

import vm

WORKLOADS = ("compile", "kv", "sqlite-git")
MINUTE = 57
SECONDS = 10


def pair_row(parent, child):
    seen = vm.compare(parent, child)
    changed = seen.filled + seen.rewritten + seen.emptied
    names = [os.path.basename(path) for path in (parent, child)]
    return names + [changed, seen.pages, f"{100 * changed / seen.pages:.2f}", seen.filled, seen.rewritten, seen.emptied]


def table(rows):
    rows = [["# parent", "child", "changed", "of", "%", "zero->data", "data->data", "data->zero"]] + rows
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]
    names = 2
    return [
        "  ".join(
            str(cell).ljust(width) if column < names else str(cell).rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]


def run(options):
    def dump_path(name):
        return os.path.join(options.outdir, name + ".raw")

    base, state = dump_path("base"), os.path.join(options.work, "base.state")
    disk = os.path.join(options.work, "base-disk.qcow2")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", os.path.abspath(options.disk), "-F", "raw", disk], check=True
    )
    report, rows = vm.made_from(options), []
    with vm.Machine(options, f"file={disk},format=qcow2") as guest:
        guest.boot()
        guest.save_state(state)
        report += guest.dump(base)
    for work in WORKLOADS:
        minute, seconds = dump_path(f"{work}-minute"), dump_path(f"{work}-seconds")
        drive = f"file={disk},format=qcow2,snapshot=on"
        with vm.Machine(options, drive, log=f"serial-{work}.log", saved=(base, state)) as guest:
            vm.say(f"{work}, from the base")
            guest.start_work(work)
            guest.work_on(MINUTE)
            report += guest.dump(minute)
            guest.resume()
            guest.work_on(SECONDS)
            report += guest.dump(seconds)
        rows += [pair_row(base, minute), pair_row(minute, seconds)]
        vm.say("; ".join(f"{row[0]} to {row[1]}: {row[4]} %" for row in rows[-2:]))
    os.unlink(state)
    os.unlink(disk)
    report.append(f"-minute: {MINUTE} s of work after the base; -seconds: {SECONDS} s later")
    return ["# " + line for line in report] + table(rows)


if __name__ == "__main__":
    parser = vm.machine_options()
    parser.add_argument("--outdir", required=True)
    sys.exit(vm.main(parser.parse_args(), run))
