# SPDX-License-Identifier: Apache-2.0
"""Figure 5: how much vmsnap takes from a pipe, against cat > /dev/null."""

import fcntl
import os
import statistics
import subprocess
import time

import setup

PART = "5"
PIPE_BYTES = 1 << 20
MEGA = 1e6
WANTED = 0.9
# What counts as all processors at work: the rest is waiting that nobody can avoid at a start and an end.
ALL_PROCESSORS = 0.9


def splice_all(path, pipe, bytes_per_second):
    """Runs in a process of its own: pages of the page cache into the pipe, without copying them."""
    with open(path, "rb") as file:
        begin, sent = time.monotonic(), 0
        while moved := os.splice(file.fileno(), pipe, PIPE_BYTES):
            sent += moved
            if bytes_per_second:
                time.sleep(max(0.0, begin + sent / bytes_per_second - time.monotonic()))


def start_producer(kind, path, pipe):
    """kind: "cat", or bytes a second, 0 for as fast as can be. Its process id."""
    if kind == "cat":
        return subprocess.Popen(["cat", path], stdout=pipe, stdin=subprocess.DEVNULL).pid
    pid = os.fork()
    if pid == 0:
        try:
            splice_all(path, pipe, kind)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


def transfer(kind, path, consumer):
    """(seconds until all is taken, until the consumer ends, processor seconds of the consumer, of both)."""
    readable, writable = os.pipe()
    fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    with open(os.devnull, "wb") as null:
        taker = subprocess.Popen(consumer, stdin=readable, stdout=null)
    os.close(readable)
    begin = time.monotonic()
    producer = start_producer(kind, path, writable)
    os.close(writable)
    _, status, feeding = os.wait4(producer, 0)
    taken = time.monotonic() - begin
    _, failed, taking = os.wait4(taker.pid, 0)
    ended = time.monotonic() - begin
    taker.returncode = failed
    if status or failed:
        raise setup.Missing(f"{' '.join(consumer)}: {failed}; its producer: {status}")
    of_taker = taking.ru_utime + taking.ru_stime
    of_both = of_taker + feeding.ru_utime + feeding.ru_stime
    return taken, ended, of_taker, of_both


def measure(where, report):
    out = where.fast_path("taken.vmsnap")
    inputs = {"stream": (where.mig("base"), "qemu"), "raw": (where.data_path("guest.raw"), "raw")}
    producers = {"cat": "cat", "splice": 0, "1 GB/s": 1e9, "500 MB/s": 5e8}
    processors = len(os.sched_getaffinity(0))
    for name, (path, form) in inputs.items():
        if not os.path.exists(path):
            report.skip(PART, f"{path} is not there")
            continue
        setup.warm(path)
        size = os.path.getsize(path)
        consumers = {c: where.convert("-f", form, "-o", f"codec={c}", "-", out) for c in ("store", "lz4", "zstd")}
        consumers["cat"] = ["cat"]
        for producer, kind in producers.items():
            results = {consumer: [] for consumer in consumers}
            for _ in range(where.rounds):
                for consumer, command in consumers.items():
                    results[consumer].append(transfer(kind, path, command))
                    if os.path.exists(out):
                        os.unlink(out)
            peer = [size / result[0] / MEGA for result in results["cat"]]
            for consumer in list(consumers)[:-1]:
                ours = [size / result[0] / MEGA for result in results[consumer]]
                _, ended, alone, both = map(statistics.median, zip(*results[consumer]))
                limit = both / ended / processors >= ALL_PROCESSORS
                note = f"{alone / ended:.1f} of {processors} processors, with the producer {both / ended:.1f}"
                note += ": the limit" if limit else ""
                what, wanted = f"{name} from {producer}, {consumer}", None if limit else WANTED
                report.add_ratio(PART, what, "MB/s", ours, "cat > /dev/null", peer, at_least=wanted, note=note)
