#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the benchmark guest once and saves it twice, each time with its disk. Called by make-streams.sh."""

import os
import shutil
import subprocess
import sys
import time

import vm

BEATING_SECONDS = 3
ROUND_SECONDS = 120


def run(options):
    def path(name):
        return os.path.join(options.outdir, name)

    disk, backing = path("child.qcow2"), os.path.relpath(options.disk, options.outdir)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", disk], check=True)
    report = vm.made_from(options)
    with vm.Machine(options, f"file={disk},format=qcow2", log="serial-streams.log") as guest:
        guest.boot()
        guest.start_work("beat")
        guest.work_on(BEATING_SECONDS)
        guest.save_stream(path("base.mig"))
        shutil.copyfile(disk, path("base.qcow2"))  # QEMU has written all and let go of it
        base = os.path.join(options.work, "streams-base.raw")
        report += guest.dump(base)
        guest.resume()
        guest.serial.send("go")
        guest.serial.wait_for("round 1", time.monotonic() + ROUND_SECONDS)
        guest.work_on(1)
        guest.save_stream(path("child.mig"))
        child = os.path.join(options.work, "streams-child.raw")
        report += guest.dump(child)
    seen = vm.compare(base, child)
    os.unlink(base)
    os.unlink(child)
    changed = seen.filled + seen.rewritten + seen.emptied
    report.append(
        f"changed: {changed} of {seen.pages} pages ({100 * changed / seen.pages:.1f} %): "
        f"{seen.filled} filled, {seen.rewritten} rewritten, {seen.emptied} emptied"
    )
    return report


if __name__ == "__main__":
    parser = vm.machine_options()
    parser.add_argument("--outdir", required=True)
    sys.exit(vm.main(parser.parse_args(), run))
