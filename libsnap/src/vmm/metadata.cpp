// SPDX-License-Identifier: Apache-2.0
#include "vmm/metadata.h"

#include <charconv>

#include "snap/import.h"

namespace snap {
namespace {

bool valid_utf8_tail(std::string_view text, std::size_t at, std::size_t count) {
  if (text.size() - at <= count) return false;
  for (std::size_t index = 1; index <= count; ++index) {
    if ((static_cast<unsigned char>(text[at + index]) & 0xc0) != 0x80) return false;
  }
  return true;
}

/// Bytes of the UTF-8 character at `at`, 0 where there is none that may stand in a value.
std::size_t utf8_bytes(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const auto second = at + 1 < text.size() ? static_cast<unsigned char>(text[at + 1]) : 0u;
  if (first >= 0x20 && first < 0x7f) return 1;
  if (first >= 0xc2 && first < 0xe0) return valid_utf8_tail(text, at, 1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const bool legal = !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second >= 0xa0);
    return legal && valid_utf8_tail(text, at, 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const bool legal = !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90);
    return legal && valid_utf8_tail(text, at, 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string metadata_text(std::string_view foreign) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string text;
  for (std::size_t at = 0; at < foreign.size();) {
    const std::size_t count = utf8_bytes(foreign, at);
    if (count == 0) {
      const auto byte = static_cast<unsigned char>(foreign[at++]);
      text += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      text += foreign.substr(at, count);
      at += count;
    }
  }
  return text;
}

std::optional<std::uint32_t> metadata_number(const Reader& reader, std::string_view key) {
  const auto found = reader.metadata().find(std::string(key));
  if (found == reader.metadata().end()) return std::nullopt;
  std::uint32_t number = 0;
  const char* const end = found->second.data() + found->second.size();
  const auto parsed = std::from_chars(found->second.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(number) : std::nullopt;
}

bool was_running(const Reader& reader) {
  const auto found = reader.metadata().find(std::string(kQemuRunstateKey));
  return found != reader.metadata().end() && found->second == "running";
}

}  // namespace snap
