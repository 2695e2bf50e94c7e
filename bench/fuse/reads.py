# SPDX-License-Identifier: Apache-2.0
"""Figures 1 to 3: what one reader and two get of a mount, cold and warm."""

import itertools
import statistics

import mounts
from mounts import EROFS, LITTLE_AHEAD, MINIMAL, SQUASHFS, SQUASHFUSE, VIEW

MEGA = 1e6
DECODE = "libsnap's decode"
RAW = "the raw file"
# A block of squashfuse, the largest of all: no read finds what an earlier one has decoded.
APART = str(128 << 10)
COUNT = "4096"
TWICE = "2 readers, each all of it"
READERS = {
    "1 reader": ["--readers", "1"],
    "2 readers": ["--readers", "2"],
    TWICE: ["--readers", "2", "--each-whole"],
}


def speed(told):
    return told["bytes"] / told["seconds"] / MEGA


def measure_sequential(where, report):
    where.need_command("mount")
    mounts.need_tools()
    names = [VIEW, LITTLE_AHEAD, MINIMAL, SQUASHFUSE, SQUASHFS, EROFS]

    def read(name, options):
        with where.mounted(name) as path:
            return speed(where.read_cold(path, "sequential", *options))

    snapshot = where.image(VIEW)
    for readers, options in READERS.items():
        ways = {name: lambda _, name=name, options=options: read(name, options) for name in names}
        wanted = {}
        if readers != TWICE:
            ways[DECODE] = lambda _: speed(where.library("--child-decode", snapshot, where.threads))
            wanted = {SQUASHFUSE: 1.2, SQUASHFS: 1, EROFS: 1}
        speeds = mounts.in_turn(ways, where.rounds)
        if wanted:
            wanted[min((MINIMAL, DECODE), key=lambda name: statistics.median(speeds[name]))] = 0.7
        views = (VIEW, LITTLE_AHEAD)  # what root has, and what others have
        for view, peer in itertools.product(views, [way for way in ways if way not in views]):
            what = f"cold, in order, {readers}" + ("" if view == VIEW else ", read_ahead=128K")
            report.add_ratio("1", what, "MB/s", speeds[view], peer, speeds[peer], at_least=wanted.get(peer))


def measure_random(where, report):
    where.need_command("mount")
    mounts.need_tools()
    names = [VIEW, SQUASHFUSE, MINIMAL]

    def read(name, seed, options):
        with where.mounted(name) as path:
            common = ["--advice", "random", "--apart", APART, "--count", COUNT, "--seed", str(seed + 2)]
            told = where.read_cold(path, "random", *common, *options)
            return told["p50_us"], told["p99_us"]

    def decode(seed):
        told = where.library("--child-decode-blocks", where.image(VIEW), where.raw, seed + 2, COUNT)
        return told["p50_us"], told["p99_us"]

    for pages, options in {"data": ["--data-of", where.raw], "all": []}.items():
        ways = {name: lambda seed, name=name, options=options: read(name, seed, options) for name in names}
        ways[DECODE] = decode
        told = mounts.in_turn(ways, where.rounds)
        p50 = {name: [one[0] for one in told[name]] for name in ways}
        p99 = {name: [one[1] for one in told[name]] for name in ways}
        what = f"cold, 4 KiB at random of {pages} pages"
        report.add_ratio("2", f"{what}, p50", "µs", p50[VIEW], SQUASHFUSE, p50[SQUASHFUSE], at_most=0.5)
        allowed = [block + 3 * minimal for block, minimal in zip(p50[DECODE], p50[MINIMAL])]
        note = f"a decode {statistics.median(p50[DECODE]):.1f}, the minimal server {statistics.median(p50[MINIMAL]):.1f}"
        peer = "a block's decode + 3 × minimal"
        report.add_ratio("2", f"{what}, p50", "µs", p50[VIEW], peer, allowed, at_most=1, note=note)
        # Of all pages most are zero: their median says nothing of a slow one.
        report.add_ratio("2", f"{what}, p99", "µs", p99[VIEW], "its p50", p50[VIEW], at_most=4 if pages == "data" else None)
        for peer in (SQUASHFUSE, MINIMAL):
            report.add_ratio("2", f"{what}, p99", "µs", p99[VIEW], peer, p99[peer])


def measure_warm(where, report):
    where.need_command("mount")
    with where.mounted(VIEW) as view, where.mounted(MINIMAL) as minimal:
        paths = {VIEW: view, RAW: where.raw, MINIMAL: minimal}

        def series(mode, key, *options):
            def read(name):
                return lambda seed: key(where.read(paths[name], mode, "--warm", "--seed", str(seed + 2), *options))

            return mounts.in_turn({name: read(name) for name in paths}, where.rounds)

        for readers in ("1 reader", "2 readers"):
            speeds = series("sequential", speed, *READERS[readers])
            what = f"warm, in order, {readers}"
            report.add_ratio("3", what, "MB/s", speeds[VIEW], RAW, speeds[RAW], at_least=0.9)
            report.add_ratio("3", what, "MB/s", speeds[VIEW], MINIMAL, speeds[MINIMAL])
        for mode, what in {"random": "4 KiB at random", "map": "touches at random"}.items():
            times = series(mode, lambda told: told["p50_us"], "--count", "65536")
            what = f"warm, {what}, p50"
            report.add_ratio("3", what, "µs", times[VIEW], RAW, times[RAW], at_most=1.1)
            report.add_ratio("3", what, "µs", times[VIEW], MINIMAL, times[MINIMAL])
