#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the benchmark guest, waits until it says READY, stops it and copies its RAM out. Called by make-guest.sh."""

import sys
import time

import vm


def run(options):
    report = vm.made_from(options)
    with vm.Machine(options, f"file={options.disk},format=raw,snapshot=on") as guest:
        guest.boot()
        report += guest.dump(options.dump)
        if options.later:
            seconds, path = options.later.split(":", 1)
            guest.start_work("mixed")
            guest.work_on(int(seconds))
            report += guest.dump(path)
            report.append(f"later: {options.later}")
            seen = vm.compare(options.dump, path)
            changed = seen.filled + seen.rewritten + seen.emptied
            report.append(
                f"changed between the dumps: {changed} of {seen.pages} pages ({100 * changed / seen.pages:.1f} %)"
            )
    report.append(f"seconds from power-on to the last dump: {time.monotonic() - vm.STARTED:.0f}")
    return report


if __name__ == "__main__":
    parser = vm.machine_options()
    parser.add_argument("--dump", required=True)
    parser.add_argument("--later", help="SECONDS:FILE")
    sys.exit(vm.main(parser.parse_args(), run))
