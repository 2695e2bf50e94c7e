# SPDX-License-Identifier: Apache-2.0
# The official C implementation of BLAKE3. Debian 12 has no libblake3; its package librust-blake3-dev holds these sources.
file(GLOB BLAKE3_CANDIDATES /usr/share/cargo/registry/blake3-*/c /usr/src/blake3*/c)
find_path(BLAKE3_SOURCE_DIR blake3_impl.h PATHS ${BLAKE3_CANDIDATES} NO_DEFAULT_PATH REQUIRED
  DOC "Folder with BLAKE3's C sources (Debian: librust-blake3-dev)")

set(blake3_sources blake3.c blake3_dispatch.c blake3_portable.c)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  list(APPEND blake3_sources blake3_sse2_x86-64_unix.S blake3_sse41_x86-64_unix.S
    blake3_avx2_x86-64_unix.S blake3_avx512_x86-64_unix.S)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  list(APPEND blake3_sources blake3_neon.c)
endif()
list(TRANSFORM blake3_sources PREPEND ${BLAKE3_SOURCE_DIR}/)

add_library(snap_blake3 OBJECT ${blake3_sources})
target_include_directories(snap_blake3 SYSTEM PUBLIC ${BLAKE3_SOURCE_DIR})
