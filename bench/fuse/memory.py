# SPDX-License-Identifier: Apache-2.0
"""Figure 5: the daemon's memory while sixteen readers ask for anything."""

import threading

import mounts
import setup

READERS = 16
BESIDE_CACHE = 32 << 20
SAMPLE_SECONDS = 0.01
MEGA = 1e6


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}


class Sampler(threading.Thread):
    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.ended, self.largest = pid, threading.Event(), {}

    def run(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            try:
                self.note()
            except OSError:
                return

    def note(self):
        for name, value in status(self.pid).items():
            self.largest[name] = max(value, self.largest.get(name, 0))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def measure(where, report):
    where.need_command("mount")
    snapshot = where.image(mounts.VIEW)
    setup.warm(snapshot)
    seconds = str(min(10, 2 + where.rounds))
    for mebibytes in (64, 16):
        with where.view(snapshot, cache_size=f"{mebibytes}M") as (mounted, process):
            with Sampler(process.pid) as sampler:
                told = where.read(mounts.regions(mounted)[0], "load", "--readers", str(READERS), "--seconds", seconds)
                sampler.note()
        largest = sampler.largest
        allowed = (mebibytes << 20) + BESIDE_CACHE
        note = f"VmRSS at most {largest['VmRSS'] / MEGA:.0f}, anonymous {largest['RssAnon'] / MEGA:.0f}"
        note += f", of files {largest['RssFile'] / MEGA:.0f}; {told['bytes'] / told['seconds'] / MEGA:.0f} MB/s read"
        what = f"peak memory, {READERS} readers, cache_size={mebibytes}M"
        peak = [largest["VmHWM"] / MEGA]
        report.add_ratio("5", what, "MB", peak, "limit + 32 MiB", [allowed / MEGA], at_most=1, note=note)
