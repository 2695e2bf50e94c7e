// SPDX-License-Identifier: Apache-2.0
#include "snap/xbzrle.h"

#include "codec/xbzrle_versions.h"

namespace snap {

namespace {

const std::uint8_t* raw(std::span<const std::byte> bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }
std::uint8_t* raw(std::span<std::byte> bytes) { return reinterpret_cast<std::uint8_t*>(bytes.data()); }

struct Codes {
  const XbzrleCode* avx2 = xbzrle_avx2();
  const XbzrleCode* avx512 = xbzrle_avx512();
  const XbzrleCode* best = avx512 != nullptr ? avx512 : avx2 != nullptr ? avx2 : &kXbzrlePortable;
};

const Codes& codes() noexcept {
  static const Codes found;
  return found;
}

const XbzrleCode* code_of(XbzrleVersion version) noexcept {
  if (version == XbzrleVersion::kAvx512) return codes().avx512;
  if (version == XbzrleVersion::kAvx2) return codes().avx2;
  return &kXbzrlePortable;
}

std::optional<std::size_t> encode_with(const XbzrleCode& code, std::span<const std::byte> old_page,
                                       std::span<const std::byte> new_page, std::span<std::byte> out) noexcept {
  if (old_page.size() != new_page.size()) return std::nullopt;
  const std::ptrdiff_t bytes = code.encode(raw(old_page), raw(new_page), new_page.size(), raw(out), out.size());
  if (bytes < 0) return std::nullopt;
  return static_cast<std::size_t>(bytes);
}

}  // namespace

std::optional<std::size_t> xbzrle_encode(std::span<const std::byte> old_page, std::span<const std::byte> new_page,
                                         std::span<std::byte> out) noexcept {
  return encode_with(*codes().best, old_page, new_page, out);
}

bool xbzrle_decode(std::span<const std::byte> delta, std::span<std::byte> page) noexcept {
  return codes().best->decode(raw(delta), delta.size(), raw(page), page.size());
}

bool xbzrle_has(XbzrleVersion version) noexcept { return code_of(version) != nullptr; }

std::optional<std::size_t> xbzrle_encode(XbzrleVersion version, std::span<const std::byte> old_page,
                                         std::span<const std::byte> new_page, std::span<std::byte> out) noexcept {
  const XbzrleCode* const code = code_of(version);
  return encode_with(code != nullptr ? *code : kXbzrlePortable, old_page, new_page, out);
}

bool xbzrle_decode(XbzrleVersion version, std::span<const std::byte> delta, std::span<std::byte> page) noexcept {
  const XbzrleCode* const code = code_of(version);
  return (code != nullptr ? *code : kXbzrlePortable).decode(raw(delta), delta.size(), raw(page), page.size());
}

}  // namespace snap
