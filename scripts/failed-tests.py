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
try:
    cases = list(xml.etree.ElementTree.parse(path).iter("testcase")) if pathlib.Path(path).exists() else []
except xml.etree.ElementTree.ParseError:
    cases = []
    print(f"=== {stage}: {path} was not written to its end")
for case in cases:
    skipped = case.find("skipped")
    has_not_run = case.get("status") == "notrun" and (skipped is None or "SKIP_RETURN_CODE" not in skipped.get("message", ""))
    if has_not_run or case.get("status") == "fail":
        print(f"=== {stage}: {case.get('name')} " + ("was not run" if has_not_run else f"failed after {float(case.get('time')):.1f} s"))
        for line in (case.findtext("system-out") or "").rstrip().split("\n")[-LAST_LINES:]:
            print("   ", line[:LONGEST_LINE])
