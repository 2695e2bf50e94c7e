#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build FILE: library sources and their words in a database. work FILE ROUND: some transactions on it."""

import glob
import re
import sqlite3
import sys

BUDGET = 5 << 20

action, path = sys.argv[1:3]
database = sqlite3.connect(path)
if action == "build":
    database.executescript(
        "pragma journal_mode=wal;"
        "create table source (id integer primary key, path text, body text);"
        "create table word (term text, source integer, line integer);"
    )
    taken = 0
    for number, name in enumerate(sorted(glob.glob("/usr/lib/python3*/*.py") + glob.glob("/usr/include/**/*.h"))):
        with open(name, encoding="utf-8", errors="replace") as source:
            body = source.read()
        taken += len(body)
        if taken > BUDGET:
            break
        database.execute("insert into source values (?, ?, ?)", (number, name, body))
        database.executemany(
            "insert into word values (?, ?, ?)",
            (
                (term, number, line)
                for line, text in enumerate(body.splitlines())
                for term in re.findall(r"[A-Za-z_]{4,}", text)[:3]
            ),
        )
    database.execute("create index word_term on word (term)")
else:
    turn = int(sys.argv[3])
    for step in range(20):
        with database:
            database.execute(
                "update word set line = line + ? where source = ?", (turn, (turn * 20 + step) * 7 % 200)
            )
            database.execute(
                "insert into source (path, body) select path || ?, body from source where id = ?",
                (f".{turn}", (turn * 20 + step) % 150),
            )
    database.execute("select term, count(*) from word group by term order by 2 desc limit 50").fetchall()
database.commit()
