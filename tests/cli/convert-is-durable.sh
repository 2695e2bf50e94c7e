#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot gets its name when all of it is on the disk, and the name is on the disk when the program ends: nothing is written
# between the last fsync of the file and the call that names it, and the directory is synced behind that.
. "$(dirname "$0")/lib.sh"
requires_strace

head -c 3000000 /dev/urandom > memory
for old in none there; do
  rm -f guest.vmsnap
  [[ $old == none ]] || echo old > guest.vmsnap
  ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" expect 0 strace -f -y -o trace -e trace=write,pwrite64,fsync,fdatasync,linkat,rename,renameat,renameat2 "$VMSNAP" convert -q -f raw memory guest.vmsnap
  python3 - trace "$PWD" << 'END' || fail "the order of calls ($old)"
import re, sys
calls = [line.split(None, 1)[1] for line in open(sys.argv[1]) if '(' in line and '= -1' not in line]
folder = sys.argv[2]
named = [i for i, call in enumerate(calls) if re.match(r'(linkat|rename)', call)]
data = [i for i, call in enumerate(calls) if re.match(r'p?write(64)?\(\d+<' + re.escape(folder) + '/', call)]
file_synced = [i for i, call in enumerate(calls) if re.match(r'f(data)?sync\(\d+<' + re.escape(folder) + '/', call)]
folder_synced = [i for i, call in enumerate(calls) if re.match(r'fsync\(\d+<' + re.escape(folder) + '>', call)]
assert data and named and file_synced and folder_synced, calls
assert max(data) < min(file_synced) < min(named), (data, file_synced, named)
assert max(folder_synced) > max(named), (folder_synced, named)
END
done
