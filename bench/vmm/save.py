# SPDX-License-Identifier: Apache-2.0
"""Figure 1: the stopped guest migrates into vmsnap, and into its peers."""

import os
import shlex

import setup
import vm

PART = "1"
POLL_SECONDS = 0.005


def measure(where, report):
    with where.whole("base", setup.cat_uri(where.mig("base"))) as guest:
        guest.wait_until_loaded()
        guest.command("migrate-set-parameters", **vm.UNTHROTTLED)
        places = [("tmpfs", where.fast_path("saved"), False), ("disk", where.data_path("saved"), True)]
        for place, out, slow in places:
            try:
                measure_in(where, report, guest, place, out, slow)
            finally:
                for name in os.listdir(os.path.dirname(out)):
                    if name.startswith("saved"):
                        os.unlink(os.path.join(os.path.dirname(out), name))


def measure_in(where, report, guest, place, out, slow):
    to = shlex.quote(out)
    peers = {"cat > f": (f"exec:cat > {to}", 0.8)}
    if slow:  # a snapshot is on the disk when it has its name; nothing is said of what the peers leave behind
        peers["cat > f && sync f"] = (f"exec:cat > {to} && sync {to}", None)
    else:
        peers["lz4 -1 > f"] = (f"exec:lz4 -1 > {to}", 1.5)
        peers["gzip -1 > f"] = (f"exec:gzip -1 > {to}", 3)
    ours, theirs = {"lz4": [], "zstd": []}, {name: [] for name in peers}
    snapshot = out + ".vmsnap"
    for _ in range(where.rounds):
        for codec, seconds in ours.items():
            seconds.append(guest.migrate(where.save_uri(snapshot, codec), POLL_SECONDS))
        for name, (uri, _) in peers.items():
            theirs[name].append(guest.migrate(uri, POLL_SECONDS))
            os.unlink(out)
        os.unlink(snapshot)
    for codec, seconds in ours.items():
        for name, (_, wanted) in peers.items():
            wanted = wanted if codec == "lz4" else None
            report.add_times_faster(PART, f"save, {codec}, to {place}", seconds, name, theirs[name], at_least=wanted)
