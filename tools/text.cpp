// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace snap::tool {

std::string human_bytes(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  unsigned unit = 0;
  // 999.5 and not 1024: "1000 KiB" would be four digits.
  for (; value >= 999.5 && unit < 6; ++unit) value /= 1024;
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  if (suffix.empty()) return number;
  static constexpr std::string_view kLetters = "kmgt";
  const auto power = kLetters.find(static_cast<char>(suffix[0] | 0x20));
  suffix.remove_prefix(1);
  if (power == std::string_view::npos || !(suffix.empty() || suffix == "iB")) return std::nullopt;
  const unsigned shift = 10 * (static_cast<unsigned>(power) + 1);
  if (number > (~std::uint64_t{0} >> shift)) return std::nullopt;
  return number << shift;
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 … U+009F, in UTF-8 C2 80 … C2 9F, are control characters to some terminals.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
    if (byte < 0x20 || byte == 0x7f || c1) {
      out += fmt::format("\\x{:02x}", byte);
      if (c1) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

Placement clip(const Placement& placement, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t begin = std::max(placement.offset, offset);
  const std::uint64_t end = std::min(placement.offset + placement.length, offset + length);
  if (begin >= end) return {};
  return {placement.guest_address + (begin - placement.offset), begin, end - begin};
}

std::string plural(std::uint64_t count, const char* noun) { return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

std::string guest_ranges(const RegionInfo& region, std::uint64_t offset, std::uint64_t length) {
  std::string out;
  for (const Placement& placement : region.placements) {
    const Placement part = clip(placement, offset, length);
    if (part.length == 0) continue;
    out +=
        fmt::format("{}{:#x}-{:#x}", out.empty() ? " (guest " : ", ", part.guest_address, part.guest_address + (part.length - 1));
  }
  return out.empty() ? out : out + ")";
}

const char* kind_name(RegionKind kind) { return kind == RegionKind::kMemory ? "memory" : "state"; }

}  // namespace snap::tool
