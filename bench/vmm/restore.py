# SPDX-License-Identifier: Apache-2.0
"""Figure 2: QEMU takes the whole guest in, from a snapshot and from the stream itself."""

import setup

PART = "2"


def timed(where, uri, forgotten=()):
    """(loaded, beat) in seconds from QEMU's start; None where the files could not be forgotten."""
    gone = not forgotten or setup.forget(*forgotten)
    with where.whole("child", uri) as guest:
        loaded = guest.wait_until_loaded()
        guest.go_on()
        beat = guest.wait_for_beat()
    return loaded, beat, gone


def measure(where, report):
    stream = where.mig("child")
    snapshots = {codec: where.snapshot("child", codec) for codec in ("lz4", "zstd")}
    ways = {f"snapshot, {codec}": (where.incoming_uri(path), path) for codec, path in snapshots.items()}
    ways["cat f"] = (setup.cat_uri(stream), stream)
    for cold in (False, True):
        setup.warm(stream, *snapshots.values())
        results = {name: [] for name in ways}
        gone = True
        for _ in range(where.rounds):
            for name, (uri, path) in ways.items():
                results[name].append(timed(where, uri, [path] if cold else ()))
                gone = gone and results[name][-1][2]
        kind = "cold" if cold else "warm"
        note = "" if gone else "the page cache did not let go of the files"
        for name in list(ways)[:-1]:
            for index, event in enumerate(("loaded", "first beat")):
                ours = [round[index] for round in results[name]]
                peer = [round[index] for round in results["cat f"]]
                wanted = (1.0 if cold else 1.05) if "lz4" in name and event == "loaded" else None
                report.add_ratio(PART, f"{name}, {kind}, {event}", "s", ours, "cat f", peer, at_most=wanted, note=note)
