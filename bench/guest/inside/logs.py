#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes an access log of LINES lines to PATH, and two older ones, PATH.1 and PATH.2."""

import random
import sys
import time

path, lines = sys.argv[1], int(sys.argv[2])
for generation, name in enumerate((path, path + ".1", path + ".2")):
    chance = random.Random(name)
    at = time.time() - 86400 * generation
    with open(name, "w", encoding="ascii") as log:
        for _ in range(lines):
            at += chance.expovariate(5)
            address = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
            stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
            log.write(
                f'{address} - - [{stamp}] "GET /item/{chance.randrange(10**5)}?ref={chance.choice("abcdef")} HTTP/1.1" '
                f'{chance.choice((200, 200, 200, 304, 404))} {chance.randrange(100, 60000)} {chance.getrandbits(64):016x}\n'
            )
