// SPDX-License-Identifier: Apache-2.0
// What a static RAM section does not say and its importer must know before the first byte is written: the block size, and
// whether the VGA hole was left out.
#pragma once

#include <cstdint>
#include <optional>

#include "vmm/qemu_machine.h"

namespace snap {

inline constexpr std::uint32_t kSmallBlockBytes = 1024;   // all released emulators
inline constexpr std::uint32_t kLargeBlockBytes = 16384;  // a patch of 2008

struct StaticShape {
  std::uint32_t block_bytes = kSmallBlockBytes;
  bool hole_left_out = false;
};

/// Inflates as far as the question needs it: a few KiB for nearly all, the whole of what only its length can tell.
Result<StaticShape> probe_static_ram(StreamSource& stream, const StreamLayout& layout, const std::optional<Machine>& machine);

/// Bytes of the last block behind the end of a RAM of `size_field` + n * 2^32 bytes.
std::uint32_t slack_bytes(std::uint32_t size_field, std::uint32_t block_bytes);
/// Whether `inflated` bytes are all records of such a RAM.
bool shape_fits(const StaticShape& shape, std::uint32_t size_field, std::uint64_t inflated);

/// kUnsupported for type 1, which no released emulator wrote; kCorrupt for other types.
Error record_type_error(std::byte type, std::uint64_t offset);

}  // namespace snap
