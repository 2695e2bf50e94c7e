// SPDX-License-Identifier: Apache-2.0
// ELF cores of guest-physical memory, as QEMU's dump/dump.c, `virsh dump --memory-only` and kdump write them (the structures are those
// of the System V ABI). Only little-endian ones: a PT_LOAD says where the guest sees bytes of the file, PT_NOTE holds what is known of
// the processors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/wire.h"

namespace snap::elf {

using wire::le16;
using wire::le32;
using wire::le64;

struct Ident {
  unsigned char magic[4];   // 7f 'E' 'L' 'F'
  unsigned char word_size;  // Class
  unsigned char data;       // kLittleEndian
  unsigned char version;    // 1
  unsigned char abi[9];
};

template <typename Word>
struct Header {
  Ident ident;
  le16 type;  // kCore
  le16 machine;
  le32 version;
  Word entry;
  Word segments_at;  // e_phoff
  Word sections_at;  // e_shoff
  le32 flags;
  le16 header_bytes;   // e_ehsize; QEMU writes 8
  le16 segment_bytes;  // e_phentsize
  le16 segment_count;  // e_phnum; kCountElsewhere: sh_info of the first section
  le16 section_bytes;
  le16 section_count;
  le16 section_names;
};
using Header32 = Header<le32>;
using Header64 = Header<le64>;
static_assert(sizeof(Header32) == 52 && sizeof(Header64) == 64 && alignof(Header64) == 1);

struct Segment32 {
  le32 type;
  le32 offset;
  le32 virtual_address;
  le32 physical_address;
  le32 file_bytes;
  le32 memory_bytes;
  le32 flags;
  le32 align;
};
static_assert(sizeof(Segment32) == 32 && offsetof(Segment32, flags) == 24);

struct Segment64 {
  le32 type;
  le32 flags;
  le64 offset;
  le64 virtual_address;
  le64 physical_address;
  le64 file_bytes;
  le64 memory_bytes;
  le64 align;
};
static_assert(sizeof(Segment64) == 56 && offsetof(Segment64, align) == 48);

template <typename Word>
struct Section {
  le32 name;
  le32 type;
  Word flags;
  Word address;
  Word offset;
  Word size;
  le32 link;
  le32 info;  // [28] and [44]: the number of segments
  Word align;
  Word entry_bytes;
};
using Section32 = Section<le32>;
using Section64 = Section<le64>;
static_assert(sizeof(Section32) == 40 && sizeof(Section64) == 64 && offsetof(Section64, info) == 44);

struct NoteHeader {
  le32 name_bytes;
  le32 description_bytes;
  le32 type;
};

enum Class : unsigned char { kClass32 = 1, kClass64 = 2 };
inline constexpr unsigned char kLittleEndian = 1;
inline constexpr std::uint16_t kCore = 4;
inline constexpr std::uint32_t kLoad = 1;
inline constexpr std::uint32_t kNote = 4;
inline constexpr std::uint16_t kCountElsewhere = 0xffff;
inline constexpr std::uint16_t kX86_64 = 62;
inline constexpr std::uint16_t kAarch64 = 183;

inline constexpr std::string_view kNotesState = "elf.notes";  ///< what all PT_NOTE hold, one behind the other
inline constexpr std::string_view kClassKey = "elf.class";    ///< 32 or 64
inline constexpr std::string_view kMachineKey = "elf.machine";  ///< e_machine
inline constexpr std::string_view kFlagsKey = "elf.flags";      ///< e_flags
inline constexpr std::uint64_t kMaxNotesBytes = 64u << 20;

/// A stretch of the guest's memory and where the file has it.
struct Load {
  std::uint64_t address = 0;  ///< guest-physical
  std::uint64_t bytes = 0;    ///< of memory
  std::uint64_t at = 0;       ///< in the file
  std::uint64_t there = 0;    ///< bytes in the file; what is left is zero
};

}  // namespace snap::elf
