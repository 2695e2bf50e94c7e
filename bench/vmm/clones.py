# SPDX-License-Identifier: Apache-2.0
"""Figures 3 and 4: clones, one and thirty, against a QEMU that has nothing to take in and against whole restores."""

import concurrent.futures
import contextlib
import os
import shutil
import statistics
import time

import qemu
import setup
import vm

CLONES = 30
AT_ONCE = 2  # processors
WHOLE_BYTES = 600 << 20  # what a whole restore may take
MEGA = 1e6


def ready(where):
    where.need_command("restore")
    base = where.snapshot("base")
    return base, where.snapshot("child", parent=base)


def clone(where, base, child):
    ram = ["-machine", f"memory-backend={vm.RAM_BLOCK}"]
    return qemu.Guest(where.hardware["child"], ram, where.clone(base, child))


def run_once(guest):
    with guest:
        loaded = guest.wait_until_loaded()
        guest.go_on()
        return loaded, guest.wait_for_beat()


def measure_one(where, report):
    """Start to running; QEMU's own start is the base over its own memory, with no page in its stream."""
    base, child = ready(where)
    memory, empty = where.fast_path("base.ram"), where.fast_path("empty.mig")
    where.stream("base").write_block(vm.RAM_BLOCK, memory)
    where.stream("base").write_without(vm.RAM_BLOCK, empty)
    backend = f"memory-backend-file,id={vm.RAM_BLOCK},size={setup.MEGABYTES << 20},mem-path={memory},share=off"
    own = ["-machine", f"memory-backend={vm.RAM_BLOCK}", "-object", backend, "-incoming", setup.cat_uri(empty)]
    ways = {
        "own": lambda: qemu.Guest(where.hardware["base"], own),
        "clone": lambda: clone(where, base, child),
        "whole": lambda: where.whole("child", setup.cat_uri(where.mig("child"))),
    }
    run_once(ways["clone"]())  # makes the base's memory, once per host
    results = {name: [] for name in ways}
    for _ in range(where.rounds):
        for name, start in ways.items():
            results[name].append(run_once(start()))
    os.unlink(memory)
    changed = where.changed()
    for index, event in enumerate(("loaded", "first beat")):
        one, own_start, whole = ([round[index] for round in results[name]] for name in ("clone", "own", "whole"))
        report.add_ratio("3", f"clone, {event}", "s", one, "no pages to take in", own_start)
        over = [(mine - statistics.median(own_start)) / (changed / setup.GIGA) for mine in one]
        what = f"over that, by {changed / MEGA:.0f} MB changed, {event}"
        wanted = 1.2 if event == "loaded" else None
        report.add("3", what, "s/GB", over, result=statistics.median(over), at_most=wanted)
        wanted = 5 if event == "loaded" else None
        report.add_times_faster("3", f"clone, {event}", one, "cat f, whole", whole, at_least=wanted)


def many(starts, keep):
    """Starts them all, AT_ONCE at a time; each is stopped at its first beat, and kept or ended. (seconds, memory)."""

    def one(start):
        guest = start()
        opened.append(guest)
        guest.wait_until_loaded()
        guest.go_on()
        guest.wait_for_beat()
        guest.command("stop")
        if not keep:
            guest.end()

    opened = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [guest.end() for guest in opened])
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, starts))
            seconds = time.monotonic() - begin
            # Here, since a guest dies with the thread that started it.
            memory = [guest.private_bytes() for guest in opened] if keep else []
    return seconds, memory


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        return next(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable"))


def measure_many(where, report):
    base, child = ready(where)
    children = []
    for number in range(CLONES):  # thirty files, as thirty people have
        children.append(where.data_path(f"child-{number}.vmsnap"))
        shutil.copyfile(child, children[-1])
    try:
        keep = available_bytes() > CLONES * WHOLE_BYTES
        run_once(clone(where, base, child))
        clones, wholes, memory = [], [], []
        for _ in range(max(3, where.rounds // 2)):
            seconds, memory = many([lambda file=file: clone(where, base, file) for file in children], True)
            clones.append(seconds)
            uri = setup.cat_uri(where.mig("child"))
            seconds, whole_memory = many([lambda: where.whole("child", uri)] * CLONES, keep)
            wholes.append(seconds)
    finally:
        for file in children:
            os.unlink(file)
    note = "" if keep else "whole restores ended one by one, for want of memory"
    what = f"{CLONES} clones, {AT_ONCE} at a time"
    report.add_times_faster("4", what, clones, "cat f, whole", wholes, at_least=5, note=note)
    changed = where.changed() / MEGA
    private, anonymous = (sum(both[index] for both in memory) / MEGA for index in (0, 1))
    note = f"{private / CLONES - changed:.1f} MB each beyond the {changed:.0f} MB that changed"
    if whole_memory:
        note += f"; a whole restore has {sum(both[0] for both in whole_memory) / CLONES / MEGA:.0f} MB"
    allowed = CLONES * (changed + 40)
    what = f"{CLONES} clones, private memory"
    report.add_ratio("4", what, "MB", [private], "changed + 40 MB each", [allowed], at_most=1, note=note)
    report.add("4", f"{CLONES} clones, anonymous memory", "MB", [anonymous])
