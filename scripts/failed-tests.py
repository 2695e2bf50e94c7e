#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names the tests that failed by a ctest --output-junit file, each with the last lines it printed: who has only the end of a
long log reads why. usage: failed-tests.py STAGE JUNIT"""
import pathlib
import sys
import xml.etree.ElementTree

LAST_LINES = 12
LONGEST_LINE = 200

stage, path = sys.argv[1:]
cases = xml.etree.ElementTree.parse(path).iter("testcase") if pathlib.Path(path).exists() else []
for case in cases:
    if case.get("status") == "fail":
        print(f"=== {stage}: {case.get('name')} failed after {float(case.get('time')):.1f} s")
        for line in (case.findtext("system-out") or "").rstrip().split("\n")[-LAST_LINES:]:
            print("   ", line[:LONGEST_LINE])
