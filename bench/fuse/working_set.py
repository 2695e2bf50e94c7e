# SPDX-License-Identifier: Apache-2.0
"""Figure 4: a clone over the mounted base, with the blocks that a clone touched before decoded before it starts."""

import os

import clones
import mounts
import setup


def measure(where, report):
    where.need_command("mount")
    base, child = clones.ready(where)
    recorded = where.fast_path("working-set")
    setup.warm(base, child)

    def run(mounted):
        return clones.run_once(clones.clone(where, mounted, child))

    def fresh(*more):
        with where.view(base, *more) as (mounted, _):
            return run(mounted)

    fresh("--record", recorded)
    if not os.path.exists(recorded):
        raise setup.Missing("mount --record left nothing")
    with where.view(base) as (mounted, _):
        setup.warm(*mounts.regions(mounted))
        run(mounted)
        ways = {
            "prefetched": lambda _: fresh("--prefetch", recorded),
            "warm": lambda _: run(mounted),
            "cold": lambda _: fresh(),
        }
        told = mounts.in_turn(ways, where.rounds)
    with open(recorded, encoding="ascii") as lines:
        pushed = sum(int(line.split()[2], 16) for line in lines if not line.startswith("#"))
    note = f"a working set of {pushed / 1e6:.0f} MB"
    for index, event in enumerate(("loaded", "first beat")):
        one = {name: [round[index] for round in told[name]] for name in ways}
        wanted = 1.2 if event == "first beat" else None
        what = f"clone over the view, {event}"
        report.add_ratio("4", f"{what}, prefetched", "s", one["prefetched"], "warm", one["warm"], at_most=wanted, note=note)
        report.add_ratio("4", f"{what}, cold", "s", one["cold"], "warm", one["warm"])
