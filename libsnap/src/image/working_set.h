// SPDX-License-Identifier: Apache-2.0
// WORKING_SET, SPEC 10: bytes <-> checked values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "image/catalog.h"

namespace snap {

inline constexpr std::size_t kWorkingSetTailBytes = sizeof(wire::WorkingSetTail);

const char* working_set_fault(std::span<const TouchedRange> ranges, std::span<const CatalogRegion> regions);
/// Of ranges without fault, at least one.
Bytes encode_working_set(std::span<const TouchedRange> ranges);
Result<std::vector<TouchedRange>> parse_working_set(std::span<const std::byte> body, std::uint64_t offset, std::span<const CatalogRegion> regions);
/// How long the body is that begins with, or ends with, these bytes; nothing where none does.
std::optional<std::uint32_t> working_set_bytes_from_start(std::span<const std::byte> start);
std::optional<std::uint32_t> working_set_bytes_from_tail(std::span<const std::byte> tail);

}  // namespace snap
