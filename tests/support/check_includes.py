#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Greps every #include of the tree against the table of CONTRIBUTING.md: which folder may include which.

usage: check_includes.py SOURCE_DIR        exit 1 and one line for each include that points the wrong way
       check_includes.py --self-test
"""
import pathlib
import re
import sys
import tempfile

# libsnap/src/: a folder may include itself, these, and what these may.
MAY = {
    "base": ["format"],
    "io": ["base"],
    "codec": ["base"],
    "image": ["base", "format", "codec"],
    "chain": ["image", "codec"],
    "read": ["chain", "image", "io", "codec"],
    "write": ["chain", "image", "io", "codec"],
    "check": ["read"],
    "restore": ["read"],
    "vmm": ["base", "io"],
    "capi": ["check", "restore", "write", "vmm"],
}
# Public headers are the contract between folders: who may see which. The rest of include/snap is for every folder.
PUBLIC = {
    "reader.h": ["chain", "read", "write", "check", "restore", "vmm", "capi"],
    "writer.h": ["codec", "write", "vmm", "capi"],
    "check.h": ["check", "capi"],
    "restore.h": ["read", "restore", "vmm", "capi"],
    "import.h": ["vmm", "capi"],
    "snap.h": ["capi"],
}
# Foreign libraries and the only folders that know of them.
LIBRARIES = {
    "zstd": ["codec", "vmm"], "lz4": ["codec"], "xxhash": ["codec"], "blake3": ["codec", "vmm"],
    "liburing": ["io"], "isa-l": ["vmm"], "igzip": ["vmm"], "crc.h": ["vmm"], "zlib": ["vmm"], "zconf": ["vmm"], "bzlib": ["vmm"], "lzma": ["vmm"], "lzo/": ["vmm"],
}
FUSE_SHOWS = {"fuse/names.h", "fuse/server.h", "fuse/source.h"}
FORMAT_MAY = {"cstdint", "bit", "cstring", "cstddef"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SOURCES = {".c", ".cc", ".cpp", ".h", ".hpp"}


def reach(folder):
    """All folders that `folder` may include."""
    found = {folder}
    for other in MAY.get(folder, []):
        found |= reach(other)
    return found


def library_of(name):
    return next((known for known in LIBRARIES if known in name.lower()), None)


def why_not(root, path, quote, name):
    """Why the file `path` (relative to root) must not include `name`; None where it may."""
    area = path.parts[0]
    if quote == '"' and (root / path.parent / name).exists():
        name = str((root / path.parent / name).resolve().relative_to(root))
        for prefix in ("libsnap/src/", "libsnap/include/"):
            name = name.removeprefix(prefix)
    first = name.split("/")[0]
    if area != "tests" and first == "tests":
        return "nothing includes tests/"
    if area == "tests":
        return None
    if area == "format":
        return None if first == "format" or name in FORMAT_MAY else "format/ is data: no other headers"
    inside = first in MAY or first == "format" or (root / "libsnap" / "src" / name).exists()
    if path.parts[:3] == ("libsnap", "include", "snap"):
        if inside or library_of(name):
            return "a public header shows include/snap and the standard library only"
        return None
    if path.parts[:2] == ("libsnap", "src"):
        folder = path.parts[2]
        if folder not in MAY:
            return f"folder {folder}/ is not in the table"
        if inside:
            return None if first in reach(folder) else f"{folder}/ may not include {first}/"
        if first == "snap":
            return None if folder in PUBLIC.get(name[5:], [folder]) else f"{folder}/ may not include {name}"
        library = library_of(name) if quote == "<" else None
        if library and folder not in LIBRARIES[library]:
            return f"only {' '.join(LIBRARIES[library])}/ knows {library}"
        return None
    if area == "tools" and first == "fuse":
        return None if name in FUSE_SHOWS else "of fuse/ others see names.h, server.h and source.h only"
    if area in ("tools", "fuse", "examples") and (inside or library_of(name)):
        return f"{area}/ sees include/snap only"
    if area != "fuse" and area != "bench" and "fuse" in name and quote == "<":
        return "only fuse/ knows libfuse"
    if area == "bench" and inside and first != "format":
        return "bench/ sees include/snap and format only"
    return None


def check(root):
    faults = []
    for path in sorted(p for p in root.rglob("*") if p.suffix in SOURCES):
        relative = path.relative_to(root)
        if relative.parts[0].startswith((".", "build")):
            continue
        for quote, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            reason = why_not(root, relative, quote, name)
            if reason:
                faults.append(f"{relative}: includes {name}: {reason}")
    return faults


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()

        def faults(path, text):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            found = check(root)
            file.unlink()
            return found

        good = [
            ("libsnap/src/read/a.cpp", '#include "image/index.h"\n#include "base/bytes.h"\n#include "snap/reader.h"\n'),
            ("libsnap/src/codec/a.cpp", "#include <zstd.h>\n"),
            ("libsnap/src/capi/a.cpp", '#include "snap/snap.h"\n#include "write/writer.h"\n'),
            ("tools/a.cpp", '#include "snap/reader.h"\n#include <fmt/core.h>\n'),
            ("format/a.h", "#include <cstdint>\n"),
            ("tests/unit/a.cpp", '#include "read/chunk_cache.h"\n'),
        ]
        bad = [
            ("libsnap/src/read/a.cpp", '#include "write/writer.h"\n'),
            ("libsnap/src/read/a.cpp", '#include "snap/writer.h"\n'),
            ("libsnap/src/write/a.cpp", '#include "read/reader.h"\n'),
            ("libsnap/src/image/a.cpp", '#include "io/file.h"\n'),
            ("libsnap/src/vmm/a.cpp", '#include "image/header.h"\n'),
            ("libsnap/src/read/a.cpp", "#include <lz4.h>\n"),
            ("libsnap/src/io/a.cpp", '#include "tests/support/x.h"\n'),
            ("libsnap/src/odd/a.cpp", "#include <vector>\n"),
            ("libsnap/include/snap/a.h", "#include <zstd.h>\n"),
            ("libsnap/include/snap/a.h", '#include "base/bytes.h"\n'),
            ("tools/a.cpp", '#include "base/bytes.h"\n'),
            ("tools/a.cpp", '#include "fuse/tree.h"\n'),
            ("tools/a.cpp", "#include <fuse_lowlevel.h>\n"),
            ("format/a.h", "#include <vector>\n"),
        ]
        assert all(not faults(*each) for each in good), [faults(*each) for each in good]
        assert all(len(faults(*each)) == 1 for each in bad), [faults(*each) for each in bad]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    self_test()
    if sys.argv[1] == "--self-test":
        return
    faults = check(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(faults) if faults else "all includes point the right way")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
