#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what the shared library exports with what include/snap declares.

usage: check_exports.py LIBRARY INCLUDE_SNAP_DIR     exit 1 and one line for each symbol too many or too few
"""
import pathlib
import re
import subprocess
import sys


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    library, headers = sys.argv[1], pathlib.Path(sys.argv[2])
    c_header = without_comments((headers / "snap.h").read_text())
    declared_c = set(re.findall(r"SNAP_API[^;]*?\b(snap_\w+)\(", c_header))
    cpp_words = set()
    for header in headers.glob("*.h"):
        if header.name != "snap.h":
            cpp_words |= set(re.findall(r"\w+", without_comments(header.read_text())))

    lines = subprocess.run(["nm", "-D", "-C", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    faults, exported_c = [], set()
    for line in lines.splitlines():
        name = re.sub(r"@+SNAP_\d+$", "", line.split(maxsplit=2)[2])
        if re.fullmatch(r"SNAP_\d+", name):  # the version node itself
            continue
        if re.fullmatch(r"snap_\w+", name):
            exported_c.add(name)
            continue
        found = re.match(r"(?:(?:typeinfo|typeinfo name|vtable|VTT|guard variable) for |[\w<>:,*& ]+ )?snap::(\w+)", name)
        if not found or found[1] not in cpp_words:
            faults.append(f"exported, but in no public header: {name}")
    faults += [f"exported, but not in snap.h: {name}" for name in sorted(exported_c - declared_c)]
    faults += [f"in snap.h, but not exported: {name}" for name in sorted(declared_c - exported_c)]
    print("\n".join(faults) if faults else f"{len(exported_c)} C functions, and of C++ only what include/snap declares")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
