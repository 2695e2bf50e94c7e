#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills the key-value store on the loopback with baskets, counters and cached texts: MEGABYTES [ROUND]."""

import glob
import json
import random
import socket
import sys
import zlib

megabytes, turn = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
chance = random.Random(turn)
link = socket.create_connection(("127.0.0.1", 6379))
files = sorted(glob.glob("/usr/lib/python3*/*.py"))


def request(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


sent = number = 0
while sent < megabytes << 20:
    number += 1
    with open(chance.choice(files), encoding="utf-8", errors="replace") as source:
        text = source.read()
    key = f"{turn}:{number}"
    value = zlib.compress(text.encode()) if number % 3 == 0 else text.encode()
    batch = [request("SET", "page:" + key, value)]
    sent += len(value)
    for visit in range(20):
        basket = json.dumps(
            {
                "user": chance.randrange(10**6),
                "token": "%032x" % chance.getrandbits(128),
                "agent": "Mozilla/5.0 (X11; Linux x86_64)",
                "items": [chance.randrange(5000) for _ in range(visit % 9)],
            }
        )
        batch.append(request("SET", f"basket:{key}:{visit}", basket))
        sent += len(basket) + 60
    batch.append(request("HINCRBY", "visits", text[:16].encode().hex(), 1))
    link.sendall(b"".join(batch))
    answers = 0
    while answers < len(batch):  # each is one line
        received = link.recv(65536)
        if not received:
            sys.exit("the store hung up")
        answers += received.count(b"\r\n")
