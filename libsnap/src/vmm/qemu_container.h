// SPDX-License-Identifier: Apache-2.0
// The outside of a VM state stream, containers 1 to 3: where the RAM is, and in which of its forms.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "snap/result.h"
#include "vmm/stream.h"

namespace snap {

using Cmos = std::array<std::byte, 128>;

enum class RamForm {
  kPages,    ///< version 1: a mark and a page or fill byte
  kDeflate,  ///< version 2, kvm-userspace 3 static: one zlib stream in pieces
  kKvmLive,  ///< kvm-userspace 3 live: addresses and pages
  kLive,     ///< upstream 3: words and pages in sections
};

struct StreamLayout {
  unsigned container = 0;
  std::uint32_t ram_version = 0;
  bool kvm_userspace = false;
  RamForm form = RamForm::kDeflate;
  std::uint64_t ram_begin = 0;   ///< the first byte that only the RAM's form explains
  std::uint64_t ram_end = 0;     ///< of the record; container 3: the stream's
  std::uint32_t size_field = 0;  ///< low 32 bits of phys_ram_size; kKvmLive, kLive: 0
  std::uint32_t section_id = 0;  ///< container 3
  std::optional<Cmos> cmos;      ///< container 3: see find_cmos()
};

inline constexpr std::uint32_t kVmstateMagic = 0x5145564d;  // "QEVM"
inline constexpr std::size_t kContainer2HeaderBytes = 16;

Result<StreamLayout> parse_container(StreamSource& stream);

/// The CMOS bytes of a container without record lengths: looked for by name near the stream's end.
Result<std::optional<Cmos>> find_cmos(StreamSource& stream, std::uint64_t from);

/// A section head of container 3 behind its type byte: u8 idlen, id, be32 instance, be32 version.
struct SectionHead {
  std::array<char, 256> id_bytes{};
  std::size_t id_length = 0;
  std::uint32_t instance = 0;
  std::uint32_t version = 0;
  std::string_view id() const { return {id_bytes.data(), id_length}; }
};
Result<SectionHead> take_section_head(StreamCursor& cursor);

}  // namespace snap
